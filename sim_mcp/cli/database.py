"""`sim-mcp db` and `sim-mcp keys`: what an operator does by hand."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from sim_mcp.cli.exits import Misuse, Unfinished
from sim_mcp.cli.groups import group
from sim_mcp.cli.options import AsJson, Config
from sim_mcp.cli.printing import moment, print_json, say
from sim_mcp.cli.session import read_settings, run, with_app
from sim_mcp.model.clock import SystemClock
from sim_mcp.model.json import Json
from sim_mcp.model.principal import Permission, Principal

if TYPE_CHECKING:
    from sim_mcp.app import App
    from sim_mcp.config import Settings
    from sim_mcp.store import Sealer, Store

T = TypeVar("T")


def database_verbs() -> typer.Typer:
    """The verbs under `sim-mcp db`."""
    return group("The database.", {"upgrade": upgrade, "check": check, "purge": purge, "copy": copy})


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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would go.")] = False,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Delete what ended longer ago than the retention time, of all tenants.

    Executions are archived first when SIM_MCP_RETENTION_ARCHIVE_DIR is set. A worker does it every hour.
    """
    from sim_mcp.app import open_sealer
    from sim_mcp.gateway import Keeping, Purged

    settings = read_settings(config)
    kept_days = settings.retention_days if days is None else days
    if kept_days == 0:
        raise Misuse("SIM_MCP_RETENTION_DAYS is 0: nothing is ever purged.", remedy="give --days")
    before = SystemClock().now() - timedelta(days=kept_days)

    async def delete(store: Store) -> Purged:
        keeping = Keeping(
            retention=store.retention,
            clock=SystemClock(),
            retention_days=kept_days,
            archive=settings.retention_archive_dir,
        )
        return await (keeping.preview(before) if dry_run else keeping.purge(before))

    # The real keys: what is purged is noted in the audit chain, under its sealed key.
    purged = _with_store(delete, settings, migrate=True, sealer=open_sealer(settings))
    if as_json:
        files: list[Json] = [str(file) for file in purged.files]
        counts: dict[str, Json] = {**purged.counts}
        print_json(
            {"purged": counts, "finished_before": moment(before), "archived_in": files, "dry_run": dry_run}
        )
        return
    told = ", ".join(f"{count} {kind}" for kind, count in purged.counts.items())
    say(f"{'Would purge' if dry_run else 'Purged'} what ended before {moment(before)}: {told}.")
    for file in purged.files:
        say(f"archived in {file}")


def copy(
    *,
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="The embedded database; default: the data directory's."),
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Copy an embedded database into the empty PostgreSQL database of SIM_MCP_DATABASE_URL.

    Stop every server first. The file is only read. Use the same encryption keys as before.
    """
    from sim_mcp.store import Sealer, copy_all, is_postgres, open_store

    settings = read_settings(config)
    file = (settings.data_dir / "sim-mcp.db" if source is None else source).absolute()
    if not is_postgres(settings.store_url):
        raise Misuse(
            "SIM_MCP_DATABASE_URL names no PostgreSQL database.",
            remedy="set it to postgresql://user@host/name, with the password of that user",
        )
    if not file.is_file():
        raise Misuse(f"There is no database {str(file)!r}.", remedy="name the file with --from")

    async def copied(target: Store) -> dict[str, int]:
        async with open_store(
            f"sqlite:///{file}",
            sealer=Sealer([secrets.token_bytes(32)]),
            clock=SystemClock(),
            new_id=lambda: str(uuid.uuid4()),
            only_look=True,
        ) as embedded:
            return await copy_all(embedded.database, target.database)

    counts = _with_store(copied, settings, migrate=True)
    if as_json:
        shown: dict[str, Json] = {**counts}
        print_json({"copied": shown})
        return
    for table, count in counts.items():
        say(f"{count:>9} {table}")
    say("Copied, and counted on both sides. The file is as it was.")


def rotate(*, as_json: AsJson = False, config: Config = None) -> None:
    """Seal every stored SIM key anew under the newest encryption key.

    Put the new key first in SIM_MCP_ENCRYPTION_KEYS, rotate, then take the old one out.
    """

    async def reseal(app: App, principal: Principal) -> int:
        principal.require(Permission.ADD)
        await app.store.jobs.reseal_all()
        await app.store.events.reseal_all()
        await app.store.tool_secrets.reseal_all()
        await app.store.audit_keys.reseal_all()
        await app.store.claims.reseal_all()  # first: the other one ends with an error for a lost key
        return await app.store.integrations.reseal_all()

    resealed = with_app(reseal, config=config)
    if as_json:
        print_json({"resealed": resealed})
    else:
        say(f"Sealed {resealed} SIM keys anew; all are under the newest encryption key now.")


def _with_store(
    work: Callable[[Store], Awaitable[T]],
    settings: Settings,
    *,
    migrate: bool,
    sealer: Sealer | None = None,
) -> T:
    """Run `work` on the bare store: no SIM, no background work; without `sealer` no key file either."""
    from sim_mcp.store import Sealer, open_store

    async def opened() -> T:
        async with open_store(
            settings.store_url,
            # A key of the moment, for verbs that neither seal nor unseal: they must not make the real key.
            sealer=sealer or Sealer([secrets.token_bytes(32)]),
            clock=SystemClock(),
            new_id=lambda: str(uuid.uuid4()),
            migrate=migrate,
        ) as store:
            return await work(store)

    return run(opened)


async def _ping(store: Store) -> None:
    await store.ping()
