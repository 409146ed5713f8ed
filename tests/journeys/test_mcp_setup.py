"""Connecting and disconnecting SIM from a chat: by page, never by a key in the conversation."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import wrap
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
from inline_snapshot import snapshot
from jsonschema import Draft202012Validator
from mcp import Client, MCPError
from mcp_types import (
    CallToolResult,
    ClientCapabilities,
    ElicitationCapability,
    ElicitCompleteNotification,
    ElicitRequestFormParams,
    ElicitRequestURLParams,
    ElicitResult,
    InputRequiredResult,
    UrlElicitationCapability,
)

from sim_mcp.app import Needs
from sim_mcp.model.clock import ManualClock
from sim_mcp.model.principal import ALL_PERMISSIONS, Permission
from sim_mcp.sim.fake import FakeSim
from sim_mcp.transports.admin_tools import ADMIN_TOOLS
from sim_mcp.transports.asking import can_open_urls
from tests.journeys.mcp_clients import Era, connected, names, structured, told, words
from tests.patience import PATIENCE_S
from tests.setup_visits import KEY, WORKSPACES, Network, Visitor
from tests.transports.web import PassingTime, Web, open_web
from tests.world import open_world, principal

pytestmark = pytest.mark.anyio

PUBLIC = "https://mcp.example.com"
ADA = principal("acme")


@pytest.fixture
def network(clock: ManualClock) -> Network:
    """The way to the fake SIM."""
    return Network(FakeSim(time=PassingTime(clock)))


@pytest.fixture
async def web(tmp_path: Path, clock: ManualClock, network: Network) -> AsyncGenerator[Web]:
    """The page is served; globex is connected, acme is not."""
    async with open_web(
        tmp_path,
        clock=clock,
        sim=network.sim,
        transport_of=network.of,
        public_url=PUBLIC,
        connect={"globex": "sk-sim-sandbox-globex"},
    ) as opened:
        yield opened


@dataclass(slots=True)
class User:
    """Somebody in front of a client that can ask: what they were asked, and what they do about it."""

    web: Web
    action: str = "accept"
    types: str | None = None
    ticks: bool = True
    urls: list[str] = field(default_factory=list[str])
    questions: list[str] = field(default_factory=list[str])

    async def __call__(self, context: object, params: object) -> ElicitResult:
        del context
        if isinstance(params, ElicitRequestURLParams):
            self.urls.append(params.url)
            if self.types is not None:
                await visit(self.web, params.url, self.types)
            return ElicitResult.model_validate({"action": self.action})
        assert isinstance(params, ElicitRequestFormParams)
        self.questions.append(params.message)
        content = {"confirm": self.ticks} if self.action == "accept" else None
        return ElicitResult.model_validate({"action": self.action, "content": content})


async def visit(web: Web, url: str, key: str) -> Visitor:
    """Open the link and type `key`."""
    assert url.startswith(f"{PUBLIC}/setup/")
    visitor = Visitor(client=web.client, url=urlsplit(url).path)
    await visitor.open()
    assert (await visitor.send(api_key=key)).status_code == 200
    return visitor


async def asked(client: Client, name: str, /, **arguments: Any) -> CallToolResult:
    """Call an admin tool; whatever it answers keeps its own output schema."""
    result = await client.call_tool(name, arguments)
    Draft202012Validator(ADMIN_TOOLS[name].output_schema).validate(structured(result))  # pyright: ignore[reportUnknownMemberType]  # untyped there
    return result


async def has_key(web: Web, tenant: str = "acme") -> bool:
    """Whether the tenant is connected."""
    found = await web.world.app.administration.settings(principal(tenant))
    return found is not None and found.has_api_key


@pytest.mark.requirement("R2", "R8", "R31", "R32")
async def test_a_client_that_opens_pages_sends_its_user_there(web: Web, era: Era) -> None:
    """The call answers with what was found; neither the key nor the link passes through the model."""
    ada = User(web, types=KEY)
    async with connected(web.world, era, answers=ada) as client:
        result = await asked(client, "sim_setup")
        [url] = ada.urls
        assert told(result) == snapshot(
            {
                "is_error": False,
                "text": [
                    [
                        "Connected: SIM at https://sim.example.com accepts the key (v2 API). Next:",
                        "sim_discover_workflows.",
                    ]
                ],
                "structured": {
                    "status": "connected",
                    "url": None,
                    "expires_at": None,
                    "base_url": "https://sim.example.com",
                    "is_enabled": True,
                    "revision": 1,
                    "found": {
                        "dialect": "v2",
                        "workspaces": [{"workspace_id": "id-1", "name": "acme's Workspace"}],
                        "usage": {
                            "plan": "free",
                            "sync_per_minute": 999999,
                            "async_per_minute": 999999,
                            "period_cost": 0.0,
                            "period_limit": 99999.0,
                        },
                    },
                },
            }
        )
        shown = str(result)
        assert KEY not in shown
        assert url.rpartition("/")[2] not in shown
        settings = structured(await asked(client, "sim_get_settings"))
    assert (settings["has_api_key"], settings["is_enabled"]) == (True, True)
    assert await web.world.rows("acme") == ()


async def test_an_earlier_client_is_told_that_the_page_is_done(web: Web) -> None:
    """`notifications/elicitation/complete`, with the id of the question."""
    heard: list[ElicitCompleteNotification] = []

    async def hear(message: object) -> None:
        if isinstance(message, ElicitCompleteNotification):
            heard.append(message)

    async with connected(web.world, "legacy", answers=User(web, types=KEY), hears=hear) as client:
        await asked(client, "sim_setup")
        await client.list_tools()
    assert len(heard) == 1


@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_a_user_who_does_not_want_to_closes_the_link(web: Web, era: Era, action: str) -> None:
    """Nothing is changed, and the page is gone."""
    ada = User(web, action=action)
    async with connected(web.world, era, answers=ada) as client:
        result = await asked(client, "sim_setup")
    assert result.is_error
    assert "The user did not open the page: nothing was changed." in words(result)
    visitor = Visitor(client=web.client, url=urlsplit(ada.urls[0]).path)
    assert (await visitor.open()).status_code == 410
    assert not await has_key(web)


async def test_a_page_that_takes_its_time_is_not_waited_for_forever(
    web: Web, era: Era, clock: ManualClock
) -> None:
    """After 45 s the model is told how to see the end; the page stays good."""
    ada = User(web)
    results: list[CallToolResult] = []

    async def call() -> None:
        async with connected(web.world, era, answers=ada) as client:
            results.append(await asked(client, "sim_setup"))

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        with anyio.fail_after(PATIENCE_S):
            for _ in range(45):
                await clock.sleeper(within_s=1)
                clock.advance(1)
                await anyio.wait_all_tasks_blocked()
    assert told(results[0]) == snapshot(
        {
            "is_error": False,
            "text": [
                [
                    "The user has the page open and has not sent it yet; it stays open until",
                    "2026-01-01T00:10:00.000Z. Do not call sim_setup again; sim_get_settings shows",
                    "the connection once it is there.",
                ]
            ],
            "structured": {
                "status": "open",
                "url": None,
                "expires_at": "2026-01-01T00:10:00.000Z",
                "base_url": "https://sim.example.com",
                "is_enabled": True,
                "revision": None,
                "found": None,
            },
        }
    )
    await visit(web, ada.urls[0], KEY)
    assert await has_key(web)


@pytest.mark.requirement("R8", "R45")
async def test_a_client_that_opens_nothing_gets_the_link_as_text(web: Web, era: Era) -> None:
    """The link works once, for this tenant; afterwards the settings tell."""
    async with connected(web.world, era) as client:
        result = await asked(client, "sim_setup")
        content = structured(result)
        url = str(content["url"])
        assert url in words(result)
        shown = told(result)
        shown["text"] = wrap(" ".join(shown["text"][0]).replace(url, "URL"), 80)
        shown["structured"]["url"] = "URL"
        assert shown == snapshot(
            {
                "is_error": False,
                "text": [
                    "Show the user this link, to open in a browser: URL There they type the SIM API",
                    "key, which goes to https://sim.example.com only; never ask for it here. The link",
                    "works once, until 2026-01-01T00:10:00.000Z. Afterwards sim_get_settings shows",
                    "the connection.",
                ],
                "structured": {
                    "status": "open",
                    "url": "URL",
                    "expires_at": "2026-01-01T00:10:00.000Z",
                    "base_url": "https://sim.example.com",
                    "is_enabled": True,
                    "revision": None,
                    "found": None,
                },
            }
        )
        await visit(web, url, KEY)
        assert structured(await asked(client, "sim_get_settings"))["has_api_key"]
    assert (await Visitor(client=web.client, url=urlsplit(url).path).open()).status_code == 410


async def test_several_workspaces_are_left_to_the_page(web: Web, era: Era, network: Network) -> None:
    """The answer says that the user still picks one."""
    network.workspaces = WORKSPACES
    async with connected(web.world, era, answers=User(web, types=KEY)) as client:
        result = await asked(client, "sim_setup")
    assert "It sees 2 workspaces; the user picks one on the page." in words(result)


@pytest.mark.requirement("R3", "R9")
async def test_with_a_stored_key_the_switch_needs_no_page(web: Web, era: Era) -> None:
    """Off and on at once; a new address, or nothing connected yet, needs the page."""
    async with connected(web.world, era, "globex") as client, connected(web.world, era) as acme:
        off = await asked(client, "sim_setup", enabled=False)
        assert told(off) == snapshot(
            {
                "is_error": False,
                "text": [["The integration with https://sim.example.com is switched off; its key stays."]],
                "structured": {
                    "status": "switched",
                    "url": None,
                    "expires_at": None,
                    "base_url": "https://sim.example.com",
                    "is_enabled": False,
                    "revision": 2,
                    "found": None,
                },
            }
        )
        assert not structured(await asked(client, "sim_get_settings"))["is_enabled"]
        assert structured(await asked(client, "sim_setup", enabled=True))["is_enabled"]
        moved = structured(
            await asked(client, "sim_setup", base_url="https://sim.elsewhere.example", enabled=False)
        )
        assert (moved["status"], moved["base_url"]) == ("open", "https://sim.elsewhere.example")
        now = structured(await asked(client, "sim_get_settings"))
        assert (now["base_url"], now["is_enabled"]) == ("https://sim.example.com", True)
        first = structured(await asked(acme, "sim_setup", enabled=False))
        assert (first["status"], first["is_enabled"]) == ("open", False)
        await visit(web, first["url"], KEY)
        assert not structured(await asked(acme, "sim_get_settings"))["is_enabled"]


@pytest.mark.requirement("R31", "R32", "R60")
@pytest.mark.parametrize(
    "arguments",
    [
        {"api_key": KEY},
        {"apiKey": "anything"},
        {"key": "anything"},
        {"token": "anything"},
        {"base_url": f"https://sim.example.com/{KEY}"},
        {"base_url": KEY},
        {"enabled": KEY},
        {"notes": {"deep": [KEY]}},
        {KEY: True},
    ],
)
async def test_a_key_in_the_conversation_is_refused_and_not_kept(
    web: Web, tmp_path: Path, arguments: dict[str, Any]
) -> None:
    """The reason, and what to do about a pasted key; the value is in no answer, row or file."""
    async with connected(web.world, "auto", answers=User(web)) as client:
        result = await asked(client, "sim_setup", **arguments)
    assert result.is_error
    assert "An API key must not pass through a conversation" in words(result)
    assert "revoke" in words(result)
    assert KEY not in str(result)
    assert await web.world.rows("acme") == ()
    assert await web.world.app.store.database.fetch_one("SELECT id FROM setup_links") is None
    assert KEY.encode() not in files_below(tmp_path)


def files_below(folder: Path) -> bytes:
    """Everything that is written there."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"enabled": "yes"}, "$.enabled must be of type boolean"),
        ({"workspace": "ws-1"}, "has an unknown field; known are: base_url, enabled"),
        ({"base_url": "http://10.0.0.5"}, "SIM_MCP_SIM_ALLOWED_HOSTS"),
        ({"base_url": "https://ada:secret@sim.example.com"}, "An API key must not pass"),
    ],
)
async def test_wrong_wishes_make_no_link(web: Web, arguments: dict[str, Any], said: str) -> None:
    """A tool error that a model can repair."""
    async with connected(web.world, "auto") as client:
        result = await asked(client, "sim_setup", **arguments)
    assert result.is_error
    assert said in words(result)
    assert await web.world.app.store.database.fetch_one("SELECT id FROM setup_links") is None


