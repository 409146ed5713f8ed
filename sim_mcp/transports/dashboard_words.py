"""What the dashboard's templates are given: numbers as words, and lists that are short enough to show."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from sim_mcp.model.execution import Status
from sim_mcp.transports.admin_views import moment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sim_mcp.app import Page, SimHealth, TenantMetrics
    from sim_mcp.model.execution import Execution
    from sim_mcp.model.json import Json
    from sim_mcp.model.principal import Principal
    from sim_mcp.model.tool import WorkflowTool
    from sim_mcp.transports.charts import BarChart

LONGEST_VALUE = 20_000


def overview_page(
    *,
    principal: Principal,
    metrics: TenantMetrics,
    chart: BarChart,
    tools: Sequence[WorkflowTool],
    page: Page,
    failures: Sequence[Execution],
    health: SimHealth | None,
    chosen: Mapping[str, str],
    windows: Sequence[str],
) -> dict[str, Any]:
    """The values of the overview."""
    kept = {name: value for name, value in chosen.items() if value and name != "cursor"}
    following = {**kept, "cursor": page.next_cursor} if page.next_cursor else None
    workflows = {tool.workflow_id: tool.title for tool in tools}
    longest_s = max((each.usual.p95_s for each in metrics.tools if each.usual), default=0.0)
    return {
        "tenant": principal.tenant_id,
        "organization": principal.organization_id,
        "tiles": _tiles(metrics),
        "sim": _sim_words(health),
        "breaker": "closed" if metrics.breaker is None else metrics.breaker.name.replace("_", " "),
        "chart": chart,
        "tools": [
            {
                "name": each.tool_name,
                "executions": each.ends.executions,
                "success": _percent(each.ends.success_rate),
                "share": each.ends.success_rate,
                "average": seconds(each.ends.average_duration_s),
                "p50": seconds(each.usual.p50_s if each.usual else None),
                "p95": seconds(each.usual.p95_s if each.usual else None),
                "p50_width": round(100 * each.usual.p50_s / longest_s, 1) if each.usual and longest_s else 0,
                "p95_width": round(100 * each.usual.p95_s / longest_s, 1) if each.usual and longest_s else 0,
            }
            for each in metrics.tools
        ],
        "errors": [
            {"code": each.code, "calls": each.calls, "share": _percent(each.share)} for each in metrics.errors
        ],
        "failures": [_line(row) for row in failures],
        "rows": [_line(row) for row in page.executions],
        "total": page.total,
        "chosen": chosen,
        "windows": windows,
        "statuses": [each.value for each in Status],
        "workflows": sorted(workflows.items(), key=lambda item: item[1]),
        "next_query": urlencode(following) if following else None,
        "first_query": urlencode(kept),
        "query": urlencode({name: value for name, value in chosen.items() if value}),
        "updated_at": moment(metrics.until),
    }


def execution_page(principal: Principal, row: Execution) -> dict[str, Any]:
    """The values of one execution's page: everything but secrets, in the order of time."""
    facts: list[tuple[str, str | None]] = [
        ("Tool", row.tool_name),
        ("Workflow", row.workflow_id),
        ("Started by", f"{row.triggered_by.value}, {row.subject}"),
        ("Organisation", row.organization_id),
        ("Duration", seconds(None if row.duration_ms is None else row.duration_ms / 1000)),
        ("Cost", None if row.cost is None else f"{row.cost:g}"),
        ("Attempts", str(row.attempts)),
        ("Calls on this row", str(row.refusals) if row.refusals > 1 else None),
        ("SIM run", row.run_id),
        ("SIM job", row.job_id),
        ("Idempotency key", row.idempotency_key),
        ("Settings revision", None if row.settings_revision is None else str(row.settings_revision)),
        ("Trace", row.trace_id),
    ]
    return {
        "tenant": principal.tenant_id,
        "organization": principal.organization_id,
        "row": _line(row),
        "facts": [(name, value) for name, value in facts if value],
        "timeline": _timeline(row),
        "error": row.error,
        "input": _shown(row.input),
        "output": _shown(row.output),
        "pauses": _shown(row.pauses),
    }


def seconds(value: float | None) -> str:
    """A duration as people say it."""
    if value is None:
        return "-"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _tiles(metrics: TenantMetrics) -> list[tuple[str, str]]:
    ends = metrics.ends
    return [
        ("Executions", f"{ends.executions:,}"),
        ("Succeeded", _percent(ends.success_rate)),
        ("On average", seconds(ends.average_duration_s)),
        ("Refused calls", f"{metrics.refused:,}"),
        ("Unfinished", f"{metrics.unfinished:,}"),
        ("Cost, as SIM told", f"{ends.cost:g}" if ends.cost else "-"),
    ]


def _sim_words(health: SimHealth | None) -> tuple[str, str]:
    """How SIM is doing: a class, and words."""
    if health is None:
        return "wait", "No SIM account is connected."
    if not health.is_reachable or not health.is_key_accepted:
        return "failed", health.problem or "SIM does not answer."
    return "completed", f"SIM answers within {seconds(health.round_trip_s)}."


def _line(row: Execution) -> dict[str, Any]:
    return {
        "id": row.id,
        "status": row.status.value,
        "tool": row.tool_name,
        "created_at": moment(row.created_at),
        "created": f"{row.created_at:%Y-%m-%d %H:%M:%S}",
        "took": seconds(None if row.duration_ms is None else row.duration_ms / 1000),
        "by": f"{row.triggered_by.value}, {row.subject}",
        "cause": None if row.error is None else f"{row.error.code.value}: {row.error.message}",
    }


def _timeline(row: Execution) -> list[tuple[str, str]]:
    known: list[tuple[datetime | None, str]] = [
        (row.created_at, "Called, and written down"),
        (row.started_at, f"Attempt {row.attempts} sent to SIM"),
        *((each.answered_at, f"Pause answered by {each.subject}") for each in row.answers),
        (row.cancel_requested_at, "Cancel asked for"),
        (row.finished_at, f"Ended: {row.status.value}"),
    ]
    return [(moment(at), words) for at, words in sorted((at, words) for at, words in known if at is not None)]


def _shown(value: Json) -> str | None:
    if value is None:
        return None
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}\n… {len(text)} characters in all"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
