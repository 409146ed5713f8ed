"""SIM, in our words: one client for both of its dialects, and the pool that lends clients out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim_mcp.sim.factory import SimClients
from sim_mcp.sim.hosts import check_base_url
from sim_mcp.sim.meter import metered
from sim_mcp.sim.schema import file_fields_of, input_schema_of

if TYPE_CHECKING:  # both dialects load when the first client is built, not when a server starts
    from sim_mcp.sim.client import SimClient

__all__ = ["SimClient", "SimClients", "check_base_url", "file_fields_of", "input_schema_of", "metered"]
