"""One-time links to the setup page: stored as a hash, short-lived, claimed by one guarded statement."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sim_mcp.model.errors import Throttled
from sim_mcp.model.principal import TenantId
from sim_mcp.model.setup_link import MOST_TRIES, SetupLink
from sim_mcp.store import columns

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sim_mcp.model.clock import Clock
    from sim_mcp.model.json import Json
    from sim_mcp.model.principal import Principal
    from sim_mcp.store.database import Database, Row, Statements

LIFETIME = timedelta(minutes=10)
MOST_OPEN_OF_A_TENANT = 10
KEPT = timedelta(days=1)
"""How long a link that ended can still say how; then it is as unknown as a forged one."""

_SHAPE = re.compile(r"[A-Za-z0-9_-]{43}\Z")
_OPEN = f"used_at IS NULL AND tries < {MOST_TRIES} AND expires_at > ?"

_INSERT = """
INSERT INTO setup_links (
  tenant_id, id, organization_id, subject, base_url, is_enabled, secret_hash, tries, created_at, expires_at
) VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?, ?)
"""


def new_secret() -> str:
    """What makes a link unguessable: 43 characters, 256 bits."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True)
class SetupLinks:
    """The links of all tenants."""

    database: Database
    clock: Clock
    new_id: Callable[[], str]
    new_secret: Callable[[], str] = new_secret

    async def create(self, principal: Principal, *, base_url: str, is_enabled: bool) -> tuple[SetupLink, str]:
        """A link by which a person may store a key as `principal`, and its secret, shown this once.

        Also forgets links that ended more than a day ago.

        Raises:
            Throttled: the tenant has ten open links; `retry_after_s` is when the first of them ends.
        """
        now = self.clock.now()
        secret = self.new_secret()
        link = SetupLink(
            id=self.new_id(),
            tenant_id=principal.tenant_id,
            organization_id=principal.organization_id,
            subject=columns.clean(principal.subject),
            base_url=base_url,
            is_enabled=is_enabled,
            created_at=now,
            expires_at=now + LIFETIME,
        )
        async with self.database.transaction() as transaction:
            await transaction.execute(
                "DELETE FROM setup_links WHERE expires_at <= ?", [columns.micros(now - KEPT)]
            )
            await self._check_room(transaction, principal.tenant_id, now)
            await transaction.execute(
                _INSERT,
                [
                    *(link.tenant_id, link.id, link.organization_id, link.subject, link.base_url),
                    *(int(link.is_enabled), _hash(secret)),
                    *(columns.micros(link.created_at), columns.micros(link.expires_at)),
                ],
            )
        return link, secret

    async def find(self, secret: str) -> SetupLink | None:
        """The link with this secret, whatever became of it; `None` when unknown.

        Comparing takes no time that tells about the secret: what is looked up is its hash.
        """
        if _SHAPE.match(secret) is None:
            return None
        row = await self.database.fetch_one(
            "SELECT * FROM setup_links WHERE secret_hash = ?", [_hash(secret)]
        )
        return None if row is None else _link(row)

    async def get(self, tenant_id: TenantId, link_id: str) -> SetupLink | None:
        """The tenant's link with this id; `None` when unknown."""
        row = await self.database.fetch_one(
            "SELECT * FROM setup_links WHERE tenant_id = ? AND id = ?", [tenant_id, link_id]
        )
        return None if row is None else _link(row)

    async def take_try(self, link: SetupLink) -> bool:
        """Count one key that is about to be tried; `False`, changing nothing, when the link is not open."""
        touched = await self.database.execute(
            f"UPDATE setup_links SET tries = tries + 1 WHERE tenant_id = ? AND id = ? AND {_OPEN}",  # noqa: S608 - a constant
            [link.tenant_id, link.id, columns.micros(self.clock.now())],
        )
        return touched == 1

    async def claim(self, transaction: Statements, link: SetupLink, *, revision: int, found: Json) -> bool:
        """Use the link up, inside the transaction that stores the key; `False` when another one did.

        Its time may be over by now: what counts is that it was not when the key was sent.
        """
        touched = await transaction.execute(
            "UPDATE setup_links SET used_at = ?, revision = ?, found = ?"
            " WHERE tenant_id = ? AND id = ? AND used_at IS NULL",
            [
                *(columns.micros(self.clock.now()), revision, columns.maybe_json_text(found)),
                *(link.tenant_id, link.id),
            ],
        )
        return touched == 1

    async def choose(self, transaction: Statements, link: SetupLink, *, revision: int) -> bool:
        """Note that the workspace was picked, which made `revision`; `False` when it was before."""
        touched = await transaction.execute(
            "UPDATE setup_links SET chosen_at = ?, revision = ?"
            " WHERE tenant_id = ? AND id = ? AND used_at IS NOT NULL AND chosen_at IS NULL",
            [columns.micros(self.clock.now()), revision, link.tenant_id, link.id],
        )
        return touched == 1

    async def close(self, link: SetupLink) -> bool:
        """End an unused link now; `False` when it was used or had ended."""
        now = columns.micros(self.clock.now())
        touched = await self.database.execute(
            f"UPDATE setup_links SET expires_at = ? WHERE tenant_id = ? AND id = ? AND {_OPEN}",  # noqa: S608 - a constant
            [now, link.tenant_id, link.id, now],
        )
        return touched == 1

    async def _check_room(self, transaction: Statements, tenant_id: TenantId, now: datetime) -> None:
        rows = await transaction.fetch_all(
            f"SELECT expires_at FROM setup_links WHERE tenant_id = ? AND {_OPEN} ORDER BY expires_at",  # noqa: S608 - a constant
            [tenant_id, columns.micros(now)],
        )
        if len(rows) >= MOST_OPEN_OF_A_TENANT:
            ends_at = columns.moment(rows[0], "expires_at")
            raise Throttled(
                f"This tenant has {len(rows)} unused setup links. Use one, or ask again when one ends.",
                retry_after_s=max(1.0, (ends_at - now).total_seconds()),
            )


def _hash(secret: str) -> str:
    # Plain SHA-256 is enough for 256 random bits: there is nothing to guess that a slow hash would slow down.
    return hashlib.sha256(secret.encode()).hexdigest()


def _link(row: Row) -> SetupLink:
    return SetupLink(
        id=columns.text(row, "id"),
        tenant_id=TenantId(columns.text(row, "tenant_id")),
        organization_id=columns.maybe_text(row, "organization_id"),
        subject=columns.text(row, "subject"),
        base_url=columns.text(row, "base_url"),
        is_enabled=columns.flag(row, "is_enabled"),
        created_at=columns.moment(row, "created_at"),
        expires_at=columns.moment(row, "expires_at"),
        tries=columns.whole(row, "tries"),
        used_at=columns.maybe_moment(row, "used_at"),
        revision=columns.maybe_whole(row, "revision"),
        found=columns.json_value(row, "found"),
        chosen_at=columns.maybe_moment(row, "chosen_at"),
    )
