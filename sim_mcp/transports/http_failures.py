"""Answers where no route gave one: unknown paths, wrong methods, clients that left, and mistakes of ours."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from sim_mcp.transports.http_answers import mistake, plain_problem, request_id_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

log = logging.getLogger(__name__)

_WORDS = {404: "There is nothing at this path.", 405: "This path does not know that method."}


async def no_route(request: Request, error: Exception) -> Response:
    """The answer to a path or method that nobody serves."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if "Allow" in headers:  # a set's order changes from start to start
        headers["Allow"] = ", ".join(sorted(headers["Allow"].split(", ")))
    message = _WORDS.get(status, "The request cannot be served.")
    return plain_problem(status, message, request_id_of(request.scope), headers=headers)


async def left_early(request: Request, error: Exception) -> Response:
    """What nobody hears: the client went away, or was sent away, before its request was whole."""
    del error
    request_id = request_id_of(request.scope)
    log.info("request %s was never whole: its client left", request_id)
    return plain_problem(400, "The request was not whole.", request_id)


async def own_mistake(request: Request, error: Exception) -> Response:
    """The last resort, outside of everything that gives answers their headers; the error is logged above."""
    del error
    request_id = request_id_of(request.scope)
    return mistake(request_id, headers={"x-request-id": request_id})
