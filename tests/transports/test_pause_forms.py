"""The form of a pause, as clients of each revision are shown it."""

from __future__ import annotations

from typing import Any

import pytest

from sim_mcp.transports.pause_forms import PauseForm


def shown(field: dict[str, Any], revision: str = "2026-07-28") -> dict[str, Any]:
    """The property that a field of a form becomes."""
    form = PauseForm(
        key="k",
        context_id="c",
        point={"fields": [{"name": "f", **field}]},
        tool_name="refund",
        execution_id="e",
    )
    return form.params(revision).requested_schema["properties"]["f"]


@pytest.mark.requirement("F4")
@pytest.mark.parametrize(
    ("options", "value", "default"),
    [
        (["low", "high"], "high", "high"),
        ([{"id": "l", "label": "Low"}, {"id": "h", "label": "High"}], "h", "h"),
        ([1, 2], 2, "2"),
        (["low", "high"], "gone", None),
        (["low", "high"], "", None),
        (["low", "high"], None, None),
    ],
)
@pytest.mark.parametrize("revision", ["2025-06-18", "2025-11-25", "2026-07-28"])
def test_what_the_author_chose_beforehand_is_chosen_in_the_form(
    revision: str, options: list[Any], value: object, default: str | None
) -> None:
    """By the text that stands for it among the choices; a value that is none of them is left out."""
    told = shown({"type": "string", "options": options, "value": value}, revision)
    assert told.get("default") == default
    assert "enum" in told or "oneOf" in told
