"""`sim-mcp db` and `sim-mcp keys`: what an operator does by hand."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from sim_mcp.cli.exits import Misuse, Unfinished
from sim_mcp.cli.groups import group
from sim_mcp.cli.options import AsJson, Config
from sim_mcp.cli.printing import moment, print_json, say
from sim_mcp.cli.session import read_settings, run, with_app
from sim_mcp.model.clock import SystemClock
from sim_mcp.model.principal import Permission, Principal

if TYPE_CHECKING:
    from sim_mcp.app import App
    from sim_mcp.config import Settings
    from sim_mcp.store import Store

T = TypeVar("T")

_ROWS_AT_ONCE = 1000


def database_verbs() -> typer.Typer:
    """The verbs under `sim-mcp db`."""
    return group("The database.", {"upgrade": upgrade, "check": check, "purge": purge})


def key_verbs() -> typer.Typer:
    """The verbs under `sim-mcp keys`."""
    return group("The encryption keys.", {"rotate": rotate})


def upgrade(*, as_json: AsJson = False, config: Config = None) -> None:
    """Make the database, or bring its tables up to date. Safe to repeat."""
    _with_store(_ping, read_settings(config), migrate=True)
    if as_json:
        print_json({"is_up_to_date": True})
    else:
        say("The database is up to date.")


def check(*, as_json: AsJson = False, config: Config = None) -> None:
    """Tell whether the database answers and is up to date. Creates and changes nothing."""
    settings = read_settings(config)
    file = settings.data_dir / "sim-mcp.db"
    if settings.database_url is None and not file.exists():
        raise Unfinished(f"There is no database {str(file)!r}.", remedy="`sim-mcp db upgrade` makes one")
    _with_store(_ping, settings, migrate=False)
    if as_json:
        print_json({"is_up_to_date": True})
    else:
        say("The database answers and is up to date.")


def purge(
    *,
    days: Annotated[
        int | None,
        typer.Option("--days", min=1, max=36500, help="Older than this; default: SIM_MCP_RETENTION_DAYS."),
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Delete finished executions older than the retention time, of all tenants."""
    settings = read_settings(config)
    kept_days = settings.retention_days if days is None else days
    if kept_days == 0:
        raise Misuse("SIM_MCP_RETENTION_DAYS is 0: nothing is ever purged.", remedy="give --days")
    before = SystemClock().now() - timedelta(days=kept_days)

    async def delete(store: Store) -> int:
        purged = 0
        while some := await store.executions.purge(before, limit=_ROWS_AT_ONCE):
            purged += some
        return purged

    purged = _with_store(delete, settings, migrate=True)
    if as_json:
        print_json({"purged": purged, "finished_before": moment(before)})
    else:
        say(f"Purged {purged} executions that finished before {moment(before)}.")


def rotate(*, as_json: AsJson = False, config: Config = None) -> None:
    """Seal every stored SIM key anew under the newest encryption key.

    Put the new key first in SIM_MCP_ENCRYPTION_KEYS, rotate, then take the old one out.
    """

    async def reseal(app: App, principal: Principal) -> int:
        principal.require(Permission.ADD)
        await app.store.claims.reseal_all()  # first: the other one ends with an error for a lost key
        return await app.store.integrations.reseal_all()

    resealed = with_app(reseal, config=config)
    if as_json:
        print_json({"resealed": resealed})
    else:
        say(f"Sealed {resealed} SIM keys anew; all are under the newest encryption key now.")


def _with_store(work: Callable[[Store], Awaitable[T]], settings: Settings, *, migrate: bool) -> T:
    """Run `work` on the bare store: no SIM, no background work, no key file."""
    from sim_mcp.store import Sealer, open_store

    async def opened() -> T:
        # A key of the moment: these verbs neither seal nor unseal, and must not make the real key.
        sealer = Sealer([secrets.token_bytes(32)])
        async with open_store(
            settings.store_url,
            sealer=sealer,
            clock=SystemClock(),
            new_id=lambda: str(uuid.uuid4()),
            migrate=migrate,
        ) as store:
            return await work(store)

    return run(opened)


async def _ping(store: Store) -> None:
    await store.ping()
