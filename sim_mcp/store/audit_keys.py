"""The keys of the audit chain: random, sealed under the encryption keys, kept for as long as they open."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sim_mcp.model.errors import NotConfigured
from sim_mcp.model.integration import IntegrationId
from sim_mcp.model.principal import TenantId
from sim_mcp.store import columns
from sim_mcp.store.sealing import Binding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim_mcp.model.clock import Clock
    from sim_mcp.store.database import Database, Row, Transaction
    from sim_mcp.store.sealing import Sealer

KEY_BYTES = 32
_ALL = "SELECT id, sealed FROM audit_keys ORDER BY made_at DESC, id"
_NOBODY = TenantId("")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditKey:
    """One key, opened."""

    id: str
    secret: bytes = field(repr=False)

    def proof(self, purpose: str, *parts: str | int) -> str:
        """A keyed hash of `parts` (hexadecimal). Each part carries its length, so no two lists look alike."""
        sized = [str(part).encode("utf-8", "surrogatepass") for part in (purpose, *parts)]
        message = b"".join(len(part).to_bytes(4, "big") + part for part in sized)
        return hmac.digest(self.secret, message, "sha256").hex()

    def seed(self) -> bytes:
        """32 bytes for the key that signs exports: the same for as long as this key lives."""
        return hashlib.sha256(b"sim-mcp audit export\0" + self.secret).digest()


@dataclass(frozen=True, slots=True)
class AuditKeys:
    """The audit keys of the database, as far as the configured encryption keys open them."""

    database: Database
    sealer: Sealer
    clock: Clock
    _current: list[AuditKey] = field(default_factory=list[AuditKey])

    def current(self) -> AuditKey | None:
        """The key of new links as far as this process knows it; `None` before `settle`."""
        return self._current[0] if self._current else None

    async def settle(self, transaction: Transaction) -> AuditKey:
        """The newest key that opens; a new one when there is none. Said inside the transaction that needs it.

        A key that does not open any more (its encryption key is gone) must keep no call from being closed.
        """
        opened = self._opened(await transaction.fetch_all(_ALL))
        if not opened:
            made = AuditKey(id=secrets.token_hex(4), secret=secrets.token_bytes(KEY_BYTES))
            await transaction.execute(
                "INSERT INTO audit_keys (id, sealed, made_at) VALUES (?, ?, ?)",
                [made.id, self._seal(made), columns.micros(self.clock.now())],
            )
            opened = [made]
        return opened[0]

    def remember(self, key: AuditKey) -> None:
        """Use `key` from now on: the transaction that settled it is committed."""
        self._current[:] = [key]

    async def all(self) -> dict[str, AuditKey]:
        """Every key that opens, by id."""
        return {key.id: key for key in self._opened(await self.database.fetch_all(_ALL))}

    async def reseal_all(self) -> int:
        """Seal every key under the newest encryption key; how many were not. What does not open stays."""
        resealed = 0
        async with self.database.transaction() as transaction:
            for row in await transaction.fetch_all(_ALL):
                for key in self._opened([row]):
                    if not self.sealer.is_newest(columns.text(row, "sealed")):
                        resealed += await transaction.execute(
                            "UPDATE audit_keys SET sealed = ? WHERE id = ?", [self._seal(key), key.id]
                        )
        return resealed

    def _opened(self, rows: Sequence[Row]) -> list[AuditKey]:
        opened: list[AuditKey] = []
        for row in rows:
            key_id = columns.text(row, "id")
            try:
                plain = self.sealer.unseal(columns.text(row, "sealed"), _binding(key_id))
            except NotConfigured:
                continue
            opened.append(AuditKey(id=key_id, secret=bytes.fromhex(plain)))
        return opened

    def _seal(self, key: AuditKey) -> str:
        return self.sealer.seal(key.secret.hex(), _binding(key.id))


def _binding(key_id: str) -> Binding:
    return Binding(
        tenant_id=_NOBODY,
        organization_id=None,
        integration_id=IntegrationId(key_id),
        revision=0,
        purpose="audit-key",
    )
