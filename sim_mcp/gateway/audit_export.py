"""The audit log as a file that can be checked without the database: NDJSON, ended by a signed digest.

One line for each link of the chain, oldest first, then the digest: a hash over all lines before it, the head
of the chain, and an Ed25519 signature. The signing key is derived from the tenant's newest audit key, so it
stays the same while encryption keys come and go.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from sim_mcp.gateway.archive import record_of
from sim_mcp.model.errors import InvalidInput
from sim_mcp.model.json import is_object
from sim_mcp.model.principal import TenantId

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable
    from datetime import datetime

    from sim_mcp.model.json import Json
    from sim_mcp.store import AuditKey, AuditTrail, Linked, Verdict

_SIGNED = b"sim-mcp audit digest\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """What the last line of an export says, and that its signature is right."""

    tenant_id: TenantId
    links: int
    last_seq: int
    head: str
    broken: int
    exported_at: str
    public_key: str


async def exported(
    trail: AuditTrail, verdict: Verdict, key: AuditKey, *, after_seq: int, at: datetime
) -> AsyncGenerator[bytes]:
    """The lines of the tenant of `verdict`, each with its line end, from the link after `after_seq`.

    What came after the last link of `verdict` is left to the next export.
    """
    lines = hashlib.sha256()
    first = last = None
    count = 0
    async for found in trail.read(verdict.tenant_id, after_seq=after_seq):
        if found.link.seq > verdict.last_seq:
            break
        line = _compact(_line(found)) + b"\n"
        lines.update(line)
        first, last, count = first or found.link, found.link, count + 1
        yield line
    digest: dict[str, Json] = {
        "kind": "digest",
        "tenantId": verdict.tenant_id,
        "exportedAt": at.isoformat(),
        "links": count,
        "firstSeq": first.seq if first else None,
        "lastSeq": last.seq if last else after_seq,
        "head": last.chain if last else None,
        "broken": verdict.broken_count,
        "sha256": lines.hexdigest(),
        "algorithm": "Ed25519",
        "publicKey": public_key(key),
    }
    yield _compact({**digest, "signature": _sign(key, digest)}) + b"\n"


def check_export(lines: Iterable[bytes]) -> Digest:
    """The digest of an export whose lines are all there, in order, and unaltered since they were signed.

    Whoever signed is told by `public_key`: compare it with the one you know.

    Raises:
        InvalidInput: what is wrong with the file.
    """
    hashed = hashlib.sha256()
    digest: Json = None
    for line in lines:
        if digest is not None:
            raise InvalidInput("Lines follow the digest: something was added to this export.")
        said = _read(line)
        if said.get("kind") == "digest":
            digest = said
        else:
            hashed.update(line)
    if not is_object(digest):
        raise InvalidInput("The export has no digest: it was cut off, or is no export of `sim-mcp audit`.")
    signature = digest.get("signature")
    unsigned = {name: value for name, value in digest.items() if name != "signature"}
    if not _is_signed(unsigned, str(signature)):
        raise InvalidInput("The digest was altered: its signature does not fit.")
    if digest.get("sha256") != hashed.hexdigest():
        raise InvalidInput("A line was altered, added or removed: the lines are not those that were signed.")
    return Digest(
        tenant_id=TenantId(str(digest.get("tenantId"))),
        links=cast("int", digest.get("links")),
        last_seq=cast("int", digest.get("lastSeq")),
        head=str(digest.get("head")),
        broken=cast("int", digest.get("broken")),
        exported_at=str(digest.get("exportedAt")),
        public_key=str(digest.get("publicKey")),
    )


def public_key(key: AuditKey) -> str:
    """What checks the signatures of `key`: 32 bytes, base64."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return base64.b64encode(
        Ed25519PrivateKey.from_private_bytes(key.seed()).public_key().public_bytes_raw()
    ).decode()


def _line(found: Linked) -> dict[str, Json]:
    link = found.link
    line: dict[str, Json] = {
        "kind": "execution",
        "seq": link.seq,
        "executionId": link.execution_id,
        "content": link.content,
        "chain": link.chain,
        "keyId": link.key_id,
    }
    if found.row is None:
        return line | {"kind": "forgotten" if found.forgotten else "missing"}
    if not found.is_newest:
        return line | {"kind": "superseded"}
    return line | {"execution": record_of(found.execution())}


def _sign(key: AuditKey, digest: dict[str, Json]) -> str:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    signature = Ed25519PrivateKey.from_private_bytes(key.seed()).sign(_SIGNED + _compact(digest))
    return base64.b64encode(signature).decode()


def _is_signed(digest: dict[str, Json], signature: str) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        public = Ed25519PublicKey.from_public_bytes(
            base64.b64decode(str(digest.get("publicKey")), validate=True)
        )
        public.verify(base64.b64decode(signature, validate=True), _SIGNED + _compact(digest))
    except (InvalidSignature, ValueError):
        return False
    return True


def _compact(value: dict[str, Json]) -> bytes:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode()


def _read(line: bytes) -> dict[str, Json]:
    try:
        said: object = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("A line of the export is no JSON: it was cut off or altered.") from error
    if not isinstance(said, dict):
        raise InvalidInput("A line of the export is no JSON object: it was altered.")
    return cast("dict[str, Json]", said)
