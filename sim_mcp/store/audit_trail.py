"""Reading the audit chain: is everything still as it was when it was closed? Only reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from sim_mcp.model.principal import TenantId
from sim_mcp.store import columns
from sim_mcp.store.audit_chain import CONTENT, GENESIS, Link, content_of
from sim_mcp.store.execution_rows import from_row

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from datetime import datetime

    from sim_mcp.model.execution import Execution
    from sim_mcp.store.audit_keys import AuditKey, AuditKeys
    from sim_mcp.store.database import Database, Row

SHOWN = 20
"""That many breaks are told one by one; the rest is counted."""
_BATCH = 500
_TRIES = 3
_TENANTS = """
SELECT tenant_id FROM audit_links UNION SELECT tenant_id FROM audit_anchors
UNION SELECT tenant_id FROM executions WHERE finished_at IS NOT NULL
ORDER BY tenant_id
"""
_LINKS = "SELECT * FROM audit_links WHERE tenant_id = ? AND seq > ? ORDER BY seq LIMIT ?"
_BEGAN = "SELECT applied_at FROM schema_migrations WHERE name = 'audit_chain'"
_UNLINKED = """
SELECT e.id, e.finished_at FROM executions AS e
WHERE e.tenant_id = ? AND e.finished_at >= ? AND (e.window_key IS NULL OR e.created_at >= ?)
  AND NOT EXISTS (SELECT 1 FROM audit_links AS l WHERE l.tenant_id = e.tenant_id AND l.execution_id = e.id)
ORDER BY e.finished_at, e.id
"""


class Break(StrEnum):
    """What can be wrong with a chain."""

    ANCHOR_ALTERED = "the place where the chain begins was altered"
    LINK_MISSING = "a link is missing before this one"
    LINK_ALTERED = "the link was altered"
    KEY_MISSING = "the audit key of the link does not open with the configured encryption keys"
    ROW_MISSING = "the row was deleted, and not by the retention"
    ROW_ALTERED = "the row was altered after it was closed"
    ROW_UNLINKED = "the row is in no chain: it was not closed by this program"


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """One break: at which link, and whose row."""

    kind: Break
    seq: int | None = None
    execution_id: str | None = None
    at: datetime | None = None


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What was found of one tenant. `head` is the chain's newest value; `since` when the chain began."""

    tenant_id: TenantId
    links: int = 0
    rows: int = 0
    first_seq: int | None = None
    last_seq: int = 0
    before: str = GENESIS
    head: str = GENESIS
    since: datetime | None = None
    broken: list[Broken] = field(default_factory=list[Broken])
    broken_count: int = 0

    def add(self, broken: Broken) -> None:
        """Note a break."""
        self.broken_count += 1
        if len(self.broken) < SHOWN:
            self.broken.append(broken)


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """A link with its row, as far as there is one. `is_newest`: no later link is of the same row."""

    link: Link
    forgotten: str | None
    row: Row | None
    is_newest: bool

    def execution(self) -> Execution:
        """The row as an execution.

        Raises:
            StoreUnavailable: it holds what we never write.
            ValueError: there is no row.
        """
        if self.row is None:
            raise ValueError("the link has no row")
        return from_row(self.row)


