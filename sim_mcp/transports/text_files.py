"""Longer texts that clients get as they are: the files in `texts/`, read when they are asked for."""

from __future__ import annotations

from importlib import resources


def text_file(name: str) -> str:
    """The text of the file `name`."""
    return resources.files("sim_mcp.transports").joinpath("texts", name).read_text(encoding="utf-8")
