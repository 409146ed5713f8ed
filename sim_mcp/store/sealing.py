"""Sealing: a SIM API key at rest is AES-256-GCM text that opens only in the row it was made for."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim_mcp.model.errors import InvalidInput, NotConfigured

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sim_mcp.model.integration import IntegrationId
    from sim_mcp.model.principal import TenantId

KEY_BYTES = 32
_NONCE_BYTES = 12
_FORMAT = "v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Where a sealed value belongs. It opens only together with exactly these."""

    tenant_id: TenantId
    organization_id: str | None
    integration_id: IntegrationId
    revision: int
    purpose: str = "sim-api-key"
    audience: str = ""
    """The base URL that a key may be sent to: one that was changed behind our back opens nothing."""

    def as_bytes(self) -> bytes:
        """The associated data. Each part carries its length, so that no two bindings look alike."""
        organization = b"-" if self.organization_id is None else b"+" + _utf8(self.organization_id)
        parts = [
            _FORMAT.encode(),
            _utf8(self.purpose),
            _utf8(self.tenant_id),
            organization,
            _utf8(self.integration_id),
            str(self.revision).encode(),
            _utf8(self.audience),
        ]
        return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


class Sealer:
    """Seals under the newest of `keys` (32 bytes each, newest first); opens what any of them sealed."""

    def __init__(
        self, keys: Sequence[bytes], *, random_bytes: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        """Keep `keys`.

        Raises:
            InvalidInput: when there is no key, or one is not 32 bytes long.
        """
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise InvalidInput("Encryption keys are 32 bytes each, and at least one is needed.")
        self._newest_id = _key_id(keys[0])
        self._keys = {_key_id(key): key for key in keys}
        self._random_bytes = random_bytes

    def seal(self, plain: str, bound_to: Binding) -> str:
        """`plain` as ASCII text that says nothing about it but its length.

        Raises:
            InvalidInput: when `plain` is no valid Unicode.
        """
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = self._random_bytes(_NONCE_BYTES)
        sealed = AESGCM(self._keys[self._newest_id]).encrypt(nonce, _utf8(plain), bound_to.as_bytes())
        return f"{_FORMAT}.{self._newest_id}.{_base64(nonce + sealed)}"

    def unseal(self, sealed: str, bound_to: Binding) -> str:
        """What was sealed for exactly `bound_to`.

        Raises:
            NotConfigured: when the key that sealed it is not among ours, or when it was altered or
                moved here from another row.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        version, _, rest = sealed.partition(".")
        key_id, _, body = rest.partition(".")
        key = self._keys.get(key_id)
        if version != _FORMAT or key is None:
            raise _closed("sealed under a key that is not configured")
        try:
            blob = _from_base64(body)
            return AESGCM(key).decrypt(blob[:_NONCE_BYTES], blob[_NONCE_BYTES:], bound_to.as_bytes()).decode()
        except (InvalidTag, ValueError) as error:
            raise _closed("altered, or moved from another row") from error

    def is_newest(self, sealed: str) -> bool:
        """Whether `sealed` was sealed under the newest key."""
        return sealed.startswith(f"{_FORMAT}.{self._newest_id}.")


def parse_keys(encoded: str) -> tuple[bytes, ...]:
    """The keys in the text of `SIM_MCP_ENCRYPTION_KEYS`: base64url, separated by commas, newest first.

    Raises:
        InvalidInput: naming the place of the bad key, never its text.
    """
    keys: list[bytes] = []
    for place, part in enumerate(encoded.split(","), start=1):
        key = _parse_key(part)
        if key is None:
            raise InvalidInput(
                f"Key {place} in SIM_MCP_ENCRYPTION_KEYS is not 32 bytes in base64url: make one with"
                ' `python -c "import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())"`.'
            )
        keys.append(key)
    return tuple(keys)


def load_or_create_key_file(
    path: Path, *, random_bytes: Callable[[int], bytes] = secrets.token_bytes
) -> bytes:
    """The key in the file at `path`; when there is none, a fresh one is written there first (mode 0600).

    Of several processes that start at once, one makes the key and all return it. Blocks on the disk.

    Raises:
        InvalidInput: when the file is no key, or when others than its owner may read it.
        OSError: when the directory cannot be written or the file cannot be read.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        _create_key_file(path, random_bytes)
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        content = file.read(1000)
    if os.name == "posix" and mode & 0o077:
        raise InvalidInput(
            f"The encryption key file {str(path)!r} may be read by others (mode {mode:04o}):"
            " run `chmod 600` on it."
        )
    key = _parse_key(content.decode("ascii", "replace"))
    if key is None:
        raise InvalidInput(
            f"The encryption key file {str(path)!r} is no key: restore it from a backup. Only if no SIM key"
            " is stored yet, delete it and a new one is made."
        )
    return key


def _create_key_file(path: Path, random_bytes: Callable[[int], bytes]) -> None:
    # Written aside and linked into place, so that the name appears with its whole content or not at
    # all, and never replaces a key that another process made a moment earlier.
    draft = path.with_name(f".{path.name}.{random_bytes(8).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(_base64(random_bytes(KEY_BYTES)).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        _publish(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _publish(draft: Path, path: Path) -> None:
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    except OSError:  # a file system without hard links
        if not path.exists():
            draft.rename(path)


def _parse_key(encoded: str) -> bytes | None:
    try:
        key = _from_base64(encoded.strip())
    except ValueError:
        return None
    return key if len(key) == KEY_BYTES else None


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"sim-mcp encryption key id\0" + key).hexdigest()[:16]


def _closed(detail: str) -> NotConfigured:
    return NotConfigured(
        "The stored SIM API key cannot be opened with the configured encryption keys: run setup again.",
        detail=detail,
    )


def _utf8(value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        # Not chained: the foreign error carries the text, and the text may be a secret.
        raise InvalidInput("A key or an id is not valid text: send it again as UTF-8.") from None


def _base64(blob: bytes) -> str:
    return base64.urlsafe_b64encode(blob).decode().rstrip("=")


def _from_base64(encoded: str) -> bytes:
    try:
        padded = encoded.rstrip("=").encode("ascii")
        return base64.b64decode(padded + b"=" * (-len(padded) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error
