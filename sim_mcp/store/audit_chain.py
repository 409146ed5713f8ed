"""The audit chain: each closed execution is bound, by a keyed hash, to the one closed before it.

A link is written in the transaction that closes its row. What a row holds from then on must stay as it is,
but for three things that are left out of the hash: who holds its idempotency key, the lease of unfinished
rows, and, on a row that stands for a flood of refusals, how many they were and when the last one came. A cost
that SIM tells later makes another link of the same row; a row's newest link is the one that counts.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from sim_mcp.store import columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim_mcp.store.audit_keys import AuditKey, AuditKeys
    from sim_mcp.store.database import Database, Row, Transaction, Value

FORM = 1
"""Which columns a link covers. A new column makes a new form; links of older forms keep theirs."""
CONTENT = {
    1: (
        "tenant_id", "id", "organization_id", "integration_id", "tool_name", "workflow_id", "run_id",
        "job_id", "status", "mode", "timeout_s", "input", "output", "error", "duration_ms", "cost",
        "attempts", "triggered_by", "subject", "idempotency_key", "created_at", "started_at",
        "finished_at", "settings_revision", "trace_id", "refusals", "cancel_requested_at",
        "approver_permission", "answers", "window_key",
    )
}  # fmt: skip
_COUNTED = frozenset({"refusals", "finished_at"})
"""What changes on the row of a flood after it was written."""
_REAL = frozenset({"timeout_s", "cost"})
"""Which columns hold fractions: SQLite returns a whole one now as `60.0`, now as `60`."""
GENESIS = "0" * 64
"""What stands in for the chain before a tenant's first link."""

RETURNING = """RETURNING *,
COALESCE(
  (SELECT l.seq FROM audit_links AS l WHERE l.tenant_id = executions.tenant_id ORDER BY l.seq DESC LIMIT 1),
  (SELECT a.seq FROM audit_anchors AS a WHERE a.tenant_id = executions.tenant_id)
) AS newest_seq,
COALESCE(
  (SELECT l.chain FROM audit_links AS l WHERE l.tenant_id = executions.tenant_id ORDER BY l.seq DESC LIMIT 1),
  (SELECT a.chain FROM audit_anchors AS a WHERE a.tenant_id = executions.tenant_id)
) AS newest_chain
"""
"""How statements end that are given to `AuditChain.close`: with the newest link, or what stands for it."""
_INSERT = """
INSERT INTO audit_links (tenant_id, seq, execution_id, form, content, linked_at, key_id, chain)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""


_OLDEST = "SELECT * FROM audit_links WHERE tenant_id = ? ORDER BY seq LIMIT 500"
_DELETE = "DELETE FROM audit_links WHERE tenant_id = ? AND seq <= ?"
_FORGET = "UPDATE audit_links SET forgotten = ? WHERE tenant_id = ? AND seq = ?"
_ANCHOR = """
INSERT INTO audit_anchors (tenant_id, seq, chain, since, key_id, proof) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (tenant_id) DO UPDATE
SET seq = excluded.seq, chain = excluded.chain, key_id = excluded.key_id, proof = excluded.proof
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One link. `chain` covers all of it and the chain of the link before."""

    tenant_id: str
    seq: int
    execution_id: str
    form: int
    content: str
    linked_at: int
    key_id: str
    chain: str

    @classmethod
    def of_row(cls, row: Row) -> Link:
        """The link in `row`."""
        return cls(
            tenant_id=columns.text(row, "tenant_id"),
            seq=columns.whole(row, "seq"),
            execution_id=columns.text(row, "execution_id"),
            form=columns.whole(row, "form"),
            content=columns.text(row, "content"),
            linked_at=columns.whole(row, "linked_at"),
            key_id=columns.text(row, "key_id"),
            chain=columns.text(row, "chain"),
        )

    def chained(self, before: str, key: AuditKey) -> str:
        """What `chain` must be after a link whose chain is `before`."""
        return key.proof(
            "link", before, self.tenant_id, self.seq, self.execution_id, self.form, self.content,
            self.linked_at,
        )  # fmt: skip

    def forgetting(self, key: AuditKey) -> str:
        """What says that the retention removed the row of this link."""
        return key.proof("forgotten", self.tenant_id, self.seq, self.execution_id, self.chain)


def content_of(row: Row, *, form: int = FORM) -> str:
    """The hash of what an execution's row holds (SHA-256, hexadecimal), by the columns of `form`.

    Raises:
        KeyError: a form that this program does not know.
    """
    is_flood = row["window_key"] is not None
    values: list[Value] = [
        None if is_flood and column in _COUNTED else _plain(row[column], is_real=column in _REAL)
        for column in CONTENT[form]
    ]
    # In ASCII, so that it does not matter how a database would order or fold text.
    return hashlib.sha256(json.dumps(values, separators=(",", ":")).encode()).hexdigest()


def _is_past(row: Row, *, ids: set[str], key: AuditKey) -> bool:
    """Whether a link's row is gone for good: by this purge, or by an earlier one that says so."""
    link = Link.of_row(row)
    return link.execution_id in ids or row["forgotten"] == link.forgetting(key)


