"""People at a terminal: the verbs of `sim-mcp`."""

from sim_mcp.cli.main import run_program

__all__ = ["run_program"]
