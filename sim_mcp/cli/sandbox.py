"""`sim-mcp sandbox`: the built-in SIM, alone or inside another verb."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from sim_mcp.cli.exits import Misuse, Unfinished
from sim_mcp.cli.options import AsJson
from sim_mcp.cli.printing import print_json, say
from sim_mcp.cli.session import run, until_stopped
from sim_mcp.model.json import Json

if TYPE_CHECKING:
    from sim_mcp.config import Settings
    from sim_mcp.sim.fake import Account, FakeSim

SANDBOX_PORT = 8766


def sandbox(
    *,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Of 127.0.0.1; 0 takes a free one.")
    ] = SANDBOX_PORT,
    as_json: AsJson = False,
) -> None:
    """Run the built-in SIM until Ctrl-C: two accounts, a workflow for everything that can happen."""

    async def serve() -> None:
        from sim_mcp.sim.fake import FakeSim, serve_fake

        async with AsyncExitStack() as stack:
            try:
                url = await stack.enter_async_context(serve_fake(FakeSim(), port=port))
            except OSError as error:
                raise Misuse(
                    f"Port {port} cannot be used ({error.strerror}).", remedy="choose another with --port"
                ) from error
            if as_json:
                print_json({"base_url": url, "accounts": _accounts()})
            else:
                for line in instructions(url):
                    say(line)
            await until_stopped()

    with suppress(KeyboardInterrupt):
        run(serve)


@asynccontextmanager
async def sandboxed(
    settings: Settings, fake: FakeSim, *, lends_key: bool
) -> AsyncGenerator[tuple[Settings, str]]:
    """`settings` that point at `fake`, which is served on loopback as long as the block runs; and its URL.

    The usual port is taken when it is free, so that tenants set up once find it again. With
    `lends_key` a session without a SIM key of its own gets an account of the sandbox, and unless the
    settings say otherwise its tenant's name and the example tools.
    """
    from pydantic import SecretStr

    from sim_mcp.sim.fake import serve_fake

    async with AsyncExitStack() as stack:
        try:
            url = await stack.enter_async_context(serve_fake(fake, port=SANDBOX_PORT))
        except OSError:
            url = await stack.enter_async_context(serve_fake(fake))
        changes: dict[str, object] = {
            "sim_base_url": url,
            "sim_allowed_hosts": (*settings.sim_allowed_hosts, urlsplit(url).netloc),
        }
        if lends_key and settings.sim_api_key is None:
            is_named = "tenant_id" in settings.model_fields_set
            account = _account_of(settings.tenant_id)
            changes["tenant_id"] = settings.tenant_id if is_named else account.name
            changes["sim_api_key"] = SecretStr(account.api_key)
            if settings.tool_specs is None:
                with suppress(Unfinished):
                    changes["tool_specs"] = example_specs()
        yield settings.model_copy(update=changes), url


def example_specs() -> Path:
    """The directory of the example tool specs: inside the package, or in a checkout beside it.

    Raises:
        Unfinished: neither is there.
    """
    here = Path(__file__).parent
    for directory in (here / "examples", here.parents[1] / "tool_specs" / "examples"):
        if directory.is_dir():
            return directory
    raise Unfinished("The example tool specs are missing.", remedy="install sim-mcp again")


def instructions(url: str) -> tuple[str, ...]:
    """How to connect a tenant to the sandbox at `url`. Its keys are public and open nothing else."""
    from sim_mcp.sim.fake import DEMO_ACCOUNTS

    host, account = urlsplit(url).netloc, DEMO_ACCOUNTS[0]
    keys = ", ".join(f"{each.name} ({each.api_key})" for each in DEMO_ACCOUNTS)
    return (
        f"Sandbox SIM at {url}; accounts and their public keys: {keys}.",
        "Connect a tenant from another terminal:",
        f"  SIM_MCP_SIM_ALLOWED_HOSTS={host} sim-mcp setup --tenant {account.name} --base-url {url}",
        "Then choose its tools, with SIM_MCP_SIM_ALLOWED_HOSTS set likewise:",
        f"  sim-mcp tools import --all --dir specs --tenant {account.name}",
        f"  sim-mcp tools apply specs --tenant {account.name}",
    )


def _accounts() -> list[Json]:
    from sim_mcp.sim.fake import DEMO_ACCOUNTS

    return [{"name": each.name, "api_key": each.api_key} for each in DEMO_ACCOUNTS]


def _account_of(tenant: str) -> Account:
    """The account of that name, else the first."""
    from sim_mcp.sim.fake import DEMO_ACCOUNTS

    return next((each for each in DEMO_ACCOUNTS if each.name == tenant), DEMO_ACCOUNTS[0])
