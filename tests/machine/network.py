"""The way from our process to SIM, which a test can cut, slow down, or stop in the middle of a request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import anyio
import httpx

from sim_mcp.model.integration import Integration
from sim_mcp.sim.fake import FakeSim
from sim_mcp.sim.fake.faults import Verb
from sim_mcp.sim.fake.target import target_of

Moment = Literal["before", "after"]
"""Whether SIM got the request at which a process is stopped."""


@dataclass(slots=True)
class Weather:
    """How SIM can be reached, whichever process asks.

    `late` is how many answers to execute come too late; `stop_at` names the request at which the process
    that sends it stands still, `stopped` tells that it does, and `goes_on` lets it.
    """

    is_down: bool = False
    late: int = 0
    stop_at: tuple[Verb, Moment] | None = None
    stopped: anyio.Event = field(default_factory=anyio.Event)
    goes_on: anyio.Event = field(default_factory=anyio.Event)

    def stop(self, verb: Verb, moment: Moment) -> None:
        """Let the process stand still at the next request of that kind."""
        self.stop_at = (verb, moment)
        self.stopped, self.goes_on = anyio.Event(), anyio.Event()


class Network(httpx.AsyncBaseTransport):
    """The connections of one process. Once it is dead, nothing of it reaches SIM any more."""

    def __init__(self, sim: FakeSim, weather: Weather) -> None:
        self._inner = sim.transport()
        self._weather = weather
        self.is_dead = False

    def for_anybody(self, integration: Integration) -> Network:
        """The same for every tenant."""
        del integration
        return self

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One exchange, as the weather allows it."""
        weather, verb = self._weather, target_of(request.method, request.url.path).verb
        if self.is_dead or weather.is_down:
            raise httpx.ConnectError("there is no way to SIM", request=request)
        if weather.stop_at is not None and weather.stop_at[0] == verb:
            moment, weather.stop_at = weather.stop_at[1], None
            answer = await self._inner.handle_async_request(request) if moment == "after" else None
            weather.stopped.set()
            await weather.goes_on.wait()
            return answer or await self._inner.handle_async_request(request)
        answer = await self._inner.handle_async_request(request)
        if verb == "execute" and weather.late > 0:
            weather.late -= 1
            raise httpx.ReadTimeout("SIM did not answer in time", request=request)
        return answer
