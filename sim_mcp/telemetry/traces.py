"""Spans of the corridor's steps, below those that the MCP SDK makes of its messages.

Without the extra `otel` and a collector's address they cost next to nothing and go nowhere. A span carries
names and ids; never an argument, an output or an error's text.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sim_mcp.model.errors import SimMcpError

if TYPE_CHECKING:
    from collections.abc import Generator

_TRACER = "sim_mcp"


@contextmanager
def span(name: str, *, parent: str | None = None, **attributes: str) -> Generator[None]:
    """A span of that name around the block; `parent` is a `traceparent` (W3C) for where none is current."""
    context = None
    if parent is not None and not trace.get_current_span().get_span_context().is_valid:
        context = TraceContextTextMapPropagator().extract({"traceparent": parent})
    with trace.get_tracer(_TRACER).start_as_current_span(
        name,
        context=context,
        attributes={f"sim_mcp.{key}": value for key, value in attributes.items()},
        record_exception=False,  # its text may say more than a collector should know
        set_status_on_exception=False,
    ) as current:
        try:
            yield
        except SimMcpError as error:
            current.set_status(trace.StatusCode.ERROR, error.code.value)
            raise


def describe(**attributes: str) -> None:
    """Add what became known to the span at hand."""
    current = trace.get_current_span()
    for key, value in attributes.items():
        current.set_attribute(f"sim_mcp.{key}", value)


def traceparent() -> str | None:
    """The span at hand as a `traceparent` header for others; `None` outside of any trace."""
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


def set_up_traces() -> bool:
    """Send spans to the collector that OpenTelemetry's `OTEL_*` variables name; `False` without the extra."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        return False
    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over the name given here.
    provider = TracerProvider(resource=Resource({"service.name": "sim-mcp"}).merge(Resource.create()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return True
