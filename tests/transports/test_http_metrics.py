"""`/metrics` for the operator: what it counts, who may read it, and how it stays bounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sim_mcp.app import Needs
from sim_mcp.model.errors import ErrorCode
from sim_mcp.model.execution import ExecutionId, Status, Trigger
from sim_mcp.model.facts import BreakerChanged, CallFinished
from sim_mcp.model.principal import ALL_PERMISSIONS, Permission, Principal, TenantId
from sim_mcp.sim.fake import faults, workflow_id
from sim_mcp.telemetry.metrics import MOST_TENANTS, ProcessMetrics
from tests.patience import PATIENCE_S
from tests.transports.web import Web, open_web
from tests.world import principal

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R43", "F25")]

COUNTS = Needs(counts=True, follows_up=False)  # no look of ours mends a breaker in between


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by name and labels, as Prometheus reads it."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def token(web: Web, tenant: str, *permissions: Permission) -> str:
    """The `Authorization` of a token with exactly these permissions."""
    bearer = Principal(tenant_id=TenantId(tenant), subject="scraper", permissions=frozenset(permissions))
    _, secret = await web.world.app.tokens.create(bearer, name="t", expires_at=None, created_by="ada")
    return f"Bearer {secret}"


async def scraped(web: Web, **headers: str) -> httpx.Response:
    """What `GET /metrics` answers."""
    return await web.client.get("/metrics", headers=headers)


async def test_calls_retries_steps_breaker_and_limits_are_counted_by_tenant(tmp_path: Path) -> None:
    """The six of the product design, as far as a process can know them."""
    async with open_web(tmp_path, needs=COUNTS) as web:
        await web.allow("acme", "quick", "failing")
        await web.allow("globex", "quick")
        await web.execute("acme", workflow_id("acme", "quick"), input={"employee": "Ada"})
        await web.execute("acme", workflow_id("acme", "failing"))
        await web.execute("globex", workflow_id("globex", "quick"), input={"employee": "Bo"})
        answer = await scraped(web, authorization=await token(web, "acme", Permission.METRICS))
        assert answer.status_code == 200
        found = samples(answer.text)
    acme, globex = ("tenant", "acme"), ("tenant", "globex")

    def calls(tenant: tuple[str, str], status: str, code: str = "") -> float:
        labels = sorted([tenant, ("trigger", "api"), ("status", status), ("code", code)])
        return found["sim_mcp_calls_total", tuple(labels)]

    assert (calls(acme, "completed"), calls(acme, "failed", "EXECUTION_ERROR")) == (1, 1)
    assert calls(globex, "completed") == 1
    assert found["sim_mcp_breaker_state", (acme,)] == 0
    assert found["sim_mcp_run_seconds_count", (acme,)] == 2
    assert 0 < found["sim_mcp_rate_used_share", (globex,)] < found["sim_mcp_rate_used_share", (acme,)]
    assert found["sim_mcp_running_calls", (acme,)] == 0
    assert found["sim_mcp_tools", tuple(sorted([acme, ("state", "listed")]))] == 2
    for step in ("check", "open", "execute", "close"):
        assert found["sim_mcp_step_seconds_count", (("step", step),)] == 3


async def test_an_open_breaker_shows_as_a_number(tmp_path: Path) -> None:
    """Of the tenant whose SIM fails, and of no other."""
    async with open_web(tmp_path, needs=COUNTS) as web:
        for tenant in ("acme", "globex"):
            await web.allow(tenant, "quick")
        web.world.sim.script(*[faults.HtmlPage(status=502)] * 5, key="sk-sim-sandbox-acme")
        for _ in range(5):
            call = web.world.call("acme", "quick", {"employee": "Ada"})
            await web.world.app.gateway.call(call, patience_s=0)
            with anyio.fail_after(PATIENCE_S):
                while web.world.app.follower.live_count:
                    await anyio.lowlevel.checkpoint()
        await web.execute("globex", workflow_id("globex", "quick"), input={"employee": "Bo"})
        found = samples((await scraped(web, authorization=await token(web, "x", Permission.METRICS))).text)
    assert found["sim_mcp_breaker_state", (("tenant", "acme"),)] == 2
    assert found["sim_mcp_breaker_state", (("tenant", "globex"),)] == 0


async def test_no_tenants_permission_opens_the_operators_metrics(tmp_path: Path) -> None:
    """Not even all of them: the numbers are everybody's."""
    async with open_web(tmp_path, needs=COUNTS, public_url="https://mcp.example.com") as web:
        refused = await scraped(web, host="mcp.example.com")
        assert (refused.status_code, refused.json()["code"]) == (401, "UNAUTHORIZED")
        assert refused.headers["www-authenticate"] == 'Bearer scope="metrics"'
        everything = await token(web, "acme", *ALL_PERMISSIONS)
        refused = await scraped(web, host="mcp.example.com", authorization=everything)
        assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN")
        opened = await scraped(
            web, host="mcp.example.com", authorization=await token(web, "acme", Permission.METRICS)
        )
        assert opened.status_code == 200


