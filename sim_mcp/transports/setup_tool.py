"""`sim_setup`: sends a person to the setup page, and tells what came of it. Never takes a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp.shared.exceptions import MCPError
from mcp_types import ElicitRequest, ElicitRequestURLParams, ElicitResult, InputRequiredResult
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from sim_mcp.model.credentials import without_credentials
from sim_mcp.model.errors import Conflict, InvalidInput, NotFound
from sim_mcp.model.json import is_array, is_object
from sim_mcp.model.setup_link import LinkState
from sim_mcp.transports.admin_schemas import LONGEST_WAIT_S
from sim_mcp.transports.admin_views import moment
from sim_mcp.transports.asking import can_open_urls
from sim_mcp.transports.results import text_result

if TYPE_CHECKING:
    from mcp_types import CallToolResult

    from sim_mcp.app import IssuedLink, SeenLink
    from sim_mcp.model.integration import Integration
    from sim_mcp.model.json import Json, JsonObject
    from sim_mcp.model.setup_link import SetupLink
    from sim_mcp.transports.admin_actions import Request

ASKED = "setup"
NO_KEYS_HERE = (
    "An API key must not pass through a conversation, so this tool takes none: call it without, and the user"
    " types the key on the page that it links to. If a key was pasted into the chat, tell the user to revoke"
    " it in SIM."
)
_MESSAGE = "Open this page to type the SIM API key. It does not pass through the assistant."
_NAMES_OF_SECRETS = ("key", "token", "secret", "password", "credential")
_KNOWN_ARGUMENTS = frozenset({"base_url", "enabled"})


def refuse_keys(arguments: JsonObject) -> None:
    """Refuse whatever is, or may be meant as, an API key. The value is neither repeated nor kept.

    Raises:
        InvalidInput: says why, and what to do with a key that was pasted.
    """
    strays = set(arguments) - _KNOWN_ARGUMENTS
    looks_meant = any(word in name.lower() for name in strays for word in _NAMES_OF_SECRETS)
    if looks_meant or _holds_credential(dict(arguments)):
        raise InvalidInput(NO_KEYS_HERE)


async def set_up(request: Request) -> CallToolResult | InputRequiredResult:
    """`sim_setup`: a link to the page; or only the switch, when a key is stored and nothing else changes."""
    answered = await _answered(request)
    if answered is not None:
        return answered
    base_url = request.maybe_text("base_url")
    enabled = request.arguments.get("enabled")
    if enabled is not None and base_url is None:
        try:
            changed = await request.app.administration.set_enabled(
                request.principal, is_enabled=enabled is True
            )
        except NotFound:
            pass  # nothing to switch yet: connect, with the switch as wanted
        else:
            return _switched(changed)
    issued = await request.app.setup.issue(
        request.principal, base_url=base_url, is_enabled=enabled is not False
    )
    try:
        url = await request.talk.pages.url_of(issued, request.principal, request.talk.ctx.request)
    except Conflict:
        await request.app.setup.decline(request.principal, issued.link.id)
        raise
    ctx = request.talk.ctx
    if not can_open_urls(ctx.session.client_capabilities, ctx.protocol_version):
        return _link(issued, url)
    if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
        asked = ElicitRequest(params=ElicitRequestURLParams(message=_MESSAGE, url=url))
        return InputRequiredResult(input_requests={ASKED: asked}, request_state=issued.link.id)
    return await _asked_while_waiting(request, issued, url)


async def _asked_while_waiting(request: Request, issued: IssuedLink, url: str) -> CallToolResult:
    """Revisions with a way back to the client: it is asked while the call waits."""
    ctx = request.talk.ctx
    try:
        given = await ctx.session.elicit_url(_MESSAGE, url, issued.link.id, ctx.request_id)
    except MCPError:  # no way back to this client, or it refused to ask: the user gets the link as text
        return _link(issued, url)
    result = await _outcome(request, issued.link.id, given)
    await ctx.session.send_elicit_complete(issued.link.id, ctx.request_id)
    return result


async def _answered(request: Request) -> CallToolResult | None:
    """2026-07-28: the call comes again, with what the user said to the question."""
    params = request.talk.params
    given = (params.input_responses or {}).get(ASKED)
    if not isinstance(given, ElicitResult) or params.request_state is None:
        return None
    if await request.app.setup.find(request.principal, params.request_state) is None:
        return None  # not this caller's question: ask anew
    return await _outcome(request, params.request_state, given)


async def _outcome(request: Request, link_id: str, given: ElicitResult) -> CallToolResult:
    """What came of the page. Opening it is not yet using it, so this waits for a bounded while."""
    if given.action != "accept":
        await request.app.setup.decline(request.principal, link_id)
        raise Conflict("The user did not open the page: nothing was changed. Do not call again unasked.")
    patience_s = min(request.app.settings.call_patience_s, LONGEST_WAIT_S)
    seen = await request.app.setup.wait(request.principal, link_id, patience_s=patience_s)
    if seen is not None and seen.state is LinkState.USED:
        return _connected(seen)
    if seen is not None and seen.state is LinkState.OPEN:
        return _pending(seen.link)
    raise Conflict("The page ended without a key: nothing was changed. Call sim_setup again for a new one.")


def _link(issued: IssuedLink, url: str) -> CallToolResult:
    until = moment(issued.link.expires_at)
    text = (
        f"Show the user this link, to open in a browser: {url}\n"
        f"There they type the SIM API key, which goes to {issued.link.base_url} only; never ask for it here. "
        f"The link works once, until {until}. Afterwards sim_get_settings shows the connection."
    )
    return text_result(_shown("open", issued.link, url=url), text)


def _pending(link: SetupLink) -> CallToolResult:
    text = (
        f"The user has the page open and has not sent it yet; it stays open until {moment(link.expires_at)}. "
        "Do not call sim_setup again; sim_get_settings shows the connection once it is there."
    )
    return text_result(_shown("open", link), text)


def _connected(seen: SeenLink) -> CallToolResult:
    link = seen.link
    count = len(link.workspaces)
    several = f" It sees {count} workspaces; the user picks one on the page." if count > 1 else ""
    switch = "" if link.is_enabled else " It is switched off; sim_setup with enabled=true switches it on."
    text = (
        f"Connected: SIM at {link.base_url} accepts the key ({link.dialect} API).{several}{switch} "
        "Next: sim_discover_workflows."
    )
    return text_result(_shown("connected", link), text)


def _switched(integration: Integration) -> CallToolResult:
    word = "on" if integration.is_enabled else "off"
    shown: dict[str, Json] = {
        "status": "switched",
        "url": None,
        "expires_at": None,
        "base_url": integration.base_url,
        "is_enabled": integration.is_enabled,
        "revision": integration.revision,
        "found": None,
    }
    return text_result(
        shown, f"The integration with {integration.base_url} is switched {word}; its key stays."
    )


def _shown(status: str, link: SetupLink, *, url: str | None = None) -> dict[str, Json]:
    return {
        "status": status,
        "url": url,
        "expires_at": moment(link.expires_at) if status == "open" else None,
        "base_url": link.base_url,
        "is_enabled": link.is_enabled,
        "revision": link.revision,
        "found": link.found,
    }


def _holds_credential(value: Json) -> bool:
    if is_object(value):
        return any(_holds_credential(name) or _holds_credential(each) for name, each in value.items())
    if is_array(value):
        return any(_holds_credential(each) for each in value)
    return isinstance(value, str) and without_credentials(value) != value
