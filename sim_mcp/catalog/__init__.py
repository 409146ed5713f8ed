"""The allow-list as tools: reads specs, judges them, shows them, checks what is called."""

from sim_mcp.catalog.catalog import Catalog
from sim_mcp.catalog.drift import changes_between, digest_of_text, drift_between, drift_of_tool
from sim_mcp.catalog.lock_file import LOCK_FILE, read_lock, write_lock
from sim_mcp.catalog.problem import SpecProblem
from sim_mcp.catalog.reading import SpecSet, read_specs, write_specs
from sim_mcp.catalog.source import ToolSource
from sim_mcp.catalog.spec import ToolSpec, schema_of_specs
from sim_mcp.catalog.text import told_name, told_prose

__all__ = [
    "LOCK_FILE", "Catalog", "SpecProblem", "SpecSet", "ToolSource", "ToolSpec", "changes_between",
    "digest_of_text", "drift_between", "drift_of_tool", "read_lock", "read_specs", "schema_of_specs",
    "told_name", "told_prose", "write_lock", "write_specs",
]  # fmt: skip
