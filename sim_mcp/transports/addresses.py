"""The addresses of our MCP resources."""

from __future__ import annotations

HISTORY_URI = "sim://history"
HISTORY_APP_URI = "ui://sim/history"
EXECUTION_TEMPLATE = "sim://executions/{execution_id}"
WORKFLOW_TEMPLATE = "sim://workflows/{workflow_id}"


def execution_uri(execution_id: str) -> str:
    """Where an execution is read whole."""
    return EXECUTION_TEMPLATE.replace("{execution_id}", execution_id)
