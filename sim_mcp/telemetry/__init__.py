"""What the server tells about itself. `telemetry.metrics` is imported by those who serve it alone."""

from sim_mcp.telemetry.logs import log_fact, set_up_logs
from sim_mcp.telemetry.traces import describe, set_up_traces, span, traceparent

__all__ = ["describe", "log_fact", "set_up_logs", "set_up_traces", "span", "traceparent"]