@dataclass(frozen=True, slots=True)
class AuditTrail:
    """The chains of all tenants. Operator's view."""

    database: Database
    keys: AuditKeys

    async def tenants(self) -> tuple[TenantId, ...]:
        """Every tenant of whom anything was closed."""
        rows = await self.database.fetch_all(_TENANTS)
        return tuple(TenantId(columns.text(row, "tenant_id")) for row in rows)

    async def read(self, tenant_id: TenantId, *, after_seq: int = 0) -> AsyncGenerator[Linked]:
        """The tenant's links after number `after_seq`, in order, with their rows."""
        while links := await self.database.fetch_all(_LINKS, [tenant_id, after_seq, _BATCH]):
            ids = sorted({columns.text(row, "execution_id") for row in links})
            rows, newest = await self._rows(tenant_id, ids)
            for each in links:
                link = Link.of_row(each)
                after_seq = link.seq
                yield Linked(
                    link=link,
                    forgotten=columns.maybe_text(each, "forgotten"),
                    row=rows.get(link.execution_id),
                    is_newest=newest.get(link.execution_id) == link.seq,
                )

    async def verify(self, tenant_id: TenantId) -> Verdict:
        """Hold every link against the one before, and every row against its newest link."""
        verdict = await self._verify(tenant_id)
        for _ in range(_TRIES):
            if not verdict.broken or await self._start_of(tenant_id) == verdict.before:
                break
            verdict = await self._verify(tenant_id)  # the retention went on meanwhile
        return verdict

    async def link(self, tenant_id: TenantId, seq: int) -> Link | None:
        """The link number `seq`, unless the retention has removed it."""
        row = await self.database.fetch_one(
            "SELECT * FROM audit_links WHERE tenant_id = ? AND seq = ?", [tenant_id, seq]
        )
        return None if row is None else Link.of_row(row)

    async def _verify(self, tenant_id: TenantId) -> Verdict:
        keys = await self.keys.all()
        verdict = Verdict(tenant_id=tenant_id)
        since = await self._start(verdict, keys)
        async for found in self.read(tenant_id):
            link = found.link
            if verdict.first_seq is None:
                verdict.first_seq = link.seq
                since = link.linked_at if since is None and link.seq == 1 else since
            for kind in _breaks(found, verdict, keys):
                at = columns.from_micros(link.linked_at)
                verdict.add(Broken(kind=kind, seq=link.seq, execution_id=link.execution_id, at=at))
            verdict.links += 1
            verdict.rows += found.is_newest and found.row is not None
            verdict.last_seq, verdict.head = link.seq, link.chain
        if since is None:
            since = await self._began()
        verdict.since = columns.from_micros(since)
        for row in await self.database.fetch_all(_UNLINKED, [tenant_id, since, since]):
            at = columns.moment(row, "finished_at")
            verdict.add(Broken(kind=Break.ROW_UNLINKED, execution_id=columns.text(row, "id"), at=at))
        return verdict

    async def _start(self, verdict: Verdict, keys: Mapping[str, AuditKey]) -> int | None:
        """Put the chain's beginning into `verdict`; when the chain began, if an anchor says so."""
        anchor = await self._anchor(verdict.tenant_id)
        if anchor is None:
            return None
        seq, chain, since = (
            columns.whole(anchor, "seq"),
            columns.text(anchor, "chain"),
            columns.whole(anchor, "since"),
        )
        verdict.last_seq, verdict.before, verdict.head = seq, chain, chain
        key = keys.get(columns.text(anchor, "key_id"))
        if key is None:
            verdict.add(Broken(kind=Break.KEY_MISSING, seq=seq))
        elif anchor["proof"] != key.proof("anchor", verdict.tenant_id, seq, chain, since):
            verdict.add(Broken(kind=Break.ANCHOR_ALTERED, seq=seq))
        return since

    async def _anchor(self, tenant_id: TenantId) -> Row | None:
        return await self.database.fetch_one("SELECT * FROM audit_anchors WHERE tenant_id = ?", [tenant_id])

    async def _start_of(self, tenant_id: TenantId) -> str:
        anchor = await self._anchor(tenant_id)
        return GENESIS if anchor is None else columns.text(anchor, "chain")

    async def _began(self) -> int:
        row = await self.database.fetch_one(_BEGAN)
        return 0 if row is None else columns.whole(row, "applied_at")

    async def _rows(self, tenant_id: TenantId, ids: Sequence[str]) -> tuple[dict[str, Row], dict[str, int]]:
        marks = ", ".join("?" * len(ids))
        rows = await self.database.fetch_all(
            f"SELECT * FROM executions WHERE tenant_id = ? AND id IN ({marks})",  # noqa: S608 - marks only
            [tenant_id, *ids],
        )
        newest = await self.database.fetch_all(
            "SELECT execution_id, MAX(seq) AS newest FROM audit_links"  # noqa: S608 - marks only
            f" WHERE tenant_id = ? AND execution_id IN ({marks}) GROUP BY execution_id",
            [tenant_id, *ids],
        )
        return (
            {columns.text(row, "id"): row for row in rows},
            {columns.text(row, "execution_id"): columns.whole(row, "newest") for row in newest},
        )


def _breaks(found: Linked, verdict: Verdict, keys: Mapping[str, AuditKey]) -> list[Break]:
    """What is wrong with a link that comes after those in `verdict`, and with its row."""
    link, broken = found.link, list[Break]()
    if link.seq != verdict.last_seq + 1:
        broken.append(Break.LINK_MISSING)
    key = keys.get(link.key_id)
    if key is None:
        broken.append(Break.KEY_MISSING)
    elif link.seq == verdict.last_seq + 1 and link.chain != link.chained(verdict.head, key):
        broken.append(Break.LINK_ALTERED)
    if not found.is_newest:
        return broken
    if found.row is None:
        if key is None or found.forgotten != link.forgetting(key):
            broken.append(Break.ROW_MISSING)
    elif link.form not in CONTENT or link.content != content_of(found.row, form=link.form):
        broken.append(Break.ROW_ALTERED)
    return broken
