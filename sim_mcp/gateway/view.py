"""What a principal sees: asked for once, and used for the whole of a call."""

from __future__ import annotations

from dataclasses import dataclass

from sim_mcp.catalog import Catalog
from sim_mcp.model.integration import Integration
from sim_mcp.model.principal import Principal
from sim_mcp.model.tool import WorkflowTool


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What `principal` sees right now: the settings and the allow-list, read for one call."""

    principal: Principal
    integration: Integration | None
    catalog: Catalog

    @property
    def tools(self) -> tuple[WorkflowTool, ...]:
        """The workflow tools that the principal sees and may call, sorted by name."""
        return self.catalog.visible_to(self.principal, self.integration)
