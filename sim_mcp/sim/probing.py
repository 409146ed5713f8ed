"""Finding out which dialect a server speaks with a key (sim-api 0)."""

from __future__ import annotations

from sim_mcp.model.clock import Clock
from sim_mcp.model.errors import (
    NotASimApi,
    SimError,
    SimInternalError,
    SimNotFound,
    SimRateLimited,
    SimRejectedKey,
    SimTimeout,
    SimUnavailable,
)
from sim_mcp.model.integration import Dialect
from sim_mcp.model.json import is_array
from sim_mcp.model.run import Probe
from sim_mcp.sim.catalogue import workspaces_of
from sim_mcp.sim.exchange import Answer, Effect, path_of
from sim_mcp.sim.flight import Flight
from sim_mcp.sim.losses import not_sim
from sim_mcp.sim.parsing import text_at
from sim_mcp.sim.refusals import complaint_of, refusal
from sim_mcp.sim.wire import Wire

PROBE_TTL_S = 600.0

_PASSING = (SimRateLimited, SimUnavailable, SimInternalError, SimTimeout)


class Prober:
    """Asks once per `ttl_s` and key. Passing troubles (429, 5xx, network) never change what is known."""

    def __init__(self, wire: Wire, *, clock: Clock, ttl_s: float = PROBE_TTL_S) -> None:
        self._wire = wire
        self._clock = clock
        self._ttl_s = ttl_s
        self._known: Probe | None = None
        self._expires_s = 0.0
        self._flight: Flight[Probe] = Flight()

    async def probe(self, *, refresh: bool) -> Probe:
        """What the server is for this key; asks only when nothing fresh is known, or on `refresh`.

        Raises:
            SimRejectedKey: The key is not accepted.
            SimUnavailable: SIM cannot be reached, and nothing was known before (or `refresh` is set).
            NotASimApi: Something else answers at the base URL.
        """
        if self._known is not None and not refresh and self._clock.monotonic() < self._expires_s:
            return self._known
        try:
            return await self._flight.join(self._ask)
        except _PASSING as error:
            if refresh or self._known is None or isinstance(error, NotASimApi):
                raise
            return self._known

    def doubt(self) -> None:
        """Ask again before the next use: an answer contradicted what is known."""
        self._expires_s = 0.0

    async def _ask(self) -> Probe:
        found = await self._found()
        self._known = found
        self._expires_s = self._clock.monotonic() + self._ttl_s
        return found

    async def _found(self) -> Probe:
        try:
            answer = await self._wire.get(path_of("api", "v2", "workspaces"))
        except NotASimApi as error:
            if error.sim_status != 404:
                raise
            return await self._old_server(error)
        if answer.status == 200 and is_array(answer.object.get("data")):
            return Probe(dialect=Dialect.V2, workspaces=workspaces_of(answer.object))
        if answer.status == 404 and complaint_of(answer.object).code == "NOT_FOUND":
            return Probe(dialect=Dialect.LEGACY)  # the switch is looked at after the key: the key is good
        unlike = not_sim(
            f"HTTP {answer.status} with unknown JSON",
            self._wire.words,
            effect=Effect.NOTHING,
            status=answer.status,
        )
        if answer.status == 404:
            return await self._old_server(unlike)
        raise self._refusal(answer) if answer.status >= 400 else unlike

    async def _old_server(self, unlike: NotASimApi) -> Probe:
        """A server before v0.8.0 has no v2 route; its health and usage routes tell it from a stranger."""
        try:
            health = await self._wire.get(path_of("api", "health"))
        except NotASimApi:
            raise unlike from None
        if health.status != 200 or text_at(health.object, "status") != "ok":
            raise unlike
        try:
            answer = await self._wire.get(path_of("api", "users", "me", "usage-limits"))
        except NotASimApi:
            raise unlike from None
        if answer.status >= 400:
            error = self._refusal(answer)
            raise unlike if isinstance(error, SimNotFound) else error
        return Probe(dialect=Dialect.LEGACY)

    def _refusal(self, answer: Answer) -> SimError:
        """A 401 is about the key only when it has one of SIM's own shapes."""
        error = refusal(answer, self._wire.words, effect=Effect.NOTHING, what="account")
        if isinstance(error, SimRejectedKey) and not complaint_of(answer.object).text:
            return not_sim("HTTP 401 with unknown JSON", self._wire.words, effect=Effect.NOTHING, status=401)
        return error
