"""The setup page: where a person types the SIM API key. The link is the authority; there is no login.

The secret stays in the path and nowhere else: no cookie carries it, no referrer is sent, nothing is
logged. The cookie is a nonce that ties a form to the browser that it was shown to, kept below the
link's own path because cookies of a loopback address reach every port there.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from starlette.responses import HTMLResponse
from starlette.routing import Route

from sim_mcp.model.errors import InvalidInput, SimMcpError
from sim_mcp.model.setup_link import LinkState
from sim_mcp.transports.http_answers import request_id_of
from sim_mcp.transports.http_bearer import base_url
from sim_mcp.transports.problems import http_status, retry_headers
from sim_mcp.transports.setup_html import SetupHtml
from sim_mcp.transports.talk import SETUP_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from sim_mcp.app import App, SeenLink
    from sim_mcp.model.setup_link import SetupLink

log = logging.getLogger(__name__)

LARGEST_BODY_BYTES = 64 * 1024
MOST_FIELDS = 10
COOKIE = "sim_mcp_setup"
_NONCE = re.compile(r"[A-Za-z0-9_-]{32}\Z")
_STALE = (
    "This form is out of date, or the browser keeps no cookies. Nothing was sent to SIM: type the key again."
)
_FOREIGN = "The form was sent from another page. Nothing was sent to SIM: check the address, then try again."
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class SetupPage:
    """Serves `/setup/<secret>`."""

    def __init__(
        self,
        app: App,
        *,
        public_url: str | None,
        new_nonce: Callable[[], str] = lambda: secrets.token_urlsafe(24),
    ) -> None:
        self._setup = app.setup
        self._public_url = public_url
        self._new_nonce = new_nonce
        self._html = SetupHtml()

    def routes(self) -> list[Route]:
        """The one route, to be mounted outside every guard that wants a token."""
        return [Route(f"{SETUP_PATH}/{{secret}}", self._answer, methods=["GET", "POST"])]

    async def _answer(self, request: Request) -> Response:
        """The edge: whatever happens inside becomes a page."""
        try:
            visit = _Visit(request, self._public_url, self._new_nonce)
            seen = await self._setup.look(visit.secret)
            if seen is None:
                return self._page(self._html.unknown(), 404)
            if request.method == "POST":
                return await self._sent(visit, seen)
            return self._shown(visit, seen)
        except SimMcpError as error:
            if error.detail:
                log.info("request %s failed: %s", request_id_of(request.scope), error.detail)
            return self._page(self._html.notice("Not now", error.message), http_status(error))
        except Exception:  # a bug of ours: the person gets an id, the log gets the rest
            request_id = request_id_of(request.scope)
            log.exception("request %s failed", request_id)
            words = f"Its log tells more under the request id {request_id}. Nothing is known to be stored."
            return self._page(self._html.notice("The server made a mistake", words), 500)

    def _shown(self, visit: _Visit, seen: SeenLink) -> Response:
        if seen.state is LinkState.OPEN:
            return self._key(visit, seen.link, banner=visit.warning)
        if seen.may_choose and visit.is_same_browser:
            return self._connected(visit, seen.link, choosing=True)
        return self._page(self._html.ended(seen.state), 410)

    async def _sent(self, visit: _Visit, seen: SeenLink) -> Response:
        fields = await visit.fields()
        if fields is None:
            words = f"A form of this page has at most {LARGEST_BODY_BYTES} bytes. Nothing was sent to SIM."
            return self._page(self._html.notice("That is too large", words), 413)
        if seen.is_done:
            return self._page(self._html.ended(seen.state), 410)
        if not visit.is_from_here:
            return self._refused(visit, seen, _FOREIGN)
        if not visit.is_ours(fields.get("csrf", "")):
            return self._refused(visit, seen, _STALE)
        if seen.state is LinkState.OPEN:
            return await self._connect(visit, seen.link, fields.get("api_key", "").strip())
        return await self._choose(visit, seen.link, fields.get("workspace", ""))

    def _refused(self, visit: _Visit, seen: SeenLink, words: str) -> Response:
        if seen.state is LinkState.OPEN:
            return self._key(visit, seen.link, 403, banner=words)
        return self._page(self._html.notice("Not accepted", words), 403)

    async def _connect(self, visit: _Visit, link: SetupLink, api_key: str) -> Response:
        if not api_key:
            return self._key(visit, link, 400, problem="Type or paste the API key.")
        try:
            await self._setup.redeem(visit.secret, api_key=api_key)
        except SimMcpError as error:
            return await self._failed(visit, error)
        seen = await self._setup.look(visit.secret)
        assert seen is not None  # noqa: S101 - it was there to be redeemed, and stays for a day
        return self._connected(visit, seen.link, choosing=seen.may_choose)

    async def _failed(self, visit: _Visit, error: SimMcpError) -> Response:
        if error.detail:
            log.info("request %s failed: %s", request_id_of(visit.request.scope), error.detail)
        seen = await self._setup.look(visit.secret)
        if seen is None:
            return self._page(self._html.unknown(), 404)
        if seen.state is not LinkState.OPEN:
            return self._page(self._html.ended(seen.state), 410)
        left = seen.link.tries_left
        words = f"{error.message} {left} {'try' if left == 1 else 'tries'} left."
        status, headers = http_status(error), retry_headers(error)
        if isinstance(error, InvalidInput):
            return self._key(visit, seen.link, status, problem=words)
        return self._key(visit, seen.link, status, banner=f"{words} Nothing was stored.", headers=headers)

    async def _choose(self, visit: _Visit, link: SetupLink, workspace_id: str) -> Response:
        try:
            await self._setup.choose(visit.secret, workspace_id=workspace_id)
        except InvalidInput:
            return self._connected(visit, link, 400, choosing=True, problem="Choose one of these.")
        except SimMcpError as error:
            return self._page(self._html.notice("Not chosen", error.message), http_status(error))
        chosen = next(each for each in link.workspaces if each.workspace_id == workspace_id)
        text = self._html.connected(link, csrf="", choosing=False, chosen=chosen)
        return self._page(text, 200)

    def _key(
        self,
        visit: _Visit,
        link: SetupLink,
        status: int = 200,
        *,
        problem: str | None = None,
        banner: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        text = self._html.key(link, csrf=visit.csrf, problem=problem, banner=banner)
        return self._page(text, status, visit=visit, headers=headers)

    def _connected(
        self,
        visit: _Visit,
        link: SetupLink,
        status: int = 200,
        *,
        choosing: bool,
        problem: str | None = None,
    ) -> Response:
        text = self._html.connected(link, csrf=visit.csrf, choosing=choosing, problem=problem)
        return self._page(text, status, visit=visit)

    def _page(
        self,
        text: str,
        status: int,
        *,
        visit: _Visit | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        response = HTMLResponse(text, status, {**self._html.headers, **(headers or {})})
        if visit is not None:
            response.set_cookie(
                COOKIE,
                visit.nonce,
                path=visit.path,
                secure=visit.is_encrypted,
                httponly=True,
                samesite="strict",
            )
        return response


class _Visit:
    """One request to the page: which link, which browser, and whether the form came from here."""

    def __init__(self, request: Request, public_url: str | None, new_nonce: Callable[[], str]) -> None:
        self.request = request
        self.secret = str(request.path_params["secret"])
        here = urlsplit(base_url(request.scope, public_url))
        self._origin = f"{here.scheme}://{here.netloc}".lower()
        self.is_encrypted = here.scheme == "https"
        self.path = f"{here.path}{SETUP_PATH}/{self.secret}"
        self._is_local = (here.hostname or "") in _LOOPBACK
        known = request.cookies.get(COOKIE, "")
        self.is_same_browser = _NONCE.match(known) is not None
        self.nonce = known if self.is_same_browser else new_nonce()

    @property
    def csrf(self) -> str:
        """What a form of this link must bring along from this browser."""
        return hmac.new(self.secret.encode(), self.nonce.encode(), hashlib.sha256).hexdigest()

    @property
    def warning(self) -> str | None:
        """What to say before anything is typed into a page that others could read on its way."""
        if self.is_encrypted or self._is_local:
            return None
        return "This connection is not encrypted: others on the network could read the key. Ask for https."

    @property
    def is_from_here(self) -> bool:
        """Whether the browser says, if it says anything, that a page of ours sent this.

        With `Referrer-Policy: no-referrer` browsers send `Origin: null` for our own form too; what
        tells it from a foreign page's is `Sec-Fetch-Site`, and in older browsers the nonce.
        """
        headers = self.request.headers
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return False
        return headers.get("origin", "null").lower() in {"null", self._origin}

    def is_ours(self, csrf: str) -> bool:
        """Whether `csrf` was given to this browser, for this link."""
        return self.is_same_browser and hmac.compare_digest(csrf.encode(), self.csrf.encode())

    async def fields(self) -> dict[str, str] | None:
        """The form's fields, none when it is no form; `None` when it is too large."""
        body = bytearray()
        async for chunk in self.request.stream():
            body += chunk
            if len(body) > LARGEST_BODY_BYTES:
                return None
        kind = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            return {}
        try:
            pairs = parse_qsl(body.decode("utf-8", "replace"), max_num_fields=MOST_FIELDS, separator="&")
        except ValueError:
            return {}
        return dict(pairs)
