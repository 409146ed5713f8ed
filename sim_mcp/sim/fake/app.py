"""A SIM server as one ASGI app: both dialects, several customers, and everything that can go wrong."""

from __future__ import annotations

import json
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from sim_mcp.sim.fake.endpoints import router
from sim_mcp.sim.fake.faults import ConnectionDropped, Fault, SnapshotNotReady, Verb
from sim_mcp.sim.fake.runs import Ledger
from sim_mcp.sim.fake.sabotage import Scene, suffer
from sim_mcp.sim.fake.target import Target, target_of
from sim_mcp.sim.fake.timing import FakeTime, RealTime
from sim_mcp.sim.fake.workflows import DEMO_ACCOUNTS, Account, InputField
from sim_mcp.sim.fake.world import World

if TYPE_CHECKING:
    import httpx
    from starlette.types import Message, Receive, Scope, Send

CUT = "sim.fake.cut"
"""The scope extension under which `serve_fake` offers a function that cuts the socket."""

_REMEMBERED = 10_000
_BRIEF_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedRequest:
    """One request as it arrived.

    `path` is decoded and without the query; `headers` have lower-case names; `body` is parsed JSON, else
    text, else None when there was none; `verb` is `any` unless the request is one that scripts can name.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    key: str | None
    verb: Verb


@dataclass(slots=True, kw_only=True)
class _Script:
    faults: deque[Fault]
    workflow_id: str | None
    key: str | None
    verb: Verb

    def matches(self, target: Target, key: str | None) -> bool:
        return (
            bool(self.faults)
            and self.verb in {"any", target.verb}
            and self.workflow_id in {None, target.workflow_id}
            and self.key in {None, key}
        )


class FakeSim:
    """A sandbox SIM; an ASGI app.

    In-process, give `fake.transport()` to an `httpx.AsyncClient`. For real sockets use `serve_fake`.

    Args:
        accounts: The customers at the start.
        v2_enabled: Whether the v2 dialect is switched on; self-hosted SIMs have it off (sim-api 0).
        time: What tells the time and sleeps; the machine's own by default.
        ids: Makes ids; random UUIDs by default.
        cancel_works: False is a SIM without Redis: cancel answers `success:false` and the run goes on.
        path_prefix: Where a proxy has put this SIM, as `/sim`; paths outside are HTML 404.
        has_execution_endpoint: False is a server from before May 2026: poll by job id, no v2 at all.
        strands_pauses: Whether the second of two questions in a row can be answered by nobody, as in SIM
            0.8.9; `False` for a SIM where that is repaired (sim-api 6.4).
        brief_s: How long a workflow takes that waits for nothing. By default 10 ms, and nothing at all when
            `time` is given: a clock that stands still then still lets it finish. (`slow` and the words of
            `streaming` always take their time.)
        time_limit_s: After how long SIM ends a run (408, `TIMEOUT`); never by default.

    Attributes:
        runs: Every run that really started. Here tests see that nothing ran twice.
        requests: The last 10,000 requests, oldest first.
        path_prefix: As given, without a slash at the end.
    """

    def __init__(
        self,
        *,
        accounts: Sequence[Account] = DEMO_ACCOUNTS,
        v2_enabled: bool = True,
        time: FakeTime | None = None,
        ids: Callable[[], str] | None = None,
        cancel_works: bool = True,
        path_prefix: str = "",
        has_execution_endpoint: bool = True,
        brief_s: float | None = None,
        time_limit_s: float | None = None,
        strands_pauses: bool = True,
    ) -> None:
        make_id = ids or _random_id
        self.path_prefix = path_prefix.rstrip("/")
        self._world = World(
            time=time or RealTime(),
            ids=make_id,
            cancel_works=cancel_works,
            time_limit_s=time_limit_s,
            strands_pauses=strands_pauses,
            brief_s=brief_s if brief_s is not None else _BRIEF_S if time is None else 0.0,
        )
        self._router = router(
            self._world,
            make_id,
            prefix=self.path_prefix,
            v2_enabled=v2_enabled,
            has_execution_endpoint=has_execution_endpoint,
        )
        self._scripts: list[_Script] = []
        self.requests: deque[ReceivedRequest] = deque(maxlen=_REMEMBERED)
        for each in accounts:
            self.add_account(each)

    @property
    def runs(self) -> Ledger:
        """Every run that really started, oldest first."""
        return self._world.ledger

    def script(
        self, *faults: Fault, workflow_id: str | None = None, key: str | None = None, verb: Verb = "execute"
    ) -> None:
        """Let the next matching requests suffer `faults`, in order, once each.

        Args:
            faults: What goes wrong with the first, second, … matching request.
            workflow_id: Only requests about this workflow.
            key: Only requests with this API key.
            verb: Only requests of this kind; `any` means every request, lists and probes included.
        """
        queue: deque[Fault] = deque()
        for each in faults:
            times = each.times if isinstance(each, SnapshotNotReady) else 1
            queue.extend([each] * times)
        self._scripts.append(_Script(faults=queue, workflow_id=workflow_id, key=key, verb=verb))

    def add_account(self, account: Account) -> None:
        """Let another customer in."""
        self._world.add_account(account)

    def rotate_key(self, account: Account | str, new_key: str) -> None:
        """From now on only `new_key` opens `account` (or the account of that name).

        Raises:
            KeyError: No such account.
        """
        self._world.rotate_key(account if isinstance(account, str) else account.name, new_key)

    def set_deployed(self, workflow_id: str, deployed: bool) -> None:  # noqa: FBT001  # `set_deployed(id, False)` reads well
        """Deploy the draft of a workflow as its next version, or take it out of service.

        Raises:
            KeyError: No such workflow.
        """
        self._world.set_deployed(workflow_id, deployed=deployed)

    def set_inputs(self, workflow_id: str, fields: Sequence[InputField], *, deployed: bool) -> None:
        """Change the inputs of the draft; with `deployed` deploy them too, else draft and deployment differ.

        Raises:
            KeyError: No such workflow.
        """
        self._world.set_inputs(workflow_id, fields, deployed=deployed)

    def transport(self) -> httpx.AsyncBaseTransport:
        """An `httpx` transport to this sandbox without sockets; see `transport.in_process`."""
        from sim_mcp.sim.fake.transport import in_process

        return in_process(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            ConnectionDropped: A scripted fault dropped the connection and no socket could be cut.
        """
        if scope["type"] != "http":
            return
        try:
            await self._answer(scope, receive, send)
        except ConnectionDropped:
            cut: Callable[[], None] | None = scope.get("extensions", {}).get(CUT)
            if cut is None:
                raise
            cut()
            await receive()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        target = target_of(request.method, str(scope["path"]).removeprefix(self.path_prefix))
        known = self.runs.get(target.run_id or "")
        if target.workflow_id is None and known is not None:
            target = replace(target, workflow_id=known.workflow_id)
        key = request.headers.get("x-api-key")
        self._remember(request, body, target)

        async def replay() -> Message:
            nonlocal replayed
            if replayed:
                return await receive()
            replayed = True
            return {"type": "http.request", "body": body, "more_body": False}

        replayed = False
        fault = self._next_fault(target, key)
        if fault is None:
            await self._router(scope, replay, send)
            return
        scene = Scene(
            target=target,
            scope=scope,
            receive=receive,
            send=send,
            headers=request.headers,
            world=self._world,
            carry_out=lambda catch: self._router(scope, replay, catch),
        )
        await suffer(fault, scene)

    def _remember(self, request: Request, body: bytes, target: Target) -> None:
        self.requests.append(
            ReceivedRequest(
                method=request.method,
                path=str(request.scope["path"]),
                query=dict(request.query_params),
                headers=dict(request.headers),
                body=_readable(body),
                key=request.headers.get("x-api-key"),
                verb=target.verb,
            )
        )

    def _next_fault(self, target: Target, key: str | None) -> Fault | None:
        for script in self._scripts:
            if script.matches(target, key):
                fault = script.faults.popleft()
                self._scripts = [each for each in self._scripts if each.faults]
                return fault
        return None


def _random_id() -> str:
    return str(uuid.uuid4())


def _readable(body: bytes) -> Any:
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")
