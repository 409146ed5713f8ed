"""What a credential looks like: one rule for rows, answers and log lines."""

from __future__ import annotations

import re

REDACTED = "[redacted]"

# A look-behind instead of a word border: each run of characters is tried once, so that a long text that
# almost looks like a key costs no more than its length.
CREDENTIAL = re.compile(
    r"""
    (?<![\w-])(?:sk|pk|rk)-[A-Za-z0-9_-]{8,}          # SIM's and many model providers' keys
    | (?<![\w-])sim_(?=[a-z_-]*[0-9A-Z])[A-Za-z0-9_-]{12,}   # SIM's older keys, not our tools' names
    | (?<![\w-])simmcp_[A-Za-z0-9_-]{16,}             # our own tokens
    | (?<![\w-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}   # JSON Web Tokens
    | \b[Bb]earer\s+[A-Za-z0-9._~+/=-]{8,}
    | \bgh[pousr]_[A-Za-z0-9]{20,}
    | \bxox[abprs]-[A-Za-z0-9-]{10,}
    | \bAKIA[0-9A-Z]{16}\b
    | \b[Bb]asic\s+[A-Za-z0-9+/]{8,}={0,2}
    | (?<=://)[^\s/:@]{1,200}:[^\s/@]{1,200}(?=@)     # a password in an address
    | (?i:x-api-key)['"]?\s*[:=]\s*['"]?[^\s'",]+
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----.*?(?:-----END\ [A-Z ]*PRIVATE\ KEY-----|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)


def without_credentials(text: str) -> str:
    """`text` with everything that looks like a credential replaced."""
    return CREDENTIAL.sub(REDACTED, text)