@pytest.mark.requirement("R35", "R60")
async def test_an_answer_to_somebody_elses_question_is_none(web: Web) -> None:
    """2026-07-28, by hand: another tenant's, an invented and an absent state are asked anew."""
    opened = {"setup": ElicitResult(action="accept")}
    async with (
        connected(web.world, "auto", answers=User(web)) as client,
        connected(web.world, "auto", "globex", answers=User(web)) as other,
    ):

        async def call(who: Client, **more: Any) -> Any:
            return await who.session.call_tool("sim_setup", {}, allow_input_required=True, **more)

        question = await call(client)
        assert isinstance(question, InputRequiredResult)
        state = question.request_state
        for again in (
            await call(other, input_responses=opened, request_state=state),
            await call(client, input_responses=opened, request_state="invented"),
            await call(client, input_responses=opened),
        ):
            assert isinstance(again, InputRequiredResult)
        [asking] = (question.input_requests or {}).values()
        params = asking.params
        assert isinstance(params, ElicitRequestURLParams)
        await visit(web, params.url, KEY)
        for _ in range(2):  # telling what came of it may be repeated: nothing is done twice
            done = await call(client, input_responses=opened, request_state=state)
            assert isinstance(done, CallToolResult)
            assert structured(done)["status"] == "connected"


