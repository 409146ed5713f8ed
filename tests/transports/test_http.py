"""The HTTP application around MCP and REST: hosts, origins, ids, probes, metadata, sessions."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from inline_snapshot import snapshot
from mcp.server.lowlevel import Server

from sim_mcp.model.errors import InvalidInput
from sim_mcp.model.principal import TenantId
from sim_mcp.transports.auth import current_principal
from sim_mcp.transports.http import check_authentication, is_loopback
from tests.transports.web import HOST, Web, bearer, open_web
from tests.world import principal

pytestmark = pytest.mark.anyio

METADATA = "/.well-known/oauth-protected-resource/mcp"
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    },
}
LIST = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
MCP = {"content-type": "application/json", "accept": "application/json, text/event-stream"}


async def list_tools(ctx: Any, params: Any) -> types.ListToolsResult:
    """One tool, named after the tenant of the message."""
    del ctx, params
    tool = types.Tool(name=current_principal(None).tenant_id, input_schema={"type": "object"})
    return types.ListToolsResult(tools=[tool])


def echo_server() -> Server[Any]:
    """An MCP server that tells who it takes the caller for."""
    return Server("echo", on_list_tools=list_tools)


@pytest.fixture
async def web(tmp_path: Path) -> AsyncGenerator[Web]:
    """The application, with nothing connected."""
    async with open_web(tmp_path, connect={}, server_factory=echo_server) as opened:
        yield opened


async def open_session(web: Web, by: dict[str, str]) -> dict[str, str]:
    """The headers of a legacy session that `by` opened."""
    answer = await web.client.post("/mcp", headers=MCP | by, json=INITIALIZE)
    assert answer.status_code == 200, answer.text
    session = {"mcp-session-id": answer.headers["mcp-session-id"], "mcp-protocol-version": "2025-06-18"}
    initialized = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    await web.client.post("/mcp", headers=MCP | by | session, json=initialized)
    return MCP | session


@pytest.mark.requirement("R35", "R60", "R66")
async def test_a_session_belongs_to_who_opened_it(web: Web) -> None:
    """The same person of another tenant gets the answer for a session that does not exist."""
    session = await open_session(web, bearer("acme"))
    mine = await web.client.post("/mcp", headers=session | bearer("acme"), json=LIST)
    assert '"name":"acme"' in mine.text
    foreign = await web.client.post("/mcp", headers=session | bearer("globex"), json=LIST)
    session["mcp-session-id"] = "0" * 32
    unknown = await web.client.post("/mcp", headers=session | bearer("globex"), json=LIST)
    assert (foreign.status_code, foreign.content) == (404, unknown.content)


@pytest.mark.requirement("R10", "R66")
async def test_every_message_is_authenticated_on_its_own(web: Web) -> None:
    """A session is no authority: without a token it is nothing."""
    session = await open_session(web, bearer("acme"))
    answer = await web.client.post("/mcp", headers=session, json=LIST)
    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED")


@pytest.mark.requirement("R10")
@pytest.mark.parametrize("path", ["/mcp", "/sse", "/messages/", "/api/integration/sim/settings"])
async def test_nobody_passes_without_a_token(web: Web, path: str) -> None:
    """401 that says where to read on; `invalid_token` only when one came."""
    without = await web.client.get(path)
    assert (without.status_code, without.headers["www-authenticate"]) == (
        401,
        f'Bearer scope="INTEGRATION_VIEW INTEGRATION_EDIT", resource_metadata="{HOST}{METADATA}"',
    )
    wrong = await web.client.get(path, headers={"authorization": "Bearer nonsense"})
    assert (wrong.status_code, wrong.headers["www-authenticate"]) == (
        401,
        (
            'Bearer error="invalid_token", scope="INTEGRATION_VIEW INTEGRATION_EDIT", '
            f'resource_metadata="{HOST}{METADATA}"'
        ),
    )
    assert "nonsense" not in wrong.text
    twice = [("authorization", bearer()["authorization"]), ("authorization", bearer()["authorization"])]
    assert (await web.client.get(path, headers=twice)).status_code == 401


async def test_whitespace_around_a_header_is_not_part_of_it(web: Web) -> None:
    """Some HTTP parsers leave it there."""
    headers = {"authorization": f" \t{bearer()['authorization']}\t "}
    assert (await web.ask("GET", "/settings", by=headers)).status_code == 200


@pytest.mark.requirement("R60")
@pytest.mark.parametrize("path", ["/mcp", "/api/integration/sim/settings", METADATA, "/nothing"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1.evil.example"}, 421),
        ({"host": "127.0.0.1:8765@evil.example"}, 421),
        ({"host": "localhost:80:80"}, 421),
        ({"host": ""}, 421),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "http://localhost:3000"}, 403),
        ({"origin": "null"}, 403),
    ],
)
async def test_a_tricked_browser_gets_nowhere(
    web: Web, path: str, headers: dict[str, str], status: int
) -> None:
    """Unknown hosts and foreign pages are refused before anybody is asked who they are."""
    answer = await web.client.get(path, headers=bearer() | headers)
    assert answer.status_code == status
    assert answer.json()["statusCode"] == status


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "localhost"},
        {"host": "LocalHost:9999"},
        {"host": "[::1]:8765"},
        {"host": "mcp.example.com"},
        {"host": "inside:8080"},
        {"host": "any.example:1"},
        {"origin": "https://mcp.example.com"},
        {"origin": "https://app.example.com"},
        {"origin": HOST},
    ],
)
async def test_known_hosts_and_origins_pass(tmp_path: Path, headers: dict[str, str]) -> None:
    """Loopback, the public URL, what the settings list, and pages of our own."""
    async with open_web(
        tmp_path,
        connect={},
        public_url="https://mcp.example.com",
        allowed_hosts=("inside:8080", "any.example:*"),
        allowed_origins=("https://app.example.com",),
    ) as web:
        assert (await web.ask("GET", "/settings", by=bearer() | headers)).status_code == 200


async def test_the_metadata_tells_only_what_is_true(tmp_path: Path) -> None:
    """RFC 9728: the resource by its public name; an issuer only when one is configured."""
    async with open_web(tmp_path / "a", connect={}) as web:
        assert (await web.client.get(METADATA)).json() == snapshot(
            {
                "resource": "http://127.0.0.1:8765/mcp",
                "resource_name": "sim-mcp",
                "scopes_supported": [
                    "INTEGRATION_ADD",
                    "INTEGRATION_EDIT",
                    "INTEGRATION_VIEW",
                    "INTEGRATION_DELETE",
                ],
                "bearer_methods_supported": ["header"],
            }
        )
    async with open_web(
        tmp_path / "b",
        connect={},
        public_url="https://mcp.example.com/",
        auth_issuer="https://id.example.com",
    ) as web:
        document = (await web.client.get(METADATA)).json()
        assert document["resource"] == "https://mcp.example.com/mcp"
        elsewhere = await web.client.get("/.well-known/oauth-protected-resource")
        assert elsewhere.json() == document
        assert document["authorization_servers"] == ["https://id.example.com"]
        refused = await web.ask("GET", "/settings", by={})
        assert f"https://mcp.example.com{METADATA}" in refused.headers["www-authenticate"]


@pytest.mark.requirement("R69")
@pytest.mark.parametrize("prefix", ["", "/sim/v1"])
async def test_the_metadata_is_wherever_a_client_may_look(tmp_path: Path, prefix: str) -> None:
    """Where the challenge points, where RFC 9728 inserts the path, and at the root: one document."""
    public = f"https://mcp.example.com{prefix}"
    async with open_web(tmp_path, connect={}, public_url=f"{public}/") as web:
        refused = await web.ask("GET", "/settings", by={})
        assert f'resource_metadata="{public}{METADATA}"' in refused.headers["www-authenticate"]
        root = METADATA.removesuffix("/mcp")
        for path in (METADATA, f"{root}{prefix}/mcp", root):
            answer = await web.client.get(path)
            assert (answer.status_code, answer.json()["resource"]) == (200, f"{public}/mcp")
            assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("issuer", "is_told"),
    [
        ("https://id.example.com/realms/a", True),
        ("http://localhost:3003", True),
        ("http://127.0.0.1:3003", True),
        ("http://id.example.com", False),
        ("our-platform", False),
    ],
)
async def test_only_an_issuer_that_can_be_asked_is_told(
    tmp_path: Path, issuer: str, *, is_told: bool
) -> None:
    """Byte for byte as it is configured: strict clients compare it with the token."""
    async with open_web(tmp_path, connect={}, auth_issuer=issuer) as web:
        document = (await web.client.get(METADATA)).json()
        assert document.get("authorization_servers") == ([issuer] if is_told else None)


@pytest.mark.requirement("R33")
@pytest.mark.parametrize(
    ("method", "path", "permission"),
    [
        ("GET", "/settings", "INTEGRATION_VIEW"),
        ("DELETE", "/settings", "INTEGRATION_DELETE"),
        ("POST", "/executions/x/cancel", "INTEGRATION_EDIT"),
    ],
)
async def test_a_missing_permission_is_named_in_the_challenge(
    web: Web, method: str, path: str, permission: str
) -> None:
    """A client can ask its authorization server for exactly that scope, and come again."""
    answer = await web.ask(method, path, by=bearer(permissions=[]))
    assert (answer.status_code, answer.headers["www-authenticate"]) == (
        403,
        f'Bearer error="insufficient_scope", scope="{permission}", resource_metadata="{HOST}{METADATA}"',
    )
    foreign = await web.client.get("/mcp", headers={"origin": "https://evil.example"})
    assert (foreign.status_code, "www-authenticate" in foreign.headers) == (403, False)


@pytest.mark.parametrize("sent", ["a", "Abc-1.2_3", "x" * 64])
async def test_a_well_formed_request_id_comes_back(web: Web, sent: str) -> None:
    """In the header, and in the body of an error."""
    answer = await web.ask("GET", "/nothing", headers={"x-request-id": sent})
    assert (answer.headers["x-request-id"], answer.json()["requestId"]) == (sent, sent)


@pytest.mark.parametrize("sent", ["", "x" * 65, "a b", "a;b", '"', "é".encode()])
async def test_any_other_request_id_is_replaced(web: Web, sent: str | bytes) -> None:
    """What goes into logs is of our making or harmless."""
    answer = await web.ask("GET", "/nothing", headers={"x-request-id": sent})
    assert (answer.headers["x-request-id"], answer.json()["requestId"]) == ("generated-id", "generated-id")


async def test_the_probes_answer_whoever_asks(web: Web) -> None:
    """Without a token and under any host; ready means that the database answers."""
    for path, body in (("/healthz", {"status": "ok"}), ("/readyz", {"status": "ready"})):
        answer = await web.client.get(path, headers={"host": "10.0.0.7:8765"})
        assert (answer.status_code, answer.json()) == (200, body)


async def test_a_server_without_its_database_is_not_ready(web: Web) -> None:
    """503, while it is still alive; and no caller is told that a good token is bad."""
    _, secret = await web.world.app.tokens.create(
        principal("acme"), name="ci", expires_at=None, created_by="ada"
    )
    await web.world.app.store.database.close()
    assert (await web.client.get("/readyz")).status_code == 503
    assert (await web.client.get("/healthz")).status_code == 200
    answer = await web.ask("GET", "/settings", by={"authorization": f"Bearer {secret}"})
    assert (answer.status_code, "www-authenticate" in answer.headers) == (503, False)


async def test_without_authentication_everybody_is_the_session_s_own_principal(tmp_path: Path) -> None:
    """For trying things out on one machine; a token, whatever it says, changes nothing."""
    async with open_web(tmp_path, allow_unauthenticated=True, tenant_id="acme") as web:
        for headers in ({}, bearer("globex"), {"authorization": "Bearer nonsense"}):
            assert (await web.ask("GET", "/settings", by=headers)).json()["tenantId"] == "acme"


@pytest.mark.requirement("R5")
async def test_a_server_that_nobody_could_call_does_not_start(tmp_path: Path) -> None:
    """Both remedies are named, and each of them helps."""
    async with open_web(tmp_path, connect={}, auth_jwt_secret=None) as web:
        app = web.world.app
        with pytest.raises(InvalidInput, match=r"sim-mcp token create.*SIM_MCP_AUTH_JWT_SECRET"):
            await check_authentication(app, host="127.0.0.1", allow_unauthenticated=False)
        await check_authentication(app, host="127.0.0.1", allow_unauthenticated=True)
        token, _ = await app.tokens.create(principal("acme"), name="ci", expires_at=None, created_by="ada")
        await check_authentication(app, host="0.0.0.0", allow_unauthenticated=False)  # noqa: S104 - never bound
        await app.tokens.revoke(TenantId("acme"), token.id)
        with pytest.raises(InvalidInput):
            await check_authentication(app, host="127.0.0.1", allow_unauthenticated=False)
    async with open_web(tmp_path, connect={}) as web:
        await check_authentication(web.world.app, host="0.0.0.0", allow_unauthenticated=False)  # noqa: S104 - never bound


@pytest.mark.requirement("R5", "R60")
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "mcp.example.com", ""])  # noqa: S104 - never bound
async def test_authentication_is_never_off_where_others_can_reach(tmp_path: Path, host: str) -> None:
    """`--insecure-no-auth` is for loopback addresses."""
    async with open_web(tmp_path, connect={}) as web:
        with pytest.raises(InvalidInput, match="loopback"):
            await check_authentication(web.world.app, host=host, allow_unauthenticated=True)


def test_loopback_addresses_are_known() -> None:
    """All of 127/8, ::1 with and without brackets, and the name."""
    assert [is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "LOCALHOST")] == [
        True
    ] * 5
