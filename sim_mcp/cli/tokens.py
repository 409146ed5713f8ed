"""`sim-mcp token`: bearer tokens of the server's own, for deployments without an identity provider."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from sim_mcp.cli.exits import Misuse
from sim_mcp.cli.groups import group
from sim_mcp.cli.options import AsJson, Config, Organization, Tenant
from sim_mcp.cli.printing import moment, note, print_json, print_table, safe, say
from sim_mcp.cli.session import with_app
from sim_mcp.model.clock import SystemClock
from sim_mcp.model.errors import Conflict, NotFound
from sim_mcp.model.json import Json
from sim_mcp.model.principal import ALL_PERMISSIONS, Permission, Principal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sim_mcp.app import App
    from sim_mcp.store import Token

_DEFAULT = "view,edit"
_LONGEST_NAME = 255


def token_verbs() -> typer.Typer:
    """The verbs under `sim-mcp token`."""
    return group("Bearer tokens for the HTTP doors.", {"create": create, "list": list_, "revoke": revoke})


def create(
    *,
    name: Annotated[str, typer.Option("--name", help="What it is for, shown in lists.")] = "token",
    subject: Annotated[
        str | None,
        typer.Option("--subject", metavar="WHO", help="Whom the history names; default: the name."),
    ] = None,
    permissions: Annotated[
        str,
        typer.Option(
            "--permissions",
            help="Of view, edit, add, delete, comma-separated; or all, which leaves out metrics.",
        ),
    ] = _DEFAULT,
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="Days until it expires.")] = 90,
    tenant: Tenant = None,
    organization: Organization = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Make a token and print it, once, alone on stdout."""
    granted = _permissions(permissions)
    for option, text in (("--name", name), ("--subject", subject or name)):
        if not text.strip() or not text.isprintable() or len(text) > _LONGEST_NAME:
            raise Misuse(f"{option} is empty, too long or not printable.", remedy="give it a short name")

    async def make(app: App, principal: Principal) -> tuple[Token, str]:
        principal.require(Permission.ADD)
        for permission in granted - {Permission.METRICS}:  # the operator's own, and this is his terminal
            principal.require(permission)
        bearer = replace(principal, subject=subject or name, permissions=granted)
        expires_at = SystemClock().now() + timedelta(days=days)
        return await app.tokens.create(bearer, name=name, expires_at=expires_at, created_by=principal.subject)

    token, secret = with_app(make, config=config, tenant=tenant, organization=organization)
    if as_json:
        print_json({"token": secret, **_described(token)})
        return
    say(secret)
    allowed = ", ".join(sorted(permission.value for permission in token.permissions))
    note(f"Token {token.id} of tenant {token.tenant_id!r}: {allowed}; until {moment(token.expires_at)}.")
    note("It is shown only now. Send it as `Authorization: Bearer ...`.")


def list_(*, tenant: Tenant = None, as_json: AsJson = False, config: Config = None) -> None:
    """List the tenant's tokens, without their secrets."""

    async def ask(app: App, principal: Principal) -> tuple[Token, ...]:
        principal.require(Permission.VIEW)
        return await app.tokens.list(principal.tenant_id)

    tokens = with_app(ask, config=config, tenant=tenant)
    if as_json:
        found: list[Json] = [_described(token) for token in tokens]
        print_json(found)
        return
    if not tokens:
        note("The tenant has no tokens: `sim-mcp token create` makes one.")
        return
    now = SystemClock().now()
    columns = ("ID", "NAME", "SUBJECT", "PERMISSIONS", "STATE", "EXPIRES", "LAST USED")
    print_table(
        columns,
        [
            (
                token.id,
                token.name,
                token.subject,
                ",".join(sorted(each.name.lower() for each in token.permissions)),
                _state(token, now),
                moment(token.expires_at) or "never",
                moment(token.last_used_at) or "never",
            )
            for token in tokens
        ],
    )


def revoke(
    token: Annotated[
        str, typer.Argument(metavar="TOKEN", help="Its id, the beginning of its id, or its name.")
    ],
    *,
    tenant: Tenant = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """End a token now, for good."""

    async def end(app: App, principal: Principal) -> Token:
        principal.require(Permission.ADD)
        found = _meant(token, await app.tokens.list(principal.tenant_id))
        if not await app.tokens.revoke(principal.tenant_id, found.id):
            raise Conflict("Somebody else revoked that token just now.")
        return found

    ended = with_app(end, config=config, tenant=tenant)
    if as_json:
        print_json({"id": ended.id, "revoked": True})
    else:
        note(f"Token {ended.id} ({safe(ended.name)}) is revoked: it is refused from the next request on.")


def _meant(text: str, tokens: Sequence[Token]) -> Token:
    """The one token that is not revoked yet and is called `text`.

    Raises:
        NotFound: there is none. The text is not repeated: it may be a token's secret.
        Misuse: it could be several.
    """
    live = [token for token in tokens if token.revoked_at is None]
    for found in (
        [token for token in live if token.id == text],
        [token for token in live if text in {token.name, token.id[: max(4, len(text))]}],
    ):
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(token.id for token in found)
            raise Misuse(f"{len(found)} tokens are called that: {ids}.", remedy="give the id of one of them")
    raise NotFound("The tenant has no such token in force: `sim-mcp token list` shows the known ones.")


def _state(token: Token, now: datetime) -> str:
    if token.revoked_at is not None:
        return "revoked"
    return "in force" if token.is_in_force(now) else "expired"


def _permissions(text: str) -> frozenset[Permission]:
    """The permissions in `view,edit` or `INTEGRATION_VIEW,INTEGRATION_EDIT`.

    Raises:
        Misuse: one is unknown, or there is none.
    """
    known = {permission.name: permission for permission in Permission}
    if text.strip().lower() == "all":
        return ALL_PERMISSIONS
    words = [word.strip().upper().removeprefix("INTEGRATION_") for word in text.split(",") if word.strip()]
    if not words or any(word not in known for word in words):
        raise Misuse(
            f"--permissions {text!r} is not understood.",
            remedy="write some of view,edit,add,delete,metrics, or all",
        )
    return frozenset(known[word] for word in words)


def _described(token: Token) -> dict[str, Json]:
    return {
        "id": token.id,
        "name": token.name,
        "tenant_id": token.tenant_id,
        "organization_id": token.organization_id,
        "subject": token.subject,
        "permissions": sorted(permission.value for permission in token.permissions),
        "created_at": moment(token.created_at),
        "created_by": token.created_by,
        "expires_at": moment(token.expires_at),
        "last_used_at": moment(token.last_used_at),
        "revoked_at": moment(token.revoked_at),
    }
