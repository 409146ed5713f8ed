"""`sim-mcp tools`: the allow-list, and the files that describe it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sim_mcp.cli.approving import approve, diff
from sim_mcp.cli.asking import confirmed
from sim_mcp.cli.exits import Misuse, Unfinished
from sim_mcp.cli.groups import group
from sim_mcp.cli.importing import Imported, import_specs
from sim_mcp.cli.linting import lint
from sim_mcp.cli.options import AsJson, Config, Tenant, Yes
from sim_mcp.cli.plan import Plan, with_pinned_schemas
from sim_mcp.cli.printing import note, print_json, print_table, safe, say
from sim_mcp.cli.session import with_app
from sim_mcp.model.json import Json
from sim_mcp.model.principal import Permission, Principal
from sim_mcp.model.tool import WorkflowId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sim_mcp.app import App, Discovery
    from sim_mcp.catalog import Catalog, SpecSet, ToolSpec
    from sim_mcp.model.lock import ToolLock

_DEFAULT_DIRECTORY = Path("tool_specs")

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="The directory of spec files.")]


def tool_verbs() -> typer.Typer:
    """The verbs under `sim-mcp tools`."""
    verbs = {
        "list": list_,
        "discover": discover,
        "import": import_,
        "apply": apply,
        "export": export,
        "diff": diff,
        "approve": approve,
        "lint": lint,
        "remove": remove,
    }
    return group("The allow-list: which workflows are tools.", verbs)


def list_(*, tenant: Tenant = None, as_json: AsJson = False, config: Config = None) -> None:
    """List the tenant's tools, and the specs that cannot be tools with the reason."""

    async def ask(app: App, principal: Principal) -> tuple[Catalog, Mapping[str, ToolLock]]:
        principal.require(Permission.VIEW)
        catalog = await app.gateway.catalog(principal.tenant_id)
        return catalog, await app.store.tool_locks.of(principal.tenant_id)

    catalog, locks = with_app(ask, config=config, tenant=tenant)
    held = {name: lock.held for name, lock in sorted(locks.items()) if lock.held}
    if as_json:
        tools: list[Json] = [
            {
                "name": tool.name,
                "title": tool.title,
                "workflow_id": tool.workflow_id,
                "mode": tool.mode.value,
                "timeout_s": tool.timeout_s,
                "source": "file" if catalog.is_from_file(tool.name) else "allow-list",
            }
            for tool in catalog.tools
        ]
        print_json(
            {
                "tools": tools,
                "problems": [str(problem) for problem in catalog.problems],
                "held": {name: list(changes) for name, changes in held.items()},
            }
        )
        return
    print_table(
        ("TOOL", "TITLE", "MODE", "WORKFLOW", "FROM"),
        [
            (
                tool.name,
                tool.title,
                tool.mode.value,
                tool.workflow_id,
                "file" if catalog.is_from_file(tool.name) else "allow-list",
            )
            for tool in catalog.tools
        ],
    )
    if not catalog.tools:
        note("No tools yet: `sim-mcp tools discover` shows what the account offers.")
    for problem in catalog.problems:
        note(safe(str(problem)))
    for name, changes in held.items():
        note(safe(f"{name} is held: {' '.join(changes)} Release it with `sim-mcp tools approve {name}`."))


