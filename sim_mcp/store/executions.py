"""The audit log: one row for each call, written before SIM is asked, final once it is settled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim_mcp.model.execution import Execution, ExecutionId, Status, may_precede
from sim_mcp.store import columns
from sim_mcp.store.audit_chain import RETURNING, AuditChain
from sim_mcp.store.claims import ATTACHED
from sim_mcp.store.execution_rows import Outcome, error_text, from_row, to_row
from sim_mcp.store.follow_ups import FollowUps
from sim_mcp.store.history import ExecutionHistory
from sim_mcp.store.pause_answers import PauseAnswers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from sim_mcp.model.principal import TenantId
    from sim_mcp.store.claims import Claim
    from sim_mcp.store.database import Row, Value

_UPDATE = "UPDATE executions SET "

_UNLESS_CLAIMED = " ON CONFLICT (tenant_id, key_claim) WHERE key_claim IS NOT NULL DO NOTHING"

_FREE_OUTDATED = """
UPDATE executions SET key_claim = NULL, key_digest = NULL
WHERE tenant_id = ? AND key_claim = ? AND created_at <= ?
  AND (finished_at IS NOT NULL OR key_claim LIKE 'attach:%')
"""

_COUNT_REFUSAL = (
    " ON CONFLICT (tenant_id, window_key) WHERE window_key IS NOT NULL"
    " DO UPDATE SET refusals = executions.refusals + 1, finished_at = excluded.finished_at"
    f" {RETURNING}"
)
_RETURNING = f" {RETURNING}"
_NOTE_COST = f"""
UPDATE executions SET cost = ? WHERE tenant_id = ? AND id = ? AND (cost IS NULL OR cost <> ?) {RETURNING}
"""  # noqa: S608 - our own words


@dataclass(frozen=True, slots=True)
class Executions(ExecutionHistory, FollowUps, PauseAnswers):
    """The audit log. Every change is one statement, guarded by the status it needs to find.

    A method that returns `bool` answers `False`, having changed nothing, when the row is unknown,
    another tenant's, or in a status that does not allow the change. None of them retries. What closes
    a row links it into the tenant's chain in the same transaction.
    """

    chain: AuditChain

    async def open(
        self,
        execution: Execution,
        *,
        follow_up_at: datetime,
        sealed_secrets: str | None = None,
        claim: Claim | None = None,
    ) -> bool:
        """Write the row, durable on return, to be followed up at `follow_up_at` should its keeper die.

        `sealed_secrets` is kept until the row is final. `False`, and nothing was written, when an
        earlier row holds `claim` (`Claims.holder` finds it). An outdated hold is taken over.

        Raises:
            Conflict: when the id is taken.
        """
        row = to_row(execution, follow_up_at=follow_up_at, window_key=None)
        row["sealed_secrets"] = sealed_secrets
        if claim is None:
            await self.database.execute(_insert(row), [*row.values()])
            return True
        row |= {"key_claim": claim.name, "key_digest": claim.sealed_digest}
        insert = _insert(row) + _UNLESS_CLAIMED
        if await self.database.execute(insert, [*row.values()]):
            return True
        freed = await self.database.execute(
            _FREE_OUTDATED, [execution.tenant_id, claim.name, columns.micros(claim.outdated_at)]
        )
        # Of several who come after an outdated hold, one frees it; whoever inserts first has it then.
        return bool(freed and await self.database.execute(insert, [*row.values()]))

    async def begin_attempt(
        self,
        tenant_id: TenantId,
        execution_id: ExecutionId,
        *,
        run_id: str,
        attempt: int,
        settings_revision: int | None = None,
        started_at: datetime,
        follow_up_at: datetime,
    ) -> bool:
        """Note, before it is sent, that attempt number `attempt` (from 1) runs as `run_id`.

        Only a row that is queued or processing and that nobody asked to cancel; and of each attempt
        number only one caller wins: two that take up the same row cannot both send. `started_at` and
        `settings_revision` (`None` keeps the row's) are those of the attempt in force.
        """
        touched = await self.database.execute(
            "UPDATE executions SET status = ?, run_id = ?, job_id = NULL, attempts = ?, was_known = 0,"
            " missed_at = NULL, started_at = ?, follow_up_at = ?,"
            " settings_revision = COALESCE(?, settings_revision) WHERE tenant_id = ? AND id = ?"
            " AND status IN (?, ?) AND attempts < ? AND cancel_requested_at IS NULL",
            [
                *(Status.PROCESSING, run_id, attempt),
                *(columns.micros(started_at), columns.micros(follow_up_at), settings_revision),
                *(tenant_id, execution_id, Status.QUEUED, Status.PROCESSING, attempt),
            ],
        )
        return touched == 1

    async def transition(
        self,
        tenant_id: TenantId,
        execution_id: ExecutionId,
        to: Status,
        *,
        at: datetime,
        outcome: Outcome | None = None,
        follow_up_at: datetime | None = None,
        frees_key: bool = False,
        looks: int | None = None,
    ) -> Execution | None:
        """Move the row to `to` if its status allows that (`may_precede`), in one statement.

        Returns the row as it is then; `None` when nothing was changed. A final status ends at `at` and is
        followed up no more, whatever `follow_up_at` says; else `None` keeps the due time, so that no
        unfinished row is forgotten. Leaving `paused` forgets the pauses. Without `outcome` everything else
        stays. `frees_key` gives the idempotency key of the call back, for a row whose run surely never
        began. `looks` sets the number of looks so far.
        """
        changed: dict[str, Value] = {
            "status": to.value,
            "finished_at": columns.micros(at) if to.is_final else None,
        }
        changed |= {"sealed_secrets": None} if to.is_final else {}
        changed |= {} if looks is None else {"looks": looks}
        if frees_key:
            changed |= {"key_claim": None, "key_digest": None}
        if to.is_final or follow_up_at is not None:
            changed["follow_up_at"] = None if to.is_final else columns.maybe_micros(follow_up_at)
        if outcome is not None:
            changed["output"] = columns.maybe_json_text(outcome.output)
            changed["error"] = error_text(outcome.error)
            changed |= _told(outcome)
        if to is not Status.PAUSED:
            changed["pauses"] = None
        elif outcome is not None:
            changed["pauses"] = columns.maybe_json_text(outcome.pauses)
        moved = await self._change(
            tenant_id, execution_id, changed, allowed=may_precede(to), closed_at=at if to.is_final else None
        )
        if moved is None:
            return None
        if to is Status.CANCELLED and not frees_key:
            await self._detach(tenant_id, execution_id)
        return from_row(moved)

    async def update(
        self,
        tenant_id: TenantId,
        execution_id: ExecutionId,
        *,
        outcome: Outcome | None = None,
        follow_up_at: datetime | None = None,
    ) -> bool:
        """Write what is known so far into an unfinished row and leave its status alone.

        Here every `None`, also inside `outcome`, keeps what the row holds.
        """
        changed: dict[str, Value] = {}
        if outcome is not None:
            content: dict[str, Value] = {
                "output": columns.maybe_json_text(outcome.output),
                "error": error_text(outcome.error),
                "pauses": columns.maybe_json_text(outcome.pauses),
            }
            changed = _present(content) | _told(outcome)
        if follow_up_at is not None:
            changed["follow_up_at"] = columns.micros(follow_up_at)
        if not changed:
            changed["id"] = execution_id  # nothing to write: still answer whether the row is there
        unfinished = [status for status in Status if not status.is_final]
        sql, values = _guarded(tenant_id, execution_id, changed, allowed=unfinished)
        return await self.database.execute(sql, values) == 1

    async def sealed_secrets(self, tenant_id: TenantId, execution_id: ExecutionId) -> str | None:
        """What `open` or `keep_secrets` sealed into an unfinished row."""
        row = await self.database.fetch_one(
            "SELECT sealed_secrets FROM executions WHERE tenant_id = ? AND id = ?", [tenant_id, execution_id]
        )
        return None if row is None else columns.maybe_text(row, "sealed_secrets")

    async def keep_secrets(self, tenant_id: TenantId, execution_id: ExecutionId, sealed: str) -> bool:
        """Replace what is sealed into an unfinished row."""
        touched = await self.database.execute(
            "UPDATE executions SET sealed_secrets = ? WHERE tenant_id = ? AND id = ? AND finished_at IS NULL",
            [sealed, tenant_id, execution_id],
        )
        return touched == 1

    async def note_cost(
        self, tenant_id: TenantId, execution_id: ExecutionId, cost: float, *, at: datetime
    ) -> bool:
        """Note, at `at`, what SIM said afterwards that the run of a row cost. `False`: that is known."""
        noted = await self.chain.close(
            _NOTE_COST,
            [cost, tenant_id, execution_id, cost],
            tenant_id=tenant_id,
            linked_at=columns.micros(at),
        )
        return noted is not None

    async def request_cancel(self, tenant_id: TenantId, execution_id: ExecutionId, at: datetime) -> bool:
        """Note that somebody wants the unfinished execution cancelled. The first request's time stays."""
        touched = await self.database.execute(
            "UPDATE executions SET cancel_requested_at = COALESCE(cancel_requested_at, ?)"
            " WHERE tenant_id = ? AND id = ? AND finished_at IS NULL",
            [columns.micros(at), tenant_id, execution_id],
        )
        return touched == 1

    async def record_refusal(self, execution: Execution, *, window_key: str | None) -> ExecutionId:
        """Write a refused call as a settled row; return the id of the row that stands for it.

        With a `window_key` (unique per tenant) the first refusal makes the row and later ones only
        raise its `refusals` and `finished_at`: a flood stays one row, and complete.

        Raises:
            ValueError: when `execution` is not in a final status.
        """
        if not execution.status.is_final:
            raise ValueError("a refusal is settled when it is recorded")
        row = to_row(execution, follow_up_at=None, window_key=window_key)
        finished_at = columns.micros(execution.finished_at or execution.created_at)
        row["finished_at"] = finished_at
        counting = _RETURNING if window_key is None else _COUNT_REFUSAL
        recorded = await self.chain.close(
            _insert(row) + counting, [*row.values()], tenant_id=execution.tenant_id, linked_at=finished_at
        )
        return execution.id if recorded is None else ExecutionId(columns.text(recorded, "id"))

    async def _detach(self, tenant_id: TenantId, execution_id: ExecutionId) -> None:
        """Let equal calls run again after a cancelled one; a caller's own key keeps its answer."""
        await self.database.execute(
            "UPDATE executions SET key_claim = NULL, key_digest = NULL"
            " WHERE tenant_id = ? AND id = ? AND key_claim LIKE ?",
            [tenant_id, execution_id, f"{ATTACHED}%"],
        )

    async def _change(
        self,
        tenant_id: TenantId,
        execution_id: ExecutionId,
        changed: Mapping[str, Value],
        *,
        allowed: Iterable[Status],
        closed_at: datetime | None = None,
    ) -> Row | None:
        sql, values = _guarded(tenant_id, execution_id, changed, allowed=allowed)
        if closed_at is None:
            return await self.database.change(f"{sql} RETURNING *", values)
        return await self.chain.close(
            sql + _RETURNING, values, tenant_id=tenant_id, linked_at=columns.micros(closed_at)
        )


def _guarded(
    tenant_id: TenantId, execution_id: ExecutionId, changed: Mapping[str, Value], *, allowed: Iterable[Status]
) -> tuple[str, list[Value]]:
    """The statement that writes `changed` into a row whose status is `allowed`, and its values."""
    statuses = sorted(allowed)
    sql = "".join(
        [
            _UPDATE,
            ", ".join(f"{column} = ?" for column in changed),
            " WHERE tenant_id = ? AND id = ? AND status IN (",
            ", ".join("?" * len(statuses)),
            ")",
        ]
    )
    return sql, [*changed.values(), tenant_id, execution_id, *statuses]


def _insert(row: Mapping[str, Value]) -> str:
    marks = ", ".join("?" * len(row))
    return "".join(["INSERT INTO executions (", ", ".join(row), ") VALUES (", marks, ")"])


def _told(outcome: Outcome) -> dict[str, Value]:
    known: dict[str, Value] = {"was_known": 1, "missed_at": None} if outcome.is_known else {}
    return known | _present(
        {
            "run_id": outcome.run_id,
            "job_id": outcome.job_id,
            "duration_ms": outcome.duration_ms,
            "cost": outcome.cost,
        }
    )


def _present(values: Mapping[str, Value]) -> dict[str, Value]:
    return {column: value for column, value in values.items() if value is not None}
