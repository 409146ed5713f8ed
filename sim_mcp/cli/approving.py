"""`sim-mcp tools diff` and `tools approve`: what changed under the tools, and letting it count."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sim_mcp.cli.exits import FAILED, Misuse
from sim_mcp.cli.options import AsJson, Config, Tenant
from sim_mcp.cli.printing import moment, note, print_json, print_table, safe, say
from sim_mcp.cli.session import with_app
from sim_mcp.model.json import Json
from sim_mcp.model.lock import ChangeClass

if TYPE_CHECKING:
    from sim_mcp.app import App, Review
    from sim_mcp.model.lock import ToolLock
    from sim_mcp.model.principal import Principal
    from sim_mcp.model.tool import WorkflowTool

Directory = Annotated[
    Path | None,
    typer.Option("--dir", metavar="DIR", help="Spec files and their lock; default: SIM_MCP_TOOL_SPECS."),
]


def diff(*, tenant: Tenant = None, as_json: AsJson = False, config: Config = None) -> None:
    """Compare each tool with its workflow as it is deployed. Exits 1 when something breaking changed."""
    from sim_mcp.app import Needs

    async def ask(app: App, principal: Principal) -> tuple[Review, ...]:
        return await app.approvals.review(principal)

    needs = Needs(follows_up=False, uses_process_key=True)
    reviews = with_app(ask, config=config, tenant=tenant, needs=needs)
    if as_json:
        shown: list[Json] = [_described(each) for each in reviews]
        print_json({"tools": shown})
    else:
        print_table(
            ("TOOL", "STATE", "APPROVED", "CHANGES"),
            [
                (
                    each.tool.name,
                    _state(each),
                    f"{moment(each.lock.approved_at)} by {each.lock.approved_by}" if each.lock else "never",
                    each.problem or " ".join(change.sentence for change in each.changes),
                )
                for each in reviews
            ],
        )
        if any(_is_breaking(each) for each in reviews):
            note("Breaking changes hold a tool until somebody approves them: sim-mcp tools approve NAME")
    if any(_is_breaking(each) for each in reviews):
        raise typer.Exit(FAILED)


def approve(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="The tools.")] = None,
    *,
    takes_all: Annotated[bool, typer.Option("--all", help="Every tool of the tenant.")] = False,
    keeps_schema: Annotated[
        bool, typer.Option("--keep-schema", help="Approve although the input schema does not fit.")
    ] = False,
    directory: Directory = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Let the workflows as they are deployed now count as the tools; what was held is released.

    Tools of spec files are noted in the lock file beside them, sim-mcp.lock.json, to be committed.
    """
    from sim_mcp.app import Needs

    if takes_all == bool(names):
        raise Misuse("Which tools?", remedy="give their names, or --all")

    async def release(app: App, principal: Principal) -> tuple[tuple[ToolLock, ...], Path | None]:
        from sim_mcp.catalog import LOCK_FILE, read_lock, read_specs, write_lock

        folder = directory or app.settings.tool_specs
        files: dict[str, WorkflowTool] = {}
        if folder is not None:
            specs = read_specs(folder, obeys_lock=False).of(principal.tenant_id)
            files = {spec.name: spec.to_tool(principal.tenant_id) for spec in specs if spec.enabled}
        listed = {tool.name for tool in (await app.gateway.catalog(principal.tenant_id)).tools}
        chosen = sorted(listed | files.keys()) if takes_all else (names or [])
        done = [
            await app.approvals.approve(principal, name, tool=files.get(name), keeps_schema=keeps_schema)
            for name in chosen
        ]
        in_files = [lock for lock in done if lock.name in files]
        if folder is None or not in_files:
            return tuple(done), None
        known = dict((read_lock(folder) if (folder / LOCK_FILE).exists() else None) or {})
        known |= {(lock.tenant_id, lock.name): lock for lock in in_files}
        return tuple(done), write_lock(folder, known.values())

    needs = Needs(follows_up=False, uses_process_key=True)
    done, file = with_app(release, config=config, tenant=tenant, needs=needs)
    if as_json:
        approved: list[Json] = [
            {"tool": lock.name, "workflow_id": lock.workflow_id, "deployed_version": lock.version}
            for lock in done
        ]
        print_json({"approved": approved, "lock_file": None if file is None else str(file)})
        return
    for lock in done:
        say(f"approved {safe(lock.name)}{'' if lock.version is None else f' at version {lock.version}'}")
    if file is not None:
        note(f"Noted in {safe(str(file))}: commit it with the specs.")


def _state(review: Review) -> str:
    if review.problem is not None:
        return "not known"
    if review.lock is not None and review.lock.held:
        return "held"
    return "breaking" if _is_breaking(review) else "as approved" if not review.changes else "changed"


def _is_breaking(review: Review) -> bool:
    return any(change.kind is ChangeClass.BREAKING for change in review.changes)


def _described(review: Review) -> Json:
    lock = review.lock
    return {
        "tool": review.tool.name,
        "workflow_id": review.tool.workflow_id,
        "source": "file" if review.is_from_file else "allow-list",
        "approved_at": moment(lock.approved_at) if lock else None,
        "approved_by": lock.approved_by if lock else None,
        "approved_version": lock.version if lock else None,
        "held": list(lock.held) if lock else [],
        "changes": [{"class": change.kind.value, "change": change.sentence} for change in review.changes],
        "problem": review.problem,
    }