def discover(
    *,
    search: Annotated[str | None, typer.Option("--search", metavar="TEXT", help="Only with this.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="How many.")] = 20,
    cursor: Annotated[str | None, typer.Option("--cursor", help="Go on after an earlier page.")] = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Show the workflows of the tenant's SIM account."""
    from sim_mcp.app import Needs

    async def ask(app: App, principal: Principal) -> Discovery:
        return await app.workflows.discover(principal, search=search, limit=limit, cursor=cursor)

    needs = Needs(follows_up=False, uses_process_key=True)
    found = with_app(ask, config=config, tenant=tenant, needs=needs)
    if as_json:
        print_json(_discovered(found))
        return
    print_table(
        ("WORKFLOW", "NAME", "DEPLOYED", "TOOL", "INPUTS", "DRIFT"),
        [
            (
                each.summary.workflow_id,
                each.summary.name,
                "yes" if each.summary.is_deployed else "no",
                each.tool_name,
                ", ".join(field.name for field in each.inputs.fields) if each.inputs else None,
                " ".join(each.drift),
            )
            for each in found.workflows
        ],
    )
    if found.next_cursor:
        note(f"More: --cursor {found.next_cursor}")
    note("Next: sim-mcp tools import WORKFLOW_ID... (or --all)")


def import_(
    workflow_ids: Annotated[
        list[str] | None, typer.Argument(metavar="WORKFLOW_ID...", help="As `tools discover` shows them.")
    ] = None,
    *,
    takes_all: Annotated[bool, typer.Option("--all", help="Every deployed workflow.")] = False,
    directory: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIR", help="Where to; default: SIM_MCP_TOOL_SPECS, or tool_specs."),
    ] = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Write a spec file for each workflow, its inputs taken from the deployed version.

    Existing files are left alone. Nothing is allow-listed yet: `tools apply` does that.
    """
    from sim_mcp.app import Needs

    if takes_all == bool(workflow_ids):
        raise Misuse("Which workflows?", remedy="give their ids, or --all")

    async def write(app: App, principal: Principal) -> tuple[Imported, ...]:
        target = directory or app.settings.tool_specs or _DEFAULT_DIRECTORY
        return await import_specs(app, principal, workflow_ids or (), takes_all=takes_all, directory=target)

    needs = Needs(follows_up=False, uses_process_key=True)
    done = with_app(write, config=config, tenant=tenant, needs=needs)
    if as_json:
        results: list[Json] = [each.to_json() for each in done]
        print_json(results)
        return
    for each in done:
        if each.file is not None:
            say(f"wrote {safe(each.file)}")
        else:
            note(f"skipped {safe(each.workflow_id)}: it {each.skipped}")
    note("Next: read the files, then `sim-mcp tools apply DIR`.")


def apply(
    directory: Directory,
    *,
    tenant: Tenant = None,
    yes: Yes = False,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Make the tenant's allow-list equal the files: shows the plan, asks, changes all at once."""
    specs = _read(directory)
    if errors := [problem for problem in specs.problems if not problem.is_warning]:
        for problem in errors:
            note(safe(str(problem)))
        raise Unfinished("Some specs are faulty; nothing was changed.", remedy="correct them and apply again")

    async def carry_out(app: App, principal: Principal) -> tuple[Plan, bool]:
        wanted = _of_tenant(specs, principal, directory)
        current = await app.workflows.allow_list(principal)
        wanted = await _completed(app, principal, wanted, current)
        plan = Plan.between(current, wanted)
        if not as_json:
            for line in plan.lines():
                say(line)
        is_agreed = not plan.is_empty and confirmed(
            f"Apply this to tenant {principal.tenant_id!r}?", is_yes=yes
        )
        if is_agreed:
            await app.workflows.replace_allow_list(principal, wanted)
        return plan, is_agreed

    plan, is_applied = with_app(carry_out, config=config, tenant=tenant)
    if as_json:
        print_json({**plan.to_json(), "applied": is_applied})
    elif plan.is_empty:
        say("The allow-list equals the files already.")
    elif is_applied:
        say("Applied.")
    if not plan.is_empty and not is_applied:
        raise Unfinished("Nothing was changed.")


def export(*, tenant: Tenant = None, as_json: AsJson = False, config: Config = None) -> None:
    """Print the stored allow-list as a spec file."""
    from sim_mcp.catalog import write_specs

    async def ask(app: App, principal: Principal) -> tuple[Principal, tuple[ToolSpec, ...]]:
        return principal, await app.workflows.allow_list(principal)

    principal, specs = with_app(ask, config=config, tenant=tenant)
    if as_json:
        tools: list[Json] = [spec.to_json() for spec in specs]
        print_json({"tenant": principal.tenant_id, "tools": tools})
    else:
        say(write_specs(principal.tenant_id, specs).rstrip("\n"))


def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The tool's name.")],
    *,
    tenant: Tenant = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Take a tool off the tenant's allow-list."""

    async def disallow(app: App, principal: Principal) -> None:
        await app.workflows.disallow(principal, name)

    with_app(disallow, config=config, tenant=tenant)
    if as_json:
        print_json({"name": name, "removed": True})
    else:
        note(f"{name} is no tool any more.")


def _read(directory: Path) -> SpecSet:
    from sim_mcp.catalog import read_specs

    if not directory.is_dir():
        raise Misuse(f"There is no directory {str(directory)!r}.", remedy="give one with spec files")
    return read_specs(directory)


def _of_tenant(specs: SpecSet, principal: Principal, directory: Path) -> tuple[ToolSpec, ...]:
    """The tenant's specs. That none of them are there is rather a slip than the wish to remove all.

    Raises:
        Misuse: the files name other tenants only.
    """
    tenant_id = principal.tenant_id
    wanted = specs.of(tenant_id)
    if not wanted and specs.tools:
        others = ", ".join(sorted(specs.tools))
        raise Misuse(
            f"The files in {str(directory)!r} have no tools of tenant {tenant_id!r}, only of: {others}.",
            remedy="name the tenant with --tenant",
        )
    return wanted


async def _completed(
    app: App, principal: Principal, wanted: tuple[ToolSpec, ...], current: tuple[ToolSpec, ...]
) -> tuple[ToolSpec, ...]:
    """`wanted` with every schema pinned: the file's own, else the stored one, else SIM's."""
    complete, open_ = with_pinned_schemas(wanted, current)
    taken: list[ToolSpec] = []
    for spec in open_:
        from_sim = await app.workflows.imported(principal, WorkflowId(spec.workflow_id))
        taken.append(spec.model_copy(update={"input_schema": from_sim.input_schema}))
    return tuple(sorted((*complete, *taken), key=lambda spec: spec.name))


def _discovered(found: Discovery) -> dict[str, Json]:
    workflows: list[Json] = [
        {
            "workflow_id": each.summary.workflow_id,
            "name": each.summary.name,
            "description": each.summary.description,
            "is_deployed": each.summary.is_deployed,
            "tool_name": each.tool_name,
            "inputs": [
                {"name": field.name, "type": field.type, "description": field.description}
                for field in each.inputs.fields
            ]
            if each.inputs
            else None,
            "drift": list(each.drift),
        }
        for each in found.workflows
    ]
    return {"workflows": workflows, "next_cursor": found.next_cursor}
