"""Spans of the corridor: nested below the caller's, passed on to SIM, and without anything secret."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import SimMcpError
from sim_mcp.telemetry import traceparent
from tests.journeys.mcp_clients import connected
from tests.world import World, open_world

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("F25", "R60")]

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Generator[InMemorySpanExporter]:
    """What an exporter would be given, from the beginning of this test to its end."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


@pytest.fixture
async def world(tmp_path: Path, clock: ManualClock) -> AsyncGenerator[World]:
    """Two tenants; acme has two tools."""
    async with open_world(tmp_path, clock=clock) as opened:
        await opened.allow("acme", "quick")
        await opened.allow("acme", "failing")
        yield opened


def named(spans: InMemorySpanExporter, name: str) -> ReadableSpan:
    """The one span of that name."""
    [found] = [span for span in spans.get_finished_spans() if span.name == name]
    return found


async def test_the_steps_of_a_call_are_one_trace_that_begins_with_the_caller(
    world: World, spans: InMemorySpanExporter
) -> None:
    """The row and SIM's request carry its id."""
    call = world.call("acme", "quick", {"employee": "Ada"}, traceparent=CALLER)
    row = await world.app.gateway.call(call)
    root = named(spans, "sim_mcp.call")
    assert root.parent is not None
    assert f"{root.parent.trace_id:032x}" == CALLER.split("-")[1] == row.trace_id
    assert root.attributes == {
        "sim_mcp.tenant": "acme",
        "sim_mcp.tool": "quick",
        "sim_mcp.execution_id": row.id,
    }
    for step in ("check", "open", "execute", "close"):
        child = named(spans, f"sim_mcp.{step}")
        assert child.parent is not None
        assert child.parent.span_id == root.get_span_context().span_id  # pyright: ignore[reportOptionalMemberAccess]  # an ended span has one
    execute = named(spans, "sim_mcp.execute").get_span_context()
    assert execute is not None
    passed_on = [entry.headers.get("traceparent") for entry in world.sim.requests]
    assert f"00-{execute.trace_id:032x}-{execute.span_id:016x}-01" in passed_on


async def test_the_spans_of_the_protocol_stand_above_ours(world: World, spans: InMemorySpanExporter) -> None:
    """The SDK's span of the message is the parent of the call's."""
    async with connected(world, "auto") as client:
        await client.call_tool("quick", {"employee": "Ada"})
    root = named(spans, "sim_mcp.call")
    assert root.parent is not None
    above = {span.get_span_context().span_id: span.name for span in spans.get_finished_spans()}  # pyright: ignore[reportOptionalMemberAccess]
    assert "tools/call" in above[root.parent.span_id]


async def test_a_refusal_marks_its_span_with_the_code_alone(
    world: World, spans: InMemorySpanExporter
) -> None:
    """What was sent, and what an error says of it, stays out of the collector."""
    with pytest.raises(SimMcpError):
        await world.app.gateway.call(world.call("acme", "sk-sim-1234567890abcdef", {"password": "hunter2"}))
    root = named(spans, "sim_mcp.call")
    assert (root.status.status_code, root.status.description) == (trace.StatusCode.ERROR, "NOT_FOUND")
    assert root.events == ()
    everything = "".join(span.to_json() for span in spans.get_finished_spans())
    assert "hunter2" not in everything
    assert "sk-sim-1234567890abcdef" not in everything


async def test_without_a_tracer_the_callers_own_trace_is_passed_on(world: World) -> None:
    """Nothing is set up: no span is ours, and SIM still hears of the caller's."""
    assert traceparent() is None
    call = world.call("acme", "quick", {"employee": "Ada"}, traceparent=CALLER)
    row = await world.app.gateway.call(call)
    assert row.trace_id == CALLER.split("-")[1]