@pytest.mark.requirement("R33")
async def test_only_who_may_connect_sees_the_tool(web: Web) -> None:
    """ADD for connecting, DELETE for disconnecting."""
    for permission in ALL_PERMISSIONS:
        async with connected(web.world, "auto", permissions=[permission]) as client:
            shown = set(await names(client))
        assert ("sim_setup" in shown) == (permission is Permission.ADD)
        assert ("sim_remove_integration" in shown) == (permission is Permission.DELETE)


async def test_a_session_with_a_key_of_its_own_says_why_not(tmp_path: Path, clock: ManualClock) -> None:
    """`SIM_API_KEY` wins over a stored key, so a page would promise what does not come true."""
    async with (
        open_world(
            tmp_path,
            clock=clock,
            connect={},
            needs=Needs(uses_process_key=True, follows_up=False),
            tenant_id="acme",
            sim_api_key=KEY,
            public_url=PUBLIC,
        ) as world,
        connected(world, "auto") as client,
    ):
        for name, arguments in (
            ("sim_setup", {}),
            ("sim_setup", {"enabled": False}),
            ("sim_remove_integration", {}),
        ):
            result = await asked(client, name, **arguments)
            assert result.is_error
            assert "SIM_API_KEY" in words(result)


async def test_without_any_page_the_terminal_is_named(tmp_path: Path, clock: ManualClock) -> None:
    """And no link is left open that nobody knows."""
    async with open_world(tmp_path, clock=clock) as world, connected(world, "auto") as client:
        for _ in range(12):
            result = await asked(client, "sim_setup")
            assert result.is_error
            assert "`sim-mcp setup`" in words(result)


