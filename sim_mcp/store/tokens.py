"""The server's own bearer tokens: opaque, shown once, stored as a hash, expiring, revocable."""

from __future__ import annotations

import hashlib
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sim_mcp.model.errors import StoreUnavailable
from sim_mcp.model.json import is_array
from sim_mcp.model.principal import Permission, Principal, TenantId, parse_permissions
from sim_mcp.store import columns
from sim_mcp.store.changes import ChangeKind, record_change

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sim_mcp.model.clock import Clock
    from sim_mcp.store.database import Database, Row

TOKEN_PREFIX = "simmcp_"  # noqa: S105  # the public beginning of every token, which scanners look for
_SHAPE = re.compile(r"simmcp_[A-Za-z0-9_-]{43}\Z")
_TOUCH_EVERY = timedelta(minutes=1)

_INSERT = """
INSERT INTO tokens (
  tenant_id, id, organization_id, subject, permissions, name, secret_hash, created_at, created_by, expires_at
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What is known about a token once its secret was shown: everything but the secret."""

    id: str
    name: str
    tenant_id: TenantId
    organization_id: str | None
    subject: str
    permissions: frozenset[Permission]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    @property
    def principal(self) -> Principal:
        """Who calls with this token."""
        return Principal(
            tenant_id=self.tenant_id,
            organization_id=self.organization_id,
            subject=self.subject,
            permissions=self.permissions,
        )

    def is_in_force(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired at `now`."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


def new_secret() -> str:
    """The random part of a token: 43 characters, 256 bits."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of all tenants."""

    database: Database
    clock: Clock
    new_id: Callable[[], str]
    new_secret: Callable[[], str] = new_secret

    async def create(
        self, principal: Principal, *, name: str, expires_at: datetime | None, created_by: str
    ) -> tuple[Token, str]:
        """A token that stands for `principal`, and its secret, which nobody can read again."""
        secret = TOKEN_PREFIX + self.new_secret()
        token = Token(
            id=self.new_id(),
            name=columns.clean(name),
            tenant_id=principal.tenant_id,
            organization_id=principal.organization_id,
            subject=principal.subject,
            permissions=principal.permissions,
            created_at=self.clock.now(),
            created_by=columns.clean(created_by),
            expires_at=expires_at,
        )
        async with self.database.transaction() as transaction:
            await record_change(transaction, token.tenant_id, ChangeKind.TOKENS)
            await transaction.execute(
                _INSERT,
                [
                    *(token.tenant_id, token.id, token.organization_id, token.subject),
                    columns.json_text(sorted(permission.value for permission in token.permissions)),
                    *(token.name, _hash(secret), columns.micros(token.created_at), token.created_by),
                    columns.maybe_micros(token.expires_at),
                ],
            )
        return token, secret

    async def verify(self, secret: str, now: datetime) -> Token | None:
        """The token with this `secret`, in force at `now`; `None` for unknown, expired and revoked ones.

        Notes the use, at most once a minute. Comparing takes no time that tells about the secret:
        what is looked up is its hash.
        """
        if _SHAPE.match(secret) is None:
            return None
        row = await self.database.fetch_one("SELECT * FROM tokens WHERE secret_hash = ?", [_hash(secret)])
        if row is None:
            return None
        token = _token(row)
        if not token.is_in_force(now):
            return None
        if token.last_used_at is None or now - token.last_used_at >= _TOUCH_EVERY:
            await self._touch(token, now)
        return token

    async def list(self, tenant_id: TenantId) -> tuple[Token, ...]:
        """The tenant's tokens, newest first, revoked and expired ones too."""
        rows = await self.database.fetch_all(
            "SELECT * FROM tokens WHERE tenant_id = ? ORDER BY created_at DESC, id DESC", [tenant_id]
        )
        return tuple(_token(row) for row in rows)

    async def is_any_usable(self, now: datetime) -> bool:
        """Whether any tenant has a token that is neither revoked nor expired at `now`."""
        row = await self.database.fetch_one(
            "SELECT 1 AS found FROM tokens"
            " WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?) LIMIT 1",
            [columns.micros(now)],
        )
        return row is not None

    async def revoke(self, tenant_id: TenantId, token_id: str) -> bool:
        """End the token now, for good; `False` when it is unknown to the tenant or already revoked."""
        async with self.database.transaction() as transaction:
            touched = await transaction.execute(
                "UPDATE tokens SET revoked_at = ? WHERE tenant_id = ? AND id = ? AND revoked_at IS NULL",
                [columns.micros(self.clock.now()), tenant_id, token_id],
            )
            if touched == 1:
                await record_change(transaction, tenant_id, ChangeKind.TOKENS)
        return touched == 1

    async def _touch(self, token: Token, now: datetime) -> None:
        # A database that cannot be written must not lock out those who only want to read.
        with suppress(StoreUnavailable):
            await self.database.execute(
                "UPDATE tokens SET last_used_at = ? WHERE tenant_id = ? AND id = ?",
                [columns.micros(now), token.tenant_id, token.id],
            )


def _hash(secret: str) -> str:
    # Plain SHA-256 is enough for 256 random bits: there is nothing to guess that a slow hash would slow down.
    return hashlib.sha256(secret.encode()).hexdigest()


def _token(row: Row) -> Token:
    permissions = columns.json_value(row, "permissions")
    return Token(
        id=columns.text(row, "id"),
        name=columns.text(row, "name"),
        tenant_id=TenantId(columns.text(row, "tenant_id")),
        organization_id=columns.maybe_text(row, "organization_id"),
        subject=columns.text(row, "subject"),
        permissions=parse_permissions(permissions) if is_array(permissions) else frozenset(),
        created_at=columns.moment(row, "created_at"),
        created_by=columns.text(row, "created_by"),
        expires_at=columns.maybe_moment(row, "expires_at"),
        last_used_at=columns.maybe_moment(row, "last_used_at"),
        revoked_at=columns.maybe_moment(row, "revoked_at"),
    )
