"""Our own limits: calls per minute and calls at once, per tenant and per tool of a tenant.

A bucket holds at most ten seconds' worth of its rate, but at least 5 calls, and never more than a
minute's worth; it refills evenly. State is per process and bounded.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, final

from sim_mcp.model.errors import Throttled

if TYPE_CHECKING:
    from types import TracebackType

    from sim_mcp.model.clock import Clock
    from sim_mcp.model.principal import TenantId

BURST_S = 10.0
BURST_MIN = 5.0
MINUTE_S = 60.0
SLOT_PATIENCE_S = 2.0
"""What a call is told that found every place taken: when one frees up cannot be known."""
_ENOUGH = 1 - 1e-9
"""A refilled token may fall short of 1 by the rounding of floats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits for one call. `None` means that the tool sets no limit of its own.

    Raises:
        ValueError: a limit below 1, which would refuse every call for ever.
    """

    tenant_per_minute: int
    tenant_concurrency: int
    tool_per_minute: int | None = None
    tool_concurrency: int | None = None

    def __post_init__(self) -> None:
        for name in ("tenant_per_minute", "tenant_concurrency", "tool_per_minute", "tool_concurrency"):
            limit = getattr(self, name)
            if limit is not None and limit < 1:
                raise ValueError(f"{name} must be at least 1, not {limit}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proximity:
    """How near a tenant is to its limits. Limits are `None` until its first call in this process.

    `used_share`: 0 when a whole burst is left, 1 when the next call would be refused.
    """

    rate_per_minute: int | None
    used_share: float
    concurrency: int | None
    in_use: int


@final
class _Bucket:
    """One tenant's, or one tool's, tokens and places. Without a rate it only counts places."""

    __slots__ = ("_at_s", "_missing", "concurrency", "in_use", "rate")

    def __init__(self, now_s: float) -> None:
        self._at_s = now_s
        self._missing = 0.0
        """Tokens below the brim, so that a changed rate neither gives nor takes any."""
        self.rate: int | None = None
        self.concurrency: int | None = None
        self.in_use = 0

    def settle(self, now_s: float) -> None:
        """Add what has flowed in since the last look."""
        refill = math.inf if self.rate is None else (now_s - self._at_s) * self.rate / MINUTE_S
        self._missing = max(0.0, self._missing - refill)
        self._at_s = now_s

    @property
    def brim(self) -> float:
        """The most tokens that the bucket holds."""
        rate = self.rate or 0
        return min(float(rate), max(BURST_MIN, rate * BURST_S / MINUTE_S))

    @property
    def tokens(self) -> float:
        """Tokens there at the last `settle`."""
        return self.brim - self._missing

    @property
    def is_full(self) -> bool:
        """Whether a fresh bucket would be no different."""
        return self._missing <= 0

    def wait_s(self) -> float:
        """Seconds until a token is there; 0 when one is."""
        if self.rate is None or self.tokens >= _ENOUGH:
            return 0.0
        return (1 - self.tokens) * MINUTE_S / self.rate

    def take(self) -> None:
        """Take one token and one place."""
        self._missing += 0.0 if self.rate is None else 1.0
        self.in_use += 1


@final
class Admission:
    """One admitted call's places. Release it, once or more often, when the *run* has ended.

    A context manager for calls that end within one block; leaving it releases.
    """

    __slots__ = ("_buckets",)

    def __init__(self, buckets: tuple[_Bucket, ...]) -> None:
        self._buckets = buckets

    def release(self) -> None:
        """Give the places back. Repeating it changes nothing. Tokens are not given back."""
        buckets, self._buckets = self._buckets, ()
        for bucket in buckets:
            bucket.in_use -= 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


@final
class Throttle:
    """Admits calls. Synchronous: nothing can come between the look and the taking.

    At most `max_keys` buckets are kept. A bucket in use or without a token is never forgotten; when
    all are such, calls that would need another are refused.
    """

    def __init__(self, clock: Clock, *, max_keys: int = 50_000) -> None:
        if max_keys < 2:
            raise ValueError(f"max_keys must be at least 2 (a tenant's and a tool's), not {max_keys}")
        self._clock = clock
        self._max_keys = max_keys
        self._buckets: OrderedDict[tuple[TenantId, str | None], _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def admit(self, tenant_id: TenantId, tool_name: str, *, limits: Limits) -> Admission:
        """Take one token and one place of the tenant and of its tool, or nothing at all.

        Raises:
            Throttled: naming the limit that makes the call wait longest, with `retry_after_s`.
        """
        tenant = self._bucket((tenant_id, None), kept=None)
        tool = self._bucket((tenant_id, tool_name), kept=(tenant_id, None))
        tenant.rate, tenant.concurrency = limits.tenant_per_minute, limits.tenant_concurrency
        tool.rate, tool.concurrency = limits.tool_per_minute, limits.tool_concurrency
        refusals = [*_refusals(tenant, "Your tenant"), *_refusals(tool, f"The tool {tool_name!r}")]
        if refusals:
            wait_s, reason = max(refusals)
            raise Throttled(f"{reason}; try again in {math.ceil(wait_s)} s.", retry_after_s=wait_s)
        tenant.take()
        tool.take()
        return Admission((tenant, tool))

    def tenants(self) -> tuple[TenantId, ...]:
        """Whose calls were admitted or refused lately in this process."""
        return tuple(tenant_id for tenant_id, tool in self._buckets if tool is None)

    def proximity(self, tenant_id: TenantId) -> Proximity:
        """How near `tenant_id` is to its own limits (not its tools'). Changes nothing."""
        bucket = self._buckets.get((tenant_id, None))
        if bucket is None:
            return Proximity(rate_per_minute=None, used_share=0.0, concurrency=None, in_use=0)
        bucket.settle(self._clock.monotonic())
        used_share = 1 - bucket.tokens / bucket.brim if bucket.rate else 0.0
        return Proximity(
            rate_per_minute=bucket.rate,
            used_share=min(1.0, max(0.0, used_share)),
            concurrency=bucket.concurrency,
            in_use=bucket.in_use,
        )

    def _bucket(
        self, key: tuple[TenantId, str | None], *, kept: tuple[TenantId, str | None] | None
    ) -> _Bucket:
        now_s = self._clock.monotonic()
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= self._max_keys:
                self._forget_one(now_s, kept=kept)
            bucket = self._buckets[key] = _Bucket(now_s)
        else:
            self._buckets.move_to_end(key)
        bucket.settle(now_s)
        return bucket

    def _forget_one(self, now_s: float, *, kept: tuple[TenantId, str | None] | None) -> None:
        second_choice = None
        for key, bucket in self._buckets.items():
            if bucket.in_use or key == kept:
                continue
            bucket.settle(now_s)
            if bucket.is_full:
                del self._buckets[key]
                return
            if second_choice is None and bucket.wait_s() == 0:
                second_choice = key
        if second_choice is None:
            raise Throttled(
                "This server is following as many callers as it can; try again in 2 s.",
                retry_after_s=SLOT_PATIENCE_S,
            )
        del self._buckets[second_choice]


def _refusals(bucket: _Bucket, owner: str) -> list[tuple[float, str]]:
    """Why `bucket` refuses, each with the wait in seconds."""
    refusals: list[tuple[float, str]] = []
    if bucket.concurrency is not None and bucket.in_use >= bucket.concurrency:
        reason = f"{owner} already runs {bucket.in_use} calls at once, the limit"
        refusals.append((SLOT_PATIENCE_S, reason))
    wait_s = bucket.wait_s()
    if wait_s > 0:
        refusals.append((wait_s, f"{owner} has used up its limit of {bucket.rate} calls a minute"))
    return refusals
