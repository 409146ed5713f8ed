"""`python -m sim_mcp`, and the console script `sim-mcp`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its code: 0 done, 1 failed, 2 used wrongly."""
    from sim_mcp.cli import run_program

    sys.exit(run_program(sys.argv[1:]))


if __name__ == "__main__":
    main()
