"""`sim-mcp events sender`: hosts that post events by signature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sim_mcp.cli.exits import Misuse, Unfinished
from sim_mcp.cli.options import AsJson, Config, Organization, Tenant
from sim_mcp.cli.printing import moment, note, print_json, print_table, safe, say
from sim_mcp.cli.session import with_app
from sim_mcp.model.json import Json
from sim_mcp.model.principal import Principal

if TYPE_CHECKING:
    from sim_mcp.app import App, Sender


def create_sender(
    *,
    name: Annotated[str, typer.Option("--name", help="What it is, shown in lists.")] = "sender",
    tenant: Tenant = None,
    organization: Organization = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Make a sender and print its secret, once, alone on stdout."""
    if not name.strip() or not name.isprintable() or len(name) > 255:
        raise Misuse("--name is empty, too long or not printable.", remedy="give it a short name")

    async def make(app: App, principal: Principal) -> tuple[Sender, str]:
        return await app.events.add_sender(principal, name)

    sender, secret = with_app(make, config=config, tenant=tenant, organization=organization)
    if as_json:
        print_json({"secret": secret, **_sender(sender)})
        return
    say(secret)
    note(f"Sender {sender.id} of tenant {sender.tenant_id!r}. Its secret is shown only now.")
    note(f"Post to /api/integration/sim/events?sender={sender.id} with the header X-Sim-Mcp-Signature.")


def list_senders(
    *,
    tenant: Tenant = None,
    organization: Organization = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """List the senders, without their secrets."""

    async def ask(app: App, principal: Principal) -> tuple[Sender, ...]:
        return await app.events.senders(principal)

    found = with_app(ask, config=config, tenant=tenant, organization=organization)
    if as_json:
        shown: list[Json] = [_sender(each) for each in found]
        print_json(shown)
        return
    columns = ("ID", "NAME", "CREATED", "REVOKED")
    print_table(
        columns,
        [(each.id, each.name, moment(each.created_at), moment(each.revoked_at) or "") for each in found],
    )


def revoke_sender(
    sender: Annotated[str, typer.Argument(metavar="SENDER_ID", help="From `sim-mcp events sender list`.")],
    *,
    tenant: Tenant = None,
    organization: Organization = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Let a sender post no more, from now on."""

    async def end(app: App, principal: Principal) -> bool:
        return await app.events.revoke_sender(principal, sender)

    if not with_app(end, config=config, tenant=tenant, organization=organization):
        raise Unfinished(
            "There is no such sender in force.", remedy="`sim-mcp events sender list` shows the known ones"
        )
    if as_json:
        print_json({"id": sender, "revoked": True})
    else:
        note(f"Sender {safe(sender)} is revoked.")


def _sender(sender: Sender) -> dict[str, Json]:
    return {
        "id": sender.id,
        "name": sender.name,
        "tenant_id": sender.tenant_id,
        "organization_id": sender.organization_id,
        "created_at": moment(sender.created_at),
        "created_by": sender.created_by,
        "revoked_at": moment(sender.revoked_at),
    }
