"""A worker process to be killed. See `test_worker_kill.py`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import anyio

from sim_mcp.app import Needs, open_app
from sim_mcp.config import Settings


async def main(folder: str, base_url: str) -> None:
    """Work until killed."""
    settings = Settings(
        data_dir=Path(folder),
        sim_base_url=base_url,
        sim_allowed_hosts=("127.0.0.1",),
        max_concurrency=64,
        rate_per_minute=6000,
        **json.loads(os.environ["VICTIM_SETTINGS"]),
    )
    async with open_app(settings, needs=Needs(follows_up=False, runs_jobs=True, drain_s=0)):
        await anyio.sleep_forever()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2])
