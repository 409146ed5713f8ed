"""One request as the endpoints see it, and the ways to refuse it in each dialect's own words."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sim_mcp.sim.fake.timing import iso
from sim_mcp.sim.fake.workflows import Account
from sim_mcp.sim.fake.world import Entry, World

Dialect = Literal["legacy", "v1", "v2", "none"]

BODY_LIMIT_BYTES = 10 * 1024 * 1024
RUN_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}\Z")
LIMIT = 999_999
"""What a SIM without billing gives as every limit (sim-api 12.15)."""

V2_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    402: "USAGE_LIMIT_EXCEEDED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    409: "CONFLICT",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    429: "RATE_LIMITED",
    499: "CLIENT_CLOSED_REQUEST",
    503: "SERVICE_UNAVAILABLE",
}

_PAGE = (
    '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"/><title>{title}</title></head>'
    "<body><main><h1>{title}</h1></main></body></html>"
)


class Refused(Exception):
    """The request is not carried out; `response` says so."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request, its body, and the world it meets."""

    request: Request
    body: bytes
    world: World
    dialect: Dialect

    @property
    def key(self) -> str | None:
        """The API key that was sent; a `Bearer` token is none (sim-api 1.2)."""
        return self.header("x-api-key")

    @property
    def now(self) -> datetime:
        """The present moment."""
        return self.world.time.now()

    def header(self, name: str) -> str | None:
        """One request header, by lower-case name."""
        return self.request.headers.get(name)

    def query(self, name: str) -> str | None:
        """One query parameter."""
        return self.request.query_params.get(name)

    def path(self, name: str) -> str:
        """One parameter of the path."""
        return str(self.request.path_params[name])

    def account(self) -> Account:
        """Who calls.

        Raises:
            Refused: No key, or a wrong one.
        """
        if not self.key:
            missing = "API key required" if self.dialect == "v1" else "Unauthorized"
            raise Refused(error(self.dialect, 401, missing))
        account = self.world.account_of_key(self.key)
        if account is None:
            raise Refused(error(self.dialect, 401, "Invalid API key"))
        return account

    def own_entry(self, account: Account) -> Entry:
        """The caller's workflow of the path, by the rules of v1 and v2: a foreign one does not exist.

        Raises:
            Refused: Unknown or foreign.
        """
        entry = self.world.entry(self.path("id"))
        if entry is None or entry.account != account.name:
            raise Refused(error(self.dialect, 404, "Workflow not found"))
        return entry


def error(
    dialect: Dialect,
    status: int,
    message: str,
    *,
    extra: Mapping[str, Any] | None = None,
    details: Any = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """A refusal in the words of `dialect`: `extra` are more legacy members, `details` are v2's."""
    sent = dict(headers or {})
    if dialect != "v2":
        return JSONResponse({"error": message, **(extra or {})}, status, sent)
    told: dict[str, Any] = {"code": V2_CODES.get(status, "INTERNAL_ERROR"), "message": message}
    if details is not None:
        told["details"] = details
    sent["Cache-Control"] = "private, no-store"
    if status == 401:
        sent["WWW-Authenticate"] = 'SimApiKey realm="Sim API", header="x-api-key"'
    return JSONResponse({"error": told}, status, sent)


def coded(status: int, message: str) -> JSONResponse:
    """An error of those legacy routes that make a code out of their text (sim-api 3.2)."""
    code = re.sub(r"[^A-Z0-9]+", "_", message.upper()).strip("_")
    return JSONResponse({"error": message, "code": code}, status)


def html(status: int, title: str) -> Response:
    """A page for people where a client hoped for JSON."""
    return Response(_PAGE.format(title=title), status, media_type="text/html")


def conflict(dialect: Dialect, run_id: str) -> Response:
    """The answer to a run id that has been used (sim-api 1.4, 2.3)."""
    if dialect == "v2":
        details = {"code": "RUN_ID_CONFLICT", "runId": run_id}
        return error("v2", 409, "Run ID has already been used", details=details, headers={"X-Run-Id": run_id})
    extra = {"code": "EXECUTION_ID_CONFLICT", "executionId": run_id}
    return error(dialect, 409, "Execution ID has already been used", extra=extra)


def rate_headers(now: datetime) -> dict[str, str]:
    """What v1 and v2 say about their request buckets; the reset is a text, not a number (sim-api 1.3)."""
    return {
        "X-RateLimit-Limit": str(LIMIT),
        "X-RateLimit-Remaining": str(LIMIT - 1),
        "X-RateLimit-Reset": iso(now + timedelta(seconds=60)),
    }


def parsed_object(body: bytes) -> Any:
    """The body as JSON; nothing at all counts as `{}`.

    Raises:
        ValueError: It is no JSON.
    """
    return json.loads(body) if body.strip() else {}


def kind_of(value: Any) -> str:
    """What the validators of SIM call the type of `value`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def page_of(
    items: Sequence[Any], *, limit: int, cursor: str | None, mark: str
) -> tuple[Sequence[Any], str | None, bool]:
    """One page, the next cursor, and whether `cursor` was understood; cursors are bound to `mark`."""
    at = 0
    understood = True
    if cursor is not None:
        at, understood = _position(cursor, mark)
    end = at + limit
    following = None
    if end < len(items):
        following = base64.b64encode(json.dumps({"at": end, "mark": mark}).encode()).decode()
    return items[at:end], following, understood


def _position(cursor: str, mark: str) -> tuple[int, bool]:
    try:
        told = json.loads(base64.b64decode(cursor, validate=True))
    except ValueError:
        return 0, False
    if not isinstance(told, dict):
        return 0, False
    position = cast("dict[str, Any]", told)
    if position.get("mark") != mark or not isinstance(position.get("at"), int):
        return 0, False
    return int(position["at"]), True
