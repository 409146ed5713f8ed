"""The demo's tour: what the server promises, tried out one after the other with the official client."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import anyio

from sim_mcp.cli.demo_ledger import Ledger
from sim_mcp.cli.demo_stage import PATIENCE_S, Stage
from sim_mcp.cli.demo_visitor import Answer, Visitor

NOBODYS_ID = "00000000-0000-4000-8000-000000000000"
FAILURES_THAT_OPEN = 5
FOLLOW_S = 20
SHORT = 90


class Tour:
    """Walks through the server as Ada of acme and Gus of globex."""

    def __init__(self, stage: Stage, ledger: Ledger) -> None:
        self._stage = stage
        self._ledger = ledger

    async def walk(self) -> None:
        """Take every step; one that fails does not keep the others from being taken."""
        tell, step = self._ledger.tell, self._ledger.step
        async with AsyncExitStack() as stack:
            # One client speaks the newest revision of the protocol, the other one an earlier one.
            ada = Visitor("Ada", await stack.enter_async_context(self._stage.client("acme")))
            gus = Visitor("Gus", await stack.enter_async_context(self._stage.client("globex", era="legacy")))
            tell(f"MCP server: {self._stage.url}/mcp")
            tell(f"Ada of acme speaks MCP {ada.client.protocol_version}.")
            tell(f"Gus of globex speaks MCP {gus.client.protocol_version}.")
            with step("Each tenant has its own tools"):
                await self._show_tools(ada, gus)
            with step("A run that reports its progress"):
                await self._show_progress(ada)
            with step("A long run: started now, followed later"):
                await self._start_and_follow(ada)
            with step("A run that waits for a person"):
                await self._answer_a_pause(ada)
            with step("A run that fails"):
                await self._fail(ada)
            with step("One tenant reaches for another's"):
                await self._reach_across(ada, gus)
            with step("SIM breaks down for one tenant"):
                await self._break_down(ada, gus)
            with step("The audit log knows every call, and no secret"):
                await self._read_audit(ada)

    async def _show_tools(self, ada: Visitor, gus: Visitor) -> None:
        own: dict[str, set[str]] = {}
        for visitor in (ada, gus):
            names = await visitor.tools()
            own[visitor.name] = {name for name in names if not name.startswith("sim_")}
            admin = len(names) - len(own[visitor.name])
            self._ledger.tell(
                f"{visitor.name}: {', '.join(sorted(own[visitor.name]))}; and {admin} admin tools."
            )
        self._ledger.promise(
            "each sees the tools of its tenant's spec file, and none of the other's",
            is_kept=len(own["Ada"]) > 1
            and len(own["Gus"]) > 1
            and own["Ada"] & own["Gus"] == {"summarize_timesheets"},
        )
        mine = await ada.call("summarize_timesheets", {"employee": "Ada"})
        theirs = await gus.call("summarize_timesheets", {"employee": "Gus"})
        self._ledger.promise(
            "summarize_timesheets, which both have, runs each tenant's own workflow",
            is_kept=mine.status == theirs.status == "completed"
            and mine["workflow_id"] != theirs["workflow_id"],
        )

    async def _show_progress(self, ada: Visitor) -> None:
        told: list[float] = []

        async def hear(progress: float, total: float | None, message: str | None) -> None:
            del total
            told.append(progress)
            if message and len(told) <= 3:
                self._ledger.tell(f"progress {progress:g}: {message}")

        answer = await ada.call("draft_email", {"topic": "the third quarter"}, on_progress=hear)
        self._ledger.tell(f"answer after {answer['duration_ms']} ms: {_short(answer['output'])}")
        self._ledger.promise("the run is completed, with its output", is_kept=_completed(answer))
        self._ledger.promise(
            "its progress was told while it ran, and never went back",
            is_kept=len(told) > 1 and told == sorted(told),
        )

    async def _start_and_follow(self, ada: Visitor) -> None:
        answer = await ada.call("nightly_report", {"seconds": PATIENCE_S + 0.5}, on_progress=None)
        self._ledger.tell(f"answer: {answer.status}, execution {answer['execution_id']}")
        self._ledger.promise(
            "the answer came before the run ended, with an id to follow",
            is_kept=answer.status in {"queued", "processing"} and not answer.is_error,
        )
        later = await self._followed(ada, answer)
        self._ledger.tell(f"sim_get_execution: {later.status}, {_short(later['output'])}")
        self._ledger.promise("followed by its id, it is completed", is_kept=_completed(later))

    async def _answer_a_pause(self, ada: Visitor) -> None:
        answer = await ada.call("request_refund", {"amount": 240})
        asked = ", ".join(answer.fields_asked_for)
        self._ledger.tell(f"answer: {answer.status}; a person is asked for: {asked or 'nothing'}")
        self._ledger.promise(
            "a run that waits is called paused, and says what it asks",
            is_kept=answer.status == "paused" and bool(asked),
        )
        said = {"approved": True, "note": "checked by Ada"}
        resumed = await ada.call(
            "sim_resume_execution", {"execution_id": answer["execution_id"], "input": said}
        )
        final = resumed if _completed(resumed) else await self._followed(ada, answer)
        self._ledger.tell(f"Ada approves (sim_resume_execution): {final.status}, {_short(final['output'])}")
        self._ledger.promise("with the answer, the same run is completed", is_kept=_completed(final))

    async def _fail(self, ada: Visitor) -> None:
        answer = await ada.call("sync_crm", {})
        self._ledger.tell(
            f"answer: {answer.status}, {answer.error.get('code')}: {answer.error.get('message')}"
        )
        self._ledger.promise(
            "a failed run is an error to the model, never a success",
            is_kept=answer.is_error
            and answer.status == "failed"
            and answer.error.get("code") == "EXECUTION_ERROR",
        )

    async def _reach_across(self, ada: Visitor, gus: Visitor) -> None:
        began = len(self._stage.sim.runs)
        acmes = next(iter(ada.seen))
        foreign = await gus.refusal_of("sim_get_execution", {"execution_id": acmes})
        unknown = await gus.refusal_of("sim_get_execution", {"execution_id": NOBODYS_ID})
        self._ledger.tell(f"Gus asks for an execution of acme: {foreign}")
        self._ledger.promise(
            "it answers him exactly like one that does not exist",
            is_kept=bool(foreign) and foreign.replace(acmes, NOBODYS_ID) == unknown,
        )
        hidden = await gus.refusal_of("request_refund", {"amount": 1})
        absent = await gus.refusal_of("no_such_tool", {"amount": 1})
        self._ledger.tell(f"Gus calls a tool of acme: {hidden}")
        self._ledger.promise(
            "it answers him exactly like one that does not exist, and nothing ran",
            is_kept=bool(hidden)
            and hidden.replace("request_refund", "no_such_tool") == absent
            and len(self._stage.sim.runs) == began,
        )

    async def _break_down(self, ada: Visitor, gus: Visitor) -> None:
        self._stage.fail_next("globex", "echo", times=FAILURES_THAT_OPEN)
        async with anyio.create_task_group() as group:
            for _ in range(FAILURES_THAT_OPEN):
                group.start_soon(gus.call, "echo_text", {"text": "are you there?"})
        asked = len(self._stage.sim.requests)
        answer = await gus.call("echo_text", {"text": "and now?"})
        is_left_alone = len(self._stage.sim.requests) == asked
        self._ledger.tell(f"SIM answered 503 {FAILURES_THAT_OPEN} times; Gus calls again and hears:")
        self._ledger.tell(f"{answer.error.get('code')}: {answer.error.get('message')}")
        self._ledger.promise(
            "the breaker is open: SIM is left alone, and Gus is told when to come back",
            is_kept=answer.error.get("code") == "CIRCUIT_OPEN"
            and bool(answer.error.get("retry_after_s"))
            and is_left_alone,
        )
        mine = await ada.call("summarize_timesheets", {"employee": "Ada"})
        self._ledger.promise("acme, on the same SIM, does not notice", is_kept=_completed(mine))

    async def _read_audit(self, ada: Visitor) -> None:
        page = await ada.call("sim_list_executions", {"limit": 100})
        rows = page.rows
        for row in reversed(rows):
            self._ledger.tell(f"{row.get('created_at')}  {row.get('tool_name')!s:<22} {row.get('status')}")
        self._ledger.promise(
            f"all {len(ada.seen)} calls of acme are there with their true ends, and nothing else",
            is_kept={row.get("execution_id"): row.get("status") for row in rows} == ada.seen
            and page["total"] == len(rows),
        )
        leaks = await anyio.to_thread.run_sync(self._stage.files_with_secrets)
        self._ledger.promise(
            "no file of the server holds a SIM API key, a token or the signing secret in clear",
            is_kept=not leaks,
        )
        self._ledger.promise(
            "and nothing that was said on this tour does",
            is_kept=not any(map(self._ledger.has_said, self._stage.secrets)),
        )

    async def _followed(self, ada: Visitor, answer: Answer) -> Answer:
        known = {"execution_id": answer["execution_id"], "wait_s": FOLLOW_S}
        return await ada.call("sim_get_execution", known)


def _completed(answer: Answer) -> bool:
    return answer.status == "completed" and not answer.is_error and not answer.error


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= SHORT else text[:SHORT] + "..."
