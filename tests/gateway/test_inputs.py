"""Inputs are looked through once, and large ones beside everybody else's calls."""

from __future__ import annotations

import anyio
import pytest

from sim_mcp.gateway.inputs import CleanInput, Inputs
from sim_mcp.gateway.masking import Secrets
from sim_mcp.gateway.outcomes import MAX_STORED_INPUT_BYTES
from sim_mcp.gateway.redaction import Redactor
from sim_mcp.model.credentials import REDACTED
from sim_mcp.model.json import Json
from sim_mcp.model.principal import TenantId
from sim_mcp.model.workbench import SMALL_CHARACTERS, Workbench

pytestmark = pytest.mark.anyio
ACME = TenantId("acme")


@pytest.mark.parametrize("filler", [10, SMALL_CHARACTERS])
async def test_an_input_is_stored_without_its_secrets(filler: int) -> None:
    """A light and a heavy one alike."""
    given: Json = {"password": "hunter2!", "text": "x" * filler}
    cleaned = await Inputs(Redactor(), workbench=Workbench()).clean(ACME, given)
    assert cleaned.stored == {"password": REDACTED, "text": "x" * filler}
    assert cleaned.secrets.values == frozenset({"hunter2!"})


async def test_an_input_too_large_to_store_is_noted_with_its_size() -> None:
    """The row stays readable; the run gets all of it."""
    cleaned = await Inputs(Redactor(), workbench=Workbench()).clean(
        ACME, {"text": "x" * MAX_STORED_INPUT_BYTES}
    )
    assert cleaned.stored == {
        "truncated": True,
        "size_bytes": MAX_STORED_INPUT_BYTES + 11,
        "limit_bytes": MAX_STORED_INPUT_BYTES,
    }


@pytest.mark.requirement("R59")
@pytest.mark.parametrize(
    ("size", "order"), [(10, ["cleaned", "others"]), (2 * SMALL_CHARACTERS, ["others", "cleaned"])]
)
async def test_others_go_on_while_a_heavy_input_is_looked_through(size: int, order: list[str]) -> None:
    """A light one is done on the spot; a heavy one in a thread."""
    seen: list[str] = []

    async def work() -> None:
        seen.append("others")

    async with anyio.create_task_group() as group:
        group.start_soon(work)
        await Inputs(Redactor(), workbench=Workbench()).clean(ACME, {"text": "x" * size})
        seen.append("cleaned")
    assert seen == order


def test_the_secrets_of_an_input_do_not_show_in_a_repr() -> None:
    """A debugger's print is an exit too."""
    assert "hunter2" not in repr(CleanInput(stored=None, secrets=Secrets(["hunter2!"])))
