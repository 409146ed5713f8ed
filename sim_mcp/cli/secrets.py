"""`sim-mcp secrets`: values that tools send to SIM and that nobody sees again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sim_mcp.cli.asking import read_value
from sim_mcp.cli.groups import group
from sim_mcp.cli.options import AsJson, Config, Tenant
from sim_mcp.cli.printing import moment, note, print_json, print_table, safe
from sim_mcp.cli.session import with_app
from sim_mcp.model.json import Json

if TYPE_CHECKING:
    from sim_mcp.app import App
    from sim_mcp.model.principal import Principal
    from sim_mcp.store import StoredSecret

Name = Annotated[str, typer.Argument(metavar="NAME", help="As specs name it: `key` of an input.")]


def secret_verbs() -> typer.Typer:
    """The verbs under `sim-mcp secrets`."""
    return group("Secrets that tools send to SIM.", {"set": set_, "list": list_, "remove": remove})


def set_(
    name: Name,
    *,
    from_stdin: Annotated[
        bool, typer.Option("--stdin", help="Read it from stdin; else it is asked for.")
    ] = False,
    tenant: Tenant = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Keep a secret, sealed, for inputs that are bound to it (`from: secret`)."""
    value = read_value(f"value of {name}", from_stdin=from_stdin)

    async def put(app: App, principal: Principal) -> None:
        await app.bindings.put(principal, name, value)

    with_app(put, config=config, tenant=tenant)
    if as_json:
        print_json({"name": name, "is_stored": True})
    else:
        note(f"{safe(name)} is stored, sealed. It is not shown again.")


def list_(*, tenant: Tenant = None, as_json: AsJson = False, config: Config = None) -> None:
    """List the names of the tenant's secrets."""

    async def ask(app: App, principal: Principal) -> tuple[StoredSecret, ...]:
        return await app.bindings.names(principal)

    found = with_app(ask, config=config, tenant=tenant)
    if as_json:
        known: list[Json] = [
            {"name": each.name, "changed_at": moment(each.changed_at), "changed_by": each.changed_by}
            for each in found
        ]
        print_json({"secrets": known})
        return
    print_table(
        ("SECRET", "CHANGED", "BY"), [(each.name, moment(each.changed_at), each.changed_by) for each in found]
    )


def remove(name: Name, *, tenant: Tenant = None, as_json: AsJson = False, config: Config = None) -> None:
    """Destroy a secret. Tools that need it are refused from then on."""

    async def destroy(app: App, principal: Principal) -> None:
        await app.bindings.remove(principal, name)

    with_app(destroy, config=config, tenant=tenant)
    if as_json:
        print_json({"name": name, "removed": True})
    else:
        note(f"{safe(name)} is destroyed.")
