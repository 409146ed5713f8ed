"""What is wrong with a spec, for the people who write specs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sim_mcp.model.principal import TenantId

STORE = "allow-list"
"""The source of specs that come from the database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """One thing wrong with one spec. A warning does not keep the tool from being listed."""

    field: str | None
    message: str
    is_warning: bool = False

    def __str__(self) -> str:
        return self.message if self.field is None else f"{self.field}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecProblem:
    """A flaw and where it was found.

    `source` is a file, relative to the directory that was read, or `allow-list`. `tenant_id` is
    `None` when the document did not get as far as naming one: such a problem is the operator's alone.
    """

    source: str
    message: str
    tenant_id: TenantId | None = None
    tool_name: str | None = None
    field: str | None = None
    is_warning: bool = False

    @classmethod
    def of(cls, flaw: Flaw, *, source: str, tenant_id: TenantId | None, tool_name: str | None) -> SpecProblem:
        """`flaw`, found in `source`."""
        return cls(
            source=source,
            message=flaw.message,
            tenant_id=tenant_id,
            tool_name=tool_name,
            field=flaw.field,
            is_warning=flaw.is_warning,
        )

    def __str__(self) -> str:
        tool = None if self.tool_name is None else f"tool {self.tool_name!r}"
        where = [part for part in (self.source, tool, self.field) if part]
        return f"{'warning: ' if self.is_warning else ''}{', '.join(where)}: {self.message}"