@pytest.mark.parametrize(
    ("settings", "headers", "status"),
    [
        ({}, {}, 200),
        ({}, {"x-forwarded-for": "203.0.113.9"}, 401),
        ({}, {"authorization": "Bearer simmcp_unknown"}, 401),
        ({"public_url": "https://mcp.example.com"}, {}, 401),
        ({"allowed_hosts": ("mcp.example.com",)}, {"host": "mcp.example.com"}, 401),
    ],
)
async def test_this_machine_needs_no_token_unless_a_proxy_may_stand_in_between(
    tmp_path: Path, settings: dict[str, Any], headers: dict[str, str], status: int
) -> None:
    """Behind a proxy on the same machine, everybody in the world comes from loopback."""
    async with open_web(tmp_path, needs=COUNTS, **settings) as web:
        assert (await scraped(web, **headers)).status_code == status


async def test_a_server_that_counts_nothing_has_no_metrics(tmp_path: Path) -> None:
    """The door says so, and does not fail."""
    async with open_web(tmp_path) as web:
        assert (await scraped(web)).status_code == 404


@pytest.mark.requirement("R35")
async def test_tenants_can_be_left_out_of_the_labels(tmp_path: Path) -> None:
    """For operators whose dashboards are seen by many."""
    async with open_web(tmp_path, needs=COUNTS, metrics_tenants=False) as web:
        await web.allow("acme", "quick")
        await web.execute("acme", workflow_id("acme", "quick"), input={"employee": "Ada"})
        text = (await scraped(web)).text
    assert "sim_mcp_calls_total" in text
    assert "acme" not in text


def finished(tenant: str) -> CallFinished:
    """A call of `tenant` that was settled."""
    return CallFinished(
        tenant_id=TenantId(tenant),
        execution_id=ExecutionId("x"),
        tool_name="t",
        trigger=Trigger.MCP,
        status=Status.FAILED,
        code=ErrorCode.TIMEOUT,
        duration_ms=None,
    )


async def test_any_number_of_tenants_make_a_bounded_answer() -> None:
    """Beyond a thousand they are counted as one; nothing is lost from the sum."""
    counted = ProcessMetrics(names_tenants=True, gauges=lambda: ())
    for number in range(MOST_TENANTS + 500):
        counted(finished(f"tenant-{number}"))
    counted(BreakerChanged(tenant_id=TenantId("one-more"), before="closed", after="open", retry_after_s=60))
    body, media_type = counted.text()
    calls = {
        labels: value
        for (name, labels), value in samples(body.decode()).items()
        if name == "sim_mcp_calls_total"
    }
    assert sum(calls.values()) == MOST_TENANTS + 500
    assert len(calls) == MOST_TENANTS + 1
    assert media_type.startswith("text/plain")
    assert principal("acme").permissions == ALL_PERMISSIONS  # whom nobody gave `metrics`
