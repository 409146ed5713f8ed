"""`sim-mcp audit`: prove that nobody touched the audit log, and hand it on so that others can check it."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, TypeVar

import typer

from sim_mcp.cli.exits import Misuse, Unfinished
from sim_mcp.cli.groups import group
from sim_mcp.cli.options import AsJson, Config, Tenant
from sim_mcp.cli.printing import moment, note, print_json, safe, say
from sim_mcp.cli.session import read_settings, run
from sim_mcp.model.clock import SystemClock
from sim_mcp.model.json import Json, JsonObject
from sim_mcp.model.principal import TenantId

if TYPE_CHECKING:
    from sim_mcp.gateway import Digest
    from sim_mcp.store import AuditKey, Broken, Store, Verdict

T = TypeVar("T")

EveryTenant = Annotated[
    str | None, typer.Option("--tenant", metavar="T", help="Whose; default: everybody's.")
]
Export = Annotated[
    Path | None,
    typer.Option("--export", metavar="FILE", help="Check this export, and that the chain still contains it."),
]


def audit_verbs() -> typer.Typer:
    """The verbs under `sim-mcp audit`."""
    return group("The audit log's chain of hashes.", {"verify": verify, "export": export})


def verify(
    *, export_file: Export = None, tenant: EveryTenant = None, as_json: AsJson = False, config: Config = None
) -> None:
    """Hold every closed execution against the chain that was made when it was closed.

    Names the first row that was altered, deleted or slipped in, and ends with 1. Only reads.
    """
    if export_file is not None:
        _verify_export(export_file, as_json=as_json, config=config)
        return

    async def look(store: Store) -> list[Verdict]:
        tenants = [TenantId(tenant)] if tenant is not None else await store.audit_trail.tenants()
        return [await store.audit_trail.verify(each) for each in tenants]

    verdicts = _with_store(look, config)
    if as_json:
        print_json({"tenants": [_shown(each) for each in verdicts]})
    else:
        for each in verdicts:
            say(_sentence(each))
        if not verdicts:
            say("Nothing was closed yet: there is no chain.")
    broken = [each for each in verdicts if each.broken]
    if broken:
        raise Unfinished(
            "The audit log is not as it was: " + "; ".join(_first(each) for each in broken) + ".",
            remedy="compare with your last `sim-mcp audit export` and your backups before you trust it",
        )


def export(
    *,
    tenant: Tenant = None,
    after: Annotated[
        int,
        typer.Option(
            "--after", min=0, metavar="SEQ", help="Begin behind the last link of an earlier export."
        ),
    ] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write here, mode 0600; default: stdout.")
    ] = None,
    config: Config = None,
) -> None:
    """Write one tenant's closed executions as NDJSON, ended by a signed digest.

    `sim-mcp audit verify --export FILE` checks it. Ends with 1 when the chain is broken, as the digest tells.
    """
    from sim_mcp.gateway import exported

    settings = read_settings(config)
    whose = TenantId(tenant or settings.tenant_id)

    async def write(store: Store) -> Verdict:
        verdict = await store.audit_trail.verify(whose)
        key = await _newest_key(store, whose)
        with ExitStack() as stack:
            target = sys.stdout.buffer if out is None else stack.enter_context(_fresh(out))
            async for line in exported(
                store.audit_trail, verdict, key, after_seq=after, at=SystemClock().now()
            ):
                target.write(line)
        return verdict

    verdict = _with_store(write, config)
    note(f"{verdict.links} links of {safe(whose)}, up to number {verdict.last_seq}")
    if verdict.broken:
        raise Unfinished(
            f"The export is whole, but the chain is broken: {_first(verdict)}.",
            remedy="`sim-mcp audit verify` names the rows",
        )


def _verify_export(file: Path, *, as_json: bool, config: Path | None) -> None:
    from sim_mcp.gateway import check_export, public_key

    if not file.is_file():
        raise Misuse(
            f"There is no file {str(file)!r}.", remedy="name a file that `sim-mcp audit export` wrote"
        )
    with file.open("rb") as lines:
        digest = check_export(lines)

    async def compare(store: Store) -> tuple[bool, bool | None]:
        keys = await store.audit_keys.all()
        link = await store.audit_trail.link(digest.tenant_id, digest.last_seq)
        is_ours = digest.public_key in {public_key(key) for key in keys.values()}
        return is_ours, None if link is None or digest.links == 0 else link.chain == digest.head

    is_ours, is_contained = _with_store(compare, config)
    if as_json:
        print_json(_digest(digest) | {"signed_by_this_server": is_ours, "chain_contains_it": is_contained})
    else:
        say(f"{safe(digest.tenant_id)}: {digest.links} links up to number {digest.last_seq} are as signed")
        say(f"signed {digest.exported_at} by {digest.public_key}")
    if not is_ours:
        raise Unfinished(
            "The export was not signed by this server's audit keys.",
            remedy="use the server's database and encryption keys, or compare the public key by hand",
        )
    if is_contained is None:
        note("the chain of this database does not reach back, or not yet, to the last link of the export")
    elif not is_contained:
        raise Unfinished(
            f"The chain was rewritten since: link {digest.last_seq} is not the one that was exported.",
            remedy="trust the export, and restore the database from a backup",
        )


async def _newest_key(store: Store, whose: TenantId) -> AuditKey:
    for key in (await store.audit_keys.all()).values():
        return key
    raise Unfinished(
        f"There is nothing to export: no execution of {str(whose)!r} was closed yet.",
        remedy="name a tenant with --tenant; `sim-mcp audit verify` lists them",
    )


def _with_store(work: Callable[[Store], Awaitable[T]], config: Path | None) -> T:
    """Run `work` on the bare store, which is only looked at."""
    from sim_mcp.app import looking_sealer
    from sim_mcp.store import open_store

    settings = read_settings(config)

    async def opened() -> T:
        async with open_store(
            settings.store_url,
            sealer=looking_sealer(settings),
            clock=SystemClock(),
            new_id=lambda: str(uuid.uuid4()),
            only_look=True,
        ) as store:
            return await work(store)

    return run(opened)


def _fresh(file: Path) -> BinaryIO:

    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise Misuse(f"{str(file)!r} exists already.", remedy="name a new file") from error
    return os.fdopen(descriptor, "wb")


def _sentence(verdict: Verdict) -> str:
    told = f"{safe(verdict.tenant_id)}: {verdict.rows} executions in {verdict.links} links"
    if verdict.links:
        told += f", {verdict.first_seq} to {verdict.last_seq}, head {verdict.head[:16]}"
    if verdict.broken:
        told += f": {verdict.broken_count} breaks"
        for each in verdict.broken:
            told += f"\n  {_break(each)}"
        return told
    return f"{told}: nothing was altered"


def _first(verdict: Verdict) -> str:
    return f"{safe(verdict.tenant_id)}: {_break(verdict.broken[0])}"


def _break(broken: Broken) -> str:
    where = [
        f"link {broken.seq}" if broken.seq is not None else "",
        f"execution {safe(broken.execution_id)}" if broken.execution_id else "",
        f"closed {moment(broken.at)}" if broken.at else "",
    ]
    return f"{', '.join(part for part in where if part)}: {broken.kind.value}"


def _shown(verdict: Verdict) -> JsonObject:
    return {
        "tenant_id": verdict.tenant_id,
        "is_whole": not verdict.broken,
        "executions": verdict.rows,
        "links": verdict.links,
        "first_seq": verdict.first_seq,
        "last_seq": verdict.last_seq,
        "head": verdict.head,
        "since": moment(verdict.since) if verdict.since else None,
        "breaks": verdict.broken_count,
        "broken": [
            {
                "kind": each.kind.name.lower(),
                "seq": each.seq,
                "execution_id": each.execution_id,
                "at": moment(each.at) if each.at else None,
            }
            for each in verdict.broken
        ],
    }


def _digest(digest: Digest) -> dict[str, Json]:
    return {
        "tenant_id": digest.tenant_id,
        "links": digest.links,
        "last_seq": digest.last_seq,
        "head": digest.head,
        "breaks": digest.broken,
        "exported_at": digest.exported_at,
        "public_key": digest.public_key,
    }
