"""The allow-list as tools: reads specs, judges them, shows them, checks what is called."""

from sim_mcp.catalog.catalog import Catalog
from sim_mcp.catalog.drift import drift_between
from sim_mcp.catalog.problem import SpecProblem
from sim_mcp.catalog.reading import SpecSet, read_specs, write_specs
from sim_mcp.catalog.source import ToolSource
from sim_mcp.catalog.spec import ToolSpec, schema_of_specs

__all__ = [
    "Catalog",
    "SpecProblem",
    "SpecSet",
    "ToolSource",
    "ToolSpec",
    "drift_between",
    "read_specs",
    "schema_of_specs",
    "write_specs",
]
