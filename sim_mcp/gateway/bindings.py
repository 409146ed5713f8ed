"""Inputs that no caller gives: looked up for each call, sent to SIM, and kept out of everything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sim_mcp.gateway.masking import Secrets
from sim_mcp.model.errors import Conflict, Fault, InvalidInput, NotFound
from sim_mcp.model.json import Json, JsonObject
from sim_mcp.model.principal import Permission, Principal
from sim_mcp.model.tool import BoundInput, Source, WorkflowTool
from sim_mcp.store import StoredSecret, ToolSecrets

LONGEST_SECRET = 10_000
_NONE: Mapping[str, Json] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundValues:
    """What is sent beside the caller's arguments, and what of it must not come back."""

    values: Mapping[str, Json]
    secrets: Secrets

    def with_arguments(self, arguments: JsonObject) -> JsonObject:
        """The whole input of the run."""
        return {**arguments, **self.values} if self.values else arguments


class Bindings:
    """Finds the values of bound inputs, and keeps the tenants' secrets for them."""

    def __init__(self, secrets: ToolSecrets) -> None:
        self._secrets = secrets

    async def of(self, principal: Principal, tool: WorkflowTool, arguments: JsonObject) -> BoundValues:
        """The values for a call of `tool` by `principal` with `arguments`.

        Raises:
            InvalidInput: `arguments` name a bound input: callers have no say in it.
            Conflict: a secret is not stored.
        """
        if not tool.bindings:
            return BoundValues(values=_NONE, secrets=Secrets())
        given = [each.name for each in tool.bindings if each.name in arguments]
        if given:
            faults = tuple(Fault(f"$.{name}", "is filled in by the server; leave it out") for name in given)
            listing = "; ".join(f"{fault.path} {fault.message}" for fault in faults)
            raise InvalidInput(f"The arguments of {tool.name!r} are not valid: {listing}.", faults=faults)
        values: dict[str, Json] = {}
        secret: list[str] = []
        for each in tool.bindings:
            value = await self._value(principal, tool, each)
            if each.source is Source.SECRET:
                secret.append(str(value))
            if value is not None:  # nobody of an organisation calls for none: the workflow's default counts
                values[each.name] = value
        return BoundValues(values=values, secrets=Secrets(secret))

    async def put(self, principal: Principal, name: str, value: str) -> None:
        """Keep a secret of the tenant under `name`.

        Raises:
            Forbidden: without ADD.
            InvalidInput: the name is none, or the value is empty or too long.
        """
        principal.require(Permission.ADD)
        if not name.isidentifier() or len(name) > 64:
            raise InvalidInput("A secret's name has 1 to 64 letters, digits and _, and begins with no digit.")
        if not 0 < len(value) <= LONGEST_SECRET:
            raise InvalidInput(f"A secret has 1 to {LONGEST_SECRET} characters.")
        await self._secrets.put(principal.tenant_id, name, value, changed_by=principal.subject)

    async def names(self, principal: Principal) -> tuple[StoredSecret, ...]:
        """Which secrets there are; never what they are.

        Raises:
            Forbidden: without VIEW.
        """
        principal.require(Permission.VIEW)
        return await self._secrets.names(principal.tenant_id)

    async def remove(self, principal: Principal, name: str) -> None:
        """Destroy a secret; tools that need it are refused from then on.

        Raises:
            Forbidden: without DELETE.
            NotFound: there is none of that name.
        """
        principal.require(Permission.DELETE)
        if not await self._secrets.remove(principal.tenant_id, name):
            raise NotFound(f"There is no secret {name!r}.")

    async def _value(self, principal: Principal, tool: WorkflowTool, bound: BoundInput) -> Json:
        match bound.source:
            case Source.FIXED:
                return bound.value
            case Source.SECRET:
                value = await self._secrets.value(principal.tenant_id, bound.key or "")
                if value is None:
                    raise Conflict(
                        f"The tool {tool.name!r} needs the secret {bound.key!r}, which is not stored. Nothing"
                        f" was run. An administrator stores it: `sim-mcp secrets set {bound.key}`."
                    )
                return value
            case Source.TENANT | Source.PRINCIPAL:
                known: dict[str, Json] = {
                    "subject": principal.subject,
                    "tenant_id": principal.tenant_id,
                    "organization_id": principal.organization_id,
                }
                return known[bound.key or ""]
