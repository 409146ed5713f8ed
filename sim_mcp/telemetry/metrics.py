"""What this process counts for Prometheus. Of tenants it names at most a thousand, and none when asked.

The numbers of one tenant, from its history, are another thing: `gateway.metrics`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary
from prometheus_client.exposition import choose_encoder

from sim_mcp.model.facts import BreakerChanged, CallFinished, Fact, RetryScheduled, SettingsChanged, StepTook
from sim_mcp.model.principal import TenantId

MOST_TENANTS = 1000
OTHERS = "other"
"""Stands for all tenants beyond the first thousand, so that strangers cannot swell the answer."""
STEP_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_BREAKER_STATES = {"closed": 0, "half_open": 1, "open": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantGauges:
    """How one tenant stands at the moment of asking. `None`: nothing is known in this process."""

    tenant_id: TenantId
    rate_used_share: float | None = None
    running_calls: int | None = None
    tools_listed: int | None = None
    tools_held: int | None = None


class ProcessMetrics:
    """An observer of facts, and what it has counted as text."""

    def __init__(self, *, names_tenants: bool, gauges: Callable[[], Iterable[TenantGauges]]) -> None:
        self._names_tenants = names_tenants
        self._gauges = gauges
        self._tenants: set[str] = set()
        self._registry = registry = CollectorRegistry()
        self._calls = Counter(
            "sim_mcp_calls",
            "Calls that were settled, by how; `code` is empty without an error.",
            ("tenant", "trigger", "status", "code"),
            registry=registry,
        )
        self._runs = Summary(
            "sim_mcp_run_seconds",
            "How long SIM took for runs, by its own word.",
            ("tenant",),
            registry=registry,
        )
        self._steps = Histogram(
            "sim_mcp_step_seconds",
            "How long a step of the corridor took.",
            ("step",),
            buckets=STEP_BUCKETS_S,
            registry=registry,
        )
        self._retries = Counter(
            "sim_mcp_retries",
            "Attempts that provably did not start and were repeated.",
            ("tenant", "code"),
            registry=registry,
        )
        self._breaker = Gauge(
            "sim_mcp_breaker_state",
            "The circuit breaker: 0 closed, 1 half-open, 2 open.",
            ("tenant",),
            registry=registry,
        )
        self._rate = _gauge(
            registry, "rate_used_share", "0: a burst of calls is left; 1: the next is refused."
        )
        self._running = _gauge(registry, "running_calls", "Calls under way.")
        self._tools = Gauge(
            "sim_mcp_tools",
            "Tools of the tenants whose lists are in memory: listed, or held back with a reason.",
            ("tenant", "state"),
            registry=registry,
        )

    def __call__(self, fact: Fact) -> None:
        """Count `fact`."""
        match fact:
            case CallFinished():
                tenant = self._label(fact.tenant_id)
                code = fact.code.value if fact.code else ""
                self._calls.labels(tenant, fact.trigger.value, fact.status.value, code).inc()
                self._breaker.labels(tenant)  # a tenant that calls has a state: closed, until it is told
                if fact.duration_ms is not None:
                    self._runs.labels(tenant).observe(fact.duration_ms / 1000)
            case StepTook():
                self._steps.labels(fact.step.value).observe(fact.took_s)
            case RetryScheduled():
                self._retries.labels(self._label(fact.tenant_id), fact.code.value).inc()
            case BreakerChanged():
                self._breaker.labels(self._label(fact.tenant_id)).set(_BREAKER_STATES.get(fact.after, 0))
            case SettingsChanged():
                pass

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """Everything in Prometheus's or OpenMetrics' text format, as `accept` prefers, and its media type."""
        for each in self._gauges():
            tenant = self._label(each.tenant_id)
            for gauge, value in ((self._rate, each.rate_used_share), (self._running, each.running_calls)):
                if value is not None:
                    gauge.labels(tenant).set(value)
            for state, count in (("listed", each.tools_listed), ("held", each.tools_held)):
                if count is not None:
                    self._tools.labels(tenant, state).set(count)
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type

    def _label(self, tenant_id: TenantId) -> str:
        if not self._names_tenants:
            return ""
        if tenant_id not in self._tenants and len(self._tenants) >= MOST_TENANTS:
            return OTHERS
        self._tenants.add(tenant_id)
        return tenant_id


def _gauge(registry: CollectorRegistry, name: str, text: str) -> Gauge:
    return Gauge(f"sim_mcp_{name}", text, ("tenant",), registry=registry)
