"""What can go wrong between a client and a SIM, as values to hand to `FakeSim.script`.

Each fault names what the *server* did. Whether the client can see it is the point of the exercise: after
`LostAnswer` the run exists, after `NotBegunReset` it does not, and on the wire both look the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verb = Literal["execute", "status", "cancel", "resume", "any"]
"""Which requests a script waits for; `any` matches every request, lists and probes included."""


class ConnectionDropped(Exception):
    """The server closed the connection without completing an answer.

    Raised out of the ASGI app when it runs in-process. Under `serve_fake` the socket is cut instead.
    `InProcess` turns it into the `httpx` error that a real socket would have given.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimited:
    """429: `rate` and `concurrency` burn the run id, `gate` does not (sim-api 1.4, 3.1).

    `retry_after` is in seconds. The legacy dialect sends it only for `gate`, as SIM does.
    """

    retry_after: int | None = None
    kind: Literal["rate", "concurrency", "gate"] = "rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable503:
    """503 before a run starts; the run id stays free. `retry_after` in seconds, v2 only sends 5 by itself."""

    retry_after: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AmbiguousEnqueue:
    """503 `ASYNC_ENQUEUE_AMBIGUOUS`; `starts_run` tells what really happened (sim-api 1.9)."""

    starts_run: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LostAnswer:
    """The request is carried out to its end, then the connection closes with no answer at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotBegunReset:
    """The connection closes before anything was done with the request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetMidBody:
    """The request is carried out; the connection closes in the middle of the answer's body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HtmlPage:
    """A proxy's HTML page with `status` instead of an answer; `run_started` tells what SIM did behind it."""

    status: int = 502
    run_started: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowLoris:
    """Headers, then one blank every `interval_s` until the client goes away.

    With a clock whose `sleep` costs no time this never rests: use it with real time or a client deadline.
    """

    interval_s: float = 0.05
    run_started: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MalformedJson:
    """The request is carried out; the answer says JSON and stops in the middle of a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """A redirect to another host; nothing was done. A client that follows it hands its key to a stranger."""

    location: str = "https://elsewhere.invalid/collect"
    status: int = 307


@dataclass(frozen=True, slots=True, kw_only=True)
class Unauthorized401:
    """401 although the key is right; `limiter_broken`: v1's misleading text for an outage (sim-api 3.2)."""

    limiter_broken: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageExceeded402:
    """402: the account has no credit left. Burns the run id (sim-api 1.4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hang:
    """No answer until the client goes away; `run_started` tells whether the request was carried out first."""

    run_started: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OldReceipt:
    """An async run is accepted and answered with one of the three 202 shapes of sim-api 1.9.

    `2025`: `taskId`, `links`. `legacy`: `jobId`, `executionId`, `statusUrl`. `v2`: `data.runId`.
    """

    shape: Literal["2025", "legacy", "v2"] = "2025"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConflict:
    """409: the run id has been used. With `run_exists` a run by that id really goes on (or went) in SIM."""

    run_exists: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotNotReady:
    """409 `Snapshot not ready…` to a resume, `times` times in a row (sim-api 6.3). Nothing is resumed."""

    times: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Forbidden403:
    """403: the key's owner may start the workflow and not do this (sim-api 4.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotFound404:
    """404 about a run that SIM knows a moment later (sim-api 4.2). Nothing was done."""


Fault = (
    RateLimited
    | Unavailable503
    | AmbiguousEnqueue
    | LostAnswer
    | NotBegunReset
    | ResetMidBody
    | HtmlPage
    | SlowLoris
    | MalformedJson
    | Redirect
    | Unauthorized401
    | UsageExceeded402
    | Hang
    | OldReceipt
    | RunConflict
    | SnapshotNotReady
    | Forbidden403
    | NotFound404
)
"""Everything that `FakeSim.script` accepts."""
