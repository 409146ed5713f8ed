"""Heavy thinking leaves the event loop to the others, and never piles up."""

from __future__ import annotations

import threading
from collections.abc import Callable

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest

from sim_mcp.catalog import Catalog, ToolSource
from sim_mcp.catalog.work import AT_ONCE_STEPS
from sim_mcp.model.errors import InvalidInput, PayloadTooLarge
from sim_mcp.model.json import Json, JsonObject
from sim_mcp.model.principal import TenantId
from sim_mcp.model.tool import WorkflowTool
from sim_mcp.model.workbench import Workbench, is_small
from tests.catalog.samples import ACME, GLOBEX, tool

pytestmark = pytest.mark.anyio


class Puzzles:
    """Work in threads that ends when the test says so."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self._changed = anyio.Event()
        self._gates: dict[str, threading.Event] = {}

    def puzzle(self, name: str) -> Callable[[], str]:
        """A piece of work called `name`."""
        gate = self._gates[name] = threading.Event()

        def think() -> str:
            anyio.from_thread.run_sync(self._begin, name)
            gate.wait()
            return name

        return think

    def end(self, name: str) -> None:
        """Let `name` come to its end."""
        self._gates[name].set()

    def _begin(self, name: str) -> None:
        self.begun.append(name)
        self._changed.set()
        self._changed = anyio.Event()

    async def until_begun(self, count: int) -> None:
        """Wait until `count` pieces have begun."""
        while len(self.begun) < count:
            await self._changed.wait()


@pytest.mark.requirement("R60")
async def test_a_crowd_of_one_tenants_work_leaves_a_thread_to_the_other() -> None:
    """At most one thread each; what waits, waits in the tenant's own queue, and cancelling leaves it."""
    bench, puzzles = Workbench(threads=2), Puzzles()

    async def ask(tenant_id: TenantId, name: str) -> None:
        assert await bench.run(tenant_id, puzzles.puzzle(name)) == name
        puzzles.ended.append(name)

    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as crowd:
            async with anyio.create_task_group() as acme:
                for number in range(20):
                    acme.start_soon(ask, ACME, f"acme-{number}")
                await puzzles.until_begun(1)
                group.start_soon(ask, GLOBEX, "globex")
                await puzzles.until_begun(2)
                assert puzzles.begun == ["acme-0", "globex"]
                puzzles.end("globex")
                while not puzzles.ended:
                    await anyio.lowlevel.checkpoint()
                assert puzzles.ended == ["globex"]
                puzzles.end("acme-0")  # begun, so it is waited for; the others never begin
                crowd.cancel()
    assert puzzles.begun == ["acme-0", "globex"]
    assert bench._queues == {}


BIG: JsonObject = {"a": [{"b": number} for number in range(20_000)]}


class Noted:
    """A catalog that notes in which thread it checks."""

    def __init__(self) -> None:
        self.tenant_id = ACME
        self.threads: list[int] = []

    def check(self, subject: WorkflowTool, arguments: JsonObject, *, steps: int = 0) -> JsonObject:
        """As the real one."""
        self.threads.append(threading.get_ident())
        return Catalog.build(ACME).check(subject, arguments, **({"steps": steps} if steps else {}))


@pytest.mark.requirement("R60")
async def test_what_is_much_work_is_done_in_a_thread_and_little_at_once() -> None:
    """By counted work: on every machine the same."""
    source = ToolSource()
    subject = tool(
        {"type": "object", "properties": {"a": {"items": {"properties": {"b": {"type": "integer"}}}}}}
    )
    here = threading.get_ident()
    for arguments, is_here in (({"a": [{"b": 1}]}, [True]), (BIG, [True, False])):
        noted = Noted()
        assert await source.check(noted, subject, arguments) is arguments  # pyright: ignore[reportArgumentType]  # watches the real one
        assert [thread == here for thread in noted.threads] == is_here


@pytest.mark.requirement("R34", "R60")
async def test_the_verdict_is_the_same_from_either_place() -> None:
    """Refusals come back whole; work without an end is refused in the end."""
    source, catalog = ToolSource(), Catalog.build(ACME)
    strict = tool({"type": "object", "properties": {"a": {"items": {"required": ["c"]}}}})
    with pytest.raises(InvalidInput) as refusal:
        await source.check(catalog, strict, BIG)
    assert refusal.value.faults[0].path == "$.a[0]"
    endless: dict[str, Json] = {"type": "object", "properties": {"a": {"items": {"enum": [*range(4000)]}}}}
    with pytest.raises(PayloadTooLarge, match="too complex"):
        await source.check(catalog, tool(endless), {"a": [3999] * 1000})


@pytest.mark.requirement("R60")
@pytest.mark.parametrize(
    ("value", "is_here"),
    [
        ({}, True),
        ({"a": [*range(900)]}, True),
        ("x" * 65_000, True),
        ([{"a": [1]}] * 300, True),
        ({"a": [*range(1_100)]}, False),
        ({str(number): 1 for number in range(1_100)}, False),
        ("x" * 66_000, False),
        ({"x" * 66_000: 1}, False),
        ([{"a": [1]}] * 334, False),
    ],
)
async def test_what_is_large_is_walked_through_in_a_thread(value: Json, is_here: bool) -> None:  # noqa: FBT001 - a table
    """Values and text count; looking whether there are many looks at no more than are few."""
    assert is_small(value) is is_here
    thread = await Workbench().run_over(GLOBEX, value, threading.get_ident)
    assert (thread == threading.get_ident()) is is_here


def test_little_work_is_little() -> None:
    """A call of everyday size stays on the event loop."""
    mail: Json = {"type": "string", "pattern": r"^[^@\s]+@[^@\s]+\.[^@\s]+$"}
    subject = tool(
        {
            "type": "object",
            "properties": {
                "to": {"type": "array", "items": mail, "uniqueItems": True},
                "day": {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"},
                "hours": {"type": "array", "items": {"type": "number", "minimum": 0}},
            },
            "additionalProperties": False,
        }
    )
    arguments: JsonObject = {
        "to": [f"person{number}@example.com" for number in range(20)],
        "day": "2026-01-31",
        "hours": [0.5 * number for number in range(200)],
    }
    assert Catalog.build(ACME).check(subject, arguments, steps=AT_ONCE_STEPS) is arguments
