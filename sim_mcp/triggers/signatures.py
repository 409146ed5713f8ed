"""Signatures of events: `t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body">` (contract 8)."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING

from sim_mcp.model.errors import Unauthorized

if TYPE_CHECKING:
    from datetime import datetime

TOLERANCE_S = 300
_LONGEST = 1000
_REFUSED = (
    "The event's signature is not valid: send `X-Sim-Mcp-Signature: t=<unix seconds>,v1=<hex>` with the "
    "HMAC-SHA256 of `<t>.<body>` under the sender's secret, at most 5 minutes old, and name the sender in "
    "`?sender=`."
)


def sign(secret: str, body: bytes, *, at: datetime) -> str:
    """The header value that a sender puts on `body`."""
    seconds = int(at.timestamp())
    return f"t={seconds},v1={_digest(secret, seconds, body)}"


def check_signature(header: str, body: bytes, secret: str | None, *, now: datetime) -> None:
    """Return when `header` signs `body` with `secret`. Several `v1` may stand in it, for a change of secrets.

    Raises:
        Unauthorized: it does not, it is too old, or there is no such sender: always the same words.
    """
    parts = [part.strip().partition("=") for part in header[:_LONGEST].split(",")]
    times = [value for name, _, value in parts if name == "t" and re.fullmatch(r"[0-9]{1,12}", value)]
    given = [value for name, _, value in parts if name == "v1"]
    if secret is None or len(times) != 1 or not given:
        raise Unauthorized(_REFUSED)
    seconds = int(times[0])
    wanted = _digest(secret, seconds, body).encode()
    # Every candidate is compared, so that the time taken tells nothing.
    matches = [hmac.compare_digest(wanted, each.encode("utf-8", "replace")) for each in given]
    if not any(matches) or abs(now.timestamp() - seconds) > TOLERANCE_S:
        raise Unauthorized(_REFUSED)


def _digest(secret: str, seconds: int, body: bytes) -> str:
    return hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