def test_only_revisions_that_know_pages_are_asked_for_one() -> None:
    """URL mode came with 2025-11-25."""
    both = ClientCapabilities(elicitation=ElicitationCapability(url=UrlElicitationCapability()))
    versions = ("2024-11-05", "2025-06-18", "2025-11-25", "2026-07-28")
    assert [can_open_urls(both, version) for version in versions] == [False, False, True, True]
    assert not can_open_urls(ClientCapabilities(elicitation=ElicitationCapability()), "2025-11-25")
    assert not can_open_urls(None, "2025-11-25")


@pytest.mark.requirement("R30", "R41", "R46")
async def test_disconnecting_asks_and_then_destroys_the_key(web: Web, era: Era, network: Network) -> None:
    """The next call is refused without asking SIM; the client is closed; the other tenant works on."""
    await web.world.app.administration.set_up(ADA, api_key=KEY)
    await web.allow("acme", "quick")
    await web.allow("globex", "quick")
    user = User(web)
    async with (
        connected(web.world, era, answers=user) as client,
        connected(web.world, era, "globex", answers=user) as other,
    ):
        assert not (await client.call_tool("quick", {})).is_error
        assert not (await other.call_tool("quick", {})).is_error
        closed = network.closed
        result = await asked(client, "sim_remove_integration")
        assert (structured(result), result.is_error) == ({"is_removed": True}, False)
        assert [wrap(each, 80) for each in user.questions] == snapshot(
            [
                [
                    "Disconnect tenant 'acme' from SIM at https://sim.example.com and destroy its",
                    "stored API key? Its tools stop working at once; connecting again needs the key.",
                ]
            ]
        )
        assert network.closed == closed + 1
        sent = len(network.sent)
        after = await client.call_tool("quick", {})
        assert after.is_error
        assert "NOT_CONFIGURED" in words(after)
        settings = structured(await asked(client, "sim_get_settings"))
        assert not settings["has_api_key"]
        again = await asked(client, "sim_remove_integration")
        assert again.is_error
        assert "NOT_FOUND" in words(again)
        assert len(network.sent) == sent
        assert not (await other.call_tool("quick", {})).is_error
    assert len(user.questions) == 1
    row = await web.world.app.store.database.fetch_one(
        "SELECT COUNT(*) AS kept FROM integration_revisions WHERE tenant_id = ? AND sealed_key IS NOT NULL",
        ["acme"],
    )
    assert row is not None
    assert row["kept"] == 0


