"""What the server tells about itself."""

from sim_mcp.telemetry.logs import log_fact, set_up_logs

__all__ = ["log_fact", "set_up_logs"]
