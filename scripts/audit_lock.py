"""Looks through `uv.lock`, asking nobody: where each package comes from, whether it is held to its bytes.

`python scripts/audit_lock.py [LOCK]` prints what is wrong and ends with 1. The tests run it too.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

OURS = "sim-mcp"
HASH = re.compile(r"sha256:[0-9a-f]{64}")

DENIED: dict[str, dict[str, str]] = {
    "h11": {"0.14.0": "reads malformed chunked bodies leniently (CVE-2025-43859)"},
    "python-jose": {"*": "abandoned; confuses algorithms (CVE-2024-33663)"},
    "ctx": {"*": "was taken over and stole environments in 2022"},
    "ultralytics": {"8.3.41": "carried a miner", "8.3.42": "carried a miner"},
    "num2words": {"0.5.15": "was taken over in 2025", "0.5.16": "was taken over in 2025"},
}
"""Releases that nobody may lock, each with its reason; `*` is every release. A person reviews each line."""


def faults_in(lock: dict[str, Any]) -> list[str]:
    """What is wrong with the packages of `lock`, each as a sentence."""
    found: list[str] = []
    index, files = _usual_places(lock)
    for package in lock.get("package", []):
        name, version = package.get("name", "?"), package.get("version", "?")
        label = f"{name} {version}"
        if name == OURS and package.get("source") == {"editable": "."}:
            continue
        if package.get("source") != {"registry": index}:
            found.append(f"{label} comes from {package.get('source')}, not from the index of the others.")
        wheels, sdist = package.get("wheels", []), package.get("sdist")
        if not wheels:
            found.append(f"{label} has no wheel: installing it runs its own code.")
        for file in [*wheels, *([sdist] if sdist else [])]:
            if not str(file.get("url", "")).startswith(files):
                found.append(f"{label} has a file that stands elsewhere: {file.get('url')}.")
            if not HASH.fullmatch(str(file.get("hash", ""))):
                found.append(f"{label} has a file without a SHA-256: {file.get('url')}.")
        denied = DENIED.get(name, {})
        reason = denied.get(version) or denied.get("*")
        if reason:
            found.append(f"{label} may not be used: it {reason}.")
    return found


def _usual_places(lock: dict[str, Any]) -> tuple[str, str]:
    """The index that most packages come from, and the host that has most of their files; only by HTTPS."""
    packages = lock.get("package", [])
    indexes = Counter(str(each.get("source", {}).get("registry", "")) for each in packages)
    urls = [str(wheel.get("url", "")) for each in packages for wheel in each.get("wheels", [])]
    hosts = Counter("/".join(url.split("/")[:3]) + "/" for url in urls)
    index, files = indexes.most_common(1)[0][0], hosts.most_common(1)[0][0]
    is_safe = index.startswith("https://") and files.startswith("https://")
    return (index, files) if is_safe else ("https", "https")


def main() -> int:
    """Audit the lock that is named, or that of this repository."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "uv.lock"
    lock = tomllib.loads(path.read_text(encoding="utf-8"))
    found = faults_in(lock)
    for each in found:
        print(each)
    if not found:
        print(f"{len(lock['package'])} packages: all from one index, held to their hashes, none denied.")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
