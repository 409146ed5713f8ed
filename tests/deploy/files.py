"""The deployment files, read once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
FILLED_IN = {".env", "secret.yaml"}
"""An operator's own copies: their secrets must not reach the report of a test."""

FILES = sorted(
    [
        ROOT / "Dockerfile",
        *(path for path in DEPLOY.rglob("*") if path.is_file() and path.name not in FILLED_IN),
    ]
)


def documents(path: Path) -> list[dict[str, Any]]:
    """Every document of a YAML file."""
    return [cast("dict[str, Any]", each) for each in yaml.safe_load_all(path.read_text(encoding="utf-8"))]


KUBERNETES = {
    path.name: documents(path)
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    if path.name not in FILLED_IN
}
COMPOSE: dict[str, Any] = documents(DEPLOY / "compose.yaml")[0]
OURS = sorted(name for name in COMPOSE["services"] if name != "postgres")
BUNDLE: dict[str, Any] = json.loads((DEPLOY / "mcpb" / "manifest.json").read_text(encoding="utf-8"))


def pods() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Name, labels and pod of each deployment."""
    for found in KUBERNETES.values():
        for each in found:
            if each["kind"] == "Deployment":
                template = each["spec"]["template"]
                yield each["metadata"]["name"], template["metadata"]["labels"], template["spec"]
