"""The public keys in an identity provider's JWK Set (RFC 7517): which of them may verify a token, and how."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jwt import PyJWK

log = logging.getLogger(__name__)

MOST_KEYS = 64
SMALLEST_RSA_BITS = 2048
LARGEST_RSA_BITS = 8192
"""Verifying with a larger one would take long enough to be an attack."""

_ALGORITHMS: dict[tuple[str, str | None], str] = {
    ("RSA", None): "RS256",
    ("EC", "P-256"): "ES256",
    ("OKP", "Ed25519"): "EdDSA",
}
ASYMMETRIC = frozenset(_ALGORITHMS.values())
"""The algorithms that keys of a provider may verify. Each kind of key has exactly one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """One key, and the only algorithm that it verifies."""

    kid: str | None
    algorithm: str
    key: PyJWK


@dataclass(frozen=True, slots=True)
class KeySet:
    """What a provider published, as far as it can be used."""

    keys: tuple[PublicKey, ...]

    def knows(self, kid: str | None) -> bool:
        """Whether a key of that name was published; keys without a name are never known."""
        return kid is not None and any(key.kid == kid for key in self.keys)

    def fitting(self, kid: str | None, algorithm: str) -> tuple[PublicKey, ...]:
        """The keys that may have signed a token with this header.

        A token that names its key is checked with keys of that name only; one that names none, with
        every key of its algorithm.
        """
        return tuple(key for key in self.keys if key.algorithm == algorithm and kid in {None, key.kid})


def read_key_set(document: bytes) -> KeySet:
    """The usable keys of `document`, at most 64. An empty set is a valid one.

    Left out: symmetric keys, keys for encryption or for another algorithm, RSA keys below 2048 or
    above 8192 bits, private keys (whoever publishes one has lost it), and whatever cannot be read.

    Raises:
        ValueError: it is not a JWK Set.
    """
    try:
        content: object = json.loads(document.decode("utf-8"))
    except RecursionError:
        raise ValueError("it nests too deeply") from None
    listed = cast("dict[str, object]", content).get("keys") if isinstance(content, dict) else None
    if not isinstance(listed, list):
        raise ValueError("it is not a JWK Set")  # noqa: TRY004 - a fault of the content, like bad JSON
    entries = cast("list[object]", listed)[:MOST_KEYS]
    keys = (_public_key(cast("dict[str, Any]", entry)) for entry in entries if isinstance(entry, dict))
    return KeySet(tuple(key for key in keys if key is not None))


def _public_key(entry: dict[str, Any]) -> PublicKey | None:
    import jwt

    algorithm = _algorithm(entry)
    if algorithm is None:
        return None
    if "d" in entry:
        log.warning("the identity provider publishes a private key; it is not used")
        return None
    kid = entry.get("kid")
    try:
        key = jwt.PyJWK(entry, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        return None  # whatever such an entry is, nobody can sign with it
    if algorithm == "RS256" and not SMALLEST_RSA_BITS <= key.key.key_size <= LARGEST_RSA_BITS:
        return None
    return PublicKey(kid=kid if isinstance(kid, str) else None, algorithm=algorithm, key=key)


def _algorithm(entry: Mapping[str, Any]) -> str | None:
    """What `entry` verifies; `None` when it verifies nothing that we accept."""
    kind, curve = entry.get("kty"), entry.get("crv")
    if not isinstance(kind, str) or not isinstance(curve, str | None):
        return None
    algorithm = _ALGORITHMS.get((kind, curve))
    operations = entry.get("key_ops", ["verify"])
    fits = (
        algorithm is not None
        and entry.get("alg", algorithm) == algorithm
        and entry.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in cast("list[object]", operations)
    )
    return algorithm if fits else None
