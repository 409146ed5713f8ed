"""The headers of the REST door, as its OpenAPI document declares them."""

from __future__ import annotations

from typing import Any

IDEMPOTENCY_KEY = "Idempotency-Key"
LOCATION = "Location"
REPLAYED = "Idempotency-Replayed"
RETRY_AFTER = "Retry-After"
WWW_AUTHENTICATE = "WWW-Authenticate"

ASKED_HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-Id": {
        "name": "X-Request-Id",
        "in": "header",
        "required": False,
        "description": "Your name for this request: 1 to 64 of `A-Za-z0-9._-`. Anything else is replaced.",
        "schema": {"type": "string"},
        "example": "invoice-4711",
    },
    "Tenant-Id": {
        "name": "Tenant-Id",
        "in": "header",
        "required": False,
        "description": "Must be the token's tenant, else 403. It never chooses one.",
        "schema": {"type": "string"},
        "example": "acme",
    },
    "Organization-Id": {
        "name": "Organization-Id",
        "in": "header",
        "required": False,
        "description": "Must be the token's organisation, else 403. It never chooses one.",
        "schema": {"type": "string"},
        "example": "emea",
    },
    IDEMPOTENCY_KEY: {
        "name": IDEMPOTENCY_KEY,
        "in": "header",
        "required": False,
        "description": "For 24 hours the same key with the same request answers the same execution instead "
        "of starting another; with a different request it is refused with `CONFLICT`.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
        "example": "order-4711",
    },
}
"""What a caller may send. Never changed."""

ANSWERED_HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-Id": {
        "description": "The id of this request: yours if it was well-formed.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    },
    LOCATION: {
        "description": "Where to ask for the job.",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
    },
    REPLAYED: {
        "description": "There when the execution is an earlier request's, sent under the same key.",
        "schema": {"const": "true"},
    },
    RETRY_AFTER: {
        "description": "Seconds until it makes sense to ask again, where that is known.",
        "schema": {"type": "integer", "minimum": 1},
    },
    WWW_AUTHENTICATE: {
        "description": "How to get a token (RFC 9728), and with 403 which scope would do (RFC 6750). Absent "
        "when it is SIM that rejects the stored key, or when no scope would help.",
        "schema": {"type": "string"},
    },
}
"""What an answer may carry. Never changed."""


def answered(*names: str) -> dict[str, dict[str, str]]:
    """Where the declarations of these headers of an answer stand."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