@pytest.mark.parametrize("how", ["decline", "cancel", "unticked"])
async def test_anything_but_yes_destroys_nothing(web: Web, era: Era, how: str) -> None:
    """Neither the connection nor a tool."""
    await web.allow("globex", "quick")
    user = User(web, action="accept" if how == "unticked" else how, ticks=False)
    async with connected(web.world, era, "globex", answers=user) as client:
        for name, arguments in (("sim_remove_integration", {}), ("sim_disallow_workflow", {"name": "quick"})):
            result = await asked(client, name, **arguments)
            assert result.is_error
            assert "The user did not confirm: nothing was changed." in words(result)
        assert "quick" in await names(client)
    assert [wrap(each, 80) for each in user.questions] == snapshot(
        [
            [
                "Disconnect tenant 'globex' from SIM at https://sim.example.com and destroy its",
                "stored API key? Its tools stop working at once; connecting again needs the key.",
            ],
            [
                "Take the tool 'quick' off the allow-list of tenant 'globex'? Nobody there can",
                "call it any more.",
            ],
        ]
    )
    assert await has_key(web, "globex")


async def test_a_client_that_cannot_ask_is_told_the_other_way(web: Web, era: Era) -> None:
    """Refused with instructions, and nothing is done."""
    await web.allow("globex", "quick")
    async with connected(web.world, era, "globex") as client:
        refused = [
            words(await asked(client, "sim_remove_integration")),
            words(await asked(client, "sim_disallow_workflow", name="quick")),
        ]
        missing = words(await asked(client, "sim_disallow_workflow", name="nothing"))
        assert "quick" in await names(client)
    assert [wrap(each, 80) for each in refused] == snapshot(
        [
            [
                "CONFLICT: 'sim_remove_integration' must be confirmed by the user, and this",
                "client cannot show a question. Nothing was changed. An administrator can run",
                "`sim-mcp setup --remove`, or send DELETE /api/integration/sim/settings.",
            ],
            [
                "CONFLICT: 'sim_disallow_workflow' must be confirmed by the user, and this client",
                "cannot show a question. Nothing was changed. An administrator can run `sim-mcp",
                "tools remove quick`.",
            ],
        ]
    )
    assert missing == snapshot("NOT_FOUND: There is no tool 'nothing' on the allow-list.")
    assert await has_key(web, "globex")


@pytest.mark.requirement("R60")
async def test_a_yes_is_good_for_the_connection_that_was_named(web: Web) -> None:
    """Answered after the address changed, or a second time: nothing is done, and it is asked anew."""
    yes = {"confirm": ElicitResult(action="accept", content={"confirm": True})}
    gus = principal("globex")
    async with connected(web.world, "auto", "globex", answers=User(web)) as client:

        async def call(**more: Any) -> Any:
            return await client.session.call_tool(
                "sim_remove_integration", {}, allow_input_required=True, **more
            )

        async def connect() -> None:
            await web.world.app.administration.set_up(
                gus, api_key="sk-sim-sandbox-globex", base_url="https://sim.elsewhere.example"
            )

        first = await call()
        assert isinstance(first, InputRequiredResult)
        await connect()
        with pytest.raises(MCPError, match="requestState"):
            await call(input_responses=yes, request_state=first.request_state)
        assert await has_key(web, "globex")
        second = await call()
        assert isinstance(second, InputRequiredResult)
        done = await call(input_responses=yes, request_state=second.request_state)
        assert isinstance(done, CallToolResult)
        assert not await has_key(web, "globex")
        await connect()
        with pytest.raises(MCPError, match="requestState"):
            await call(input_responses=yes, request_state=second.request_state)
    assert await has_key(web, "globex")
