"""The steps of the corridor, timed and traced."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from sim_mcp.model.clock import Clock
from sim_mcp.model.facts import Observer, Step, StepTook
from sim_mcp.model.principal import TenantId
from sim_mcp.telemetry import span


class Steps:
    """Tells how long each step took, whether it succeeded or not."""

    def __init__(self, *, clock: Clock, observer: Observer) -> None:
        self._clock = clock
        self._observer = observer

    @contextmanager
    def step(self, step: Step, tenant_id: TenantId) -> Generator[None]:
        """The block is `step` of a call of the tenant."""
        began_s = self._clock.monotonic()
        try:
            with span(f"sim_mcp.{step.value}"):
                yield
        finally:
            took_s = self._clock.monotonic() - began_s
            self._observer(StepTook(tenant_id=tenant_id, step=step, took_s=took_s))
