"""`sim-mcp stats`: the tenant's metrics, read from its audit log."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from sim_mcp.cli.exits import Misuse
from sim_mcp.cli.options import AsJson, Config, Organization, Tenant
from sim_mcp.cli.printing import note, print_json, print_table, safe, say
from sim_mcp.cli.session import with_app
from sim_mcp.model.clock import SystemClock

if TYPE_CHECKING:
    from sim_mcp.app import App, Ends, TenantMetrics
    from sim_mcp.model.principal import Principal

_AGO = re.compile(r"([0-9]{1,4})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def stats(
    *,
    since: Annotated[
        str, typer.Option("--since", metavar="WHEN", help="As 90m, 24h, 7d, or ISO 8601 with a zone.")
    ] = "30d",
    tenant: Tenant = None,
    organization: Organization = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Show success rate, durations, errors, limits and the breaker of one tenant."""
    began = moment_of(since)

    async def ask(app: App, principal: Principal) -> TenantMetrics:
        return await app.metrics.of(principal, since=began, asks_sim=False)

    found = with_app(ask, config=config, tenant=tenant, organization=organization)
    if as_json:
        from sim_mcp.transports.metrics_views import metrics_view

        print_json(metrics_view(found))
        return
    for name, value in _summary(found):
        say(f"{name:<18} {value}")
    if found.tools:
        say("")
        print_table(
            ("TOOL", "EXECUTIONS", "SUCCESS", "AVERAGE", "P50", "P95"),
            [
                (
                    tool.tool_name,
                    str(tool.ends.executions),
                    _share(tool.ends.success_rate),
                    _seconds(tool.ends.average_duration_s),
                    _seconds(tool.usual.p50_s if tool.usual else None),
                    _seconds(tool.usual.p95_s if tool.usual else None),
                )
                for tool in found.tools
            ],
        )
    if found.errors:
        say("")
        print_table(
            ("ERROR", "CALLS", "SHARE"),
            [(safe(each.code), str(each.calls), _share(each.share)) for each in found.errors],
        )
    note("Limits and breaker are each server process's own: `sim_status` and /metrics show them.")


def moment_of(text: str) -> datetime:
    """The moment that `--since` names: so long ago, or ISO 8601.

    Raises:
        Misuse: it names none.
    """
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return SystemClock().now() - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise Misuse("--since is not understood.", remedy="write 90m, 24h, 7d or 2026-05-01T00:00:00Z")
    return at


def _summary(found: TenantMetrics) -> tuple[tuple[str, str], ...]:
    ends: Ends = found.ends
    return (
        ("since", f"{found.since:%Y-%m-%d %H:%M} UTC"),
        ("executions", f"{ends.executions}, {found.unfinished} unfinished, {found.refused} refused calls"),
        ("success rate", f"{_share(ends.success_rate)} ({ends.completed} of {ends.completed + ends.failed})"),
        ("average duration", _seconds(ends.average_duration_s)),
        ("cost", f"{ends.cost:g} (as far as SIM told)"),
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"