def _link(row: Row, *, key: AuditKey, linked_at: int) -> tuple[str, Sequence[Value]] | None:
    """The statement that links `row`; `None` for one that is not closed, or a flood that has its link."""
    if row["finished_at"] is None or columns.whole(row, "refusals") > 1:
        return None
    is_first = row["newest_seq"] is None
    unchained = Link(
        tenant_id=columns.text(row, "tenant_id"),
        seq=1 if is_first else columns.whole(row, "newest_seq") + 1,
        execution_id=columns.text(row, "id"),
        form=FORM,
        content=content_of(row),
        linked_at=linked_at,
        key_id=key.id,
        chain="",
    )
    link = replace(
        unchained, chain=unchained.chained(GENESIS if is_first else columns.text(row, "newest_chain"), key)
    )
    return _INSERT, [
        *(link.tenant_id, link.seq, link.execution_id, link.form),
        *(link.content, link.linked_at, link.key_id, link.chain),
    ]


async def _since(transaction: Transaction, oldest: Row) -> int:
    """When the chain began, of which `oldest` is the oldest link that is left."""
    row = await transaction.fetch_one(
        "SELECT since FROM audit_anchors WHERE tenant_id = ?", [oldest["tenant_id"]]
    )
    return columns.whole(oldest, "linked_at") if row is None else columns.whole(row, "since")


def _plain(value: Value, *, is_real: bool) -> Value:
    return float(value) if is_real and isinstance(value, int) else value


@dataclass(frozen=True, slots=True)
class AuditChain:
    """Makes links."""

    database: Database
    keys: AuditKeys

    async def close(
        self, sql: str, parameters: Sequence[Value], *, tenant_id: str, linked_at: int
    ) -> Row | None:
        """Run a statement that changes one execution and ends with `RETURNING`, and link it: both or neither.

        `None` when the statement touched no row. No link for a row that is not closed, and no second one for
        the row of a flood.
        """
        key = self.keys.current()
        if key is None:
            async with self.database.transaction() as transaction:
                key = await self.keys.settle(transaction)
            self.keys.remember(key)
        return await self.database.change(
            sql, parameters, then=partial(_link, key=key, linked_at=linked_at), turn=tenant_id
        )

    async def forget(self, transaction: Transaction, tenant_id: str, ids: set[str]) -> None:
        """Tell the chain, inside the transaction that deletes them, that the retention removed these rows.

        Links at the old end go, and the anchor takes their place; others are marked.
        """
        key = self.keys.current() or await self.keys.settle(transaction)
        anchor, newest = None, None
        while links := await transaction.fetch_all(_OLDEST, [tenant_id]):
            past = list(itertools.takewhile(partial(_is_past, ids=ids, key=key), links))
            if past:
                newest = Link.of_row(past[-1])
                anchor = anchor or await _since(transaction, links[0])
                await transaction.execute(_DELETE, [tenant_id, newest.seq])
            if len(past) < len(links):
                break
        if newest is not None and anchor is not None:
            proof = key.proof("anchor", tenant_id, newest.seq, newest.chain, anchor)
            await transaction.execute(_ANCHOR, [tenant_id, newest.seq, newest.chain, anchor, key.id, proof])
        marks = ", ".join("?" * len(ids))
        left = await transaction.fetch_all(
            f"SELECT * FROM audit_links WHERE tenant_id = ? AND execution_id IN ({marks})",  # noqa: S608 - marks only
            [tenant_id, *ids],
        )
        for row in left:
            link = Link.of_row(row)
            await transaction.execute(_FORGET, [link.forgetting(key), tenant_id, link.seq])
