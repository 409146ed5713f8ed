"""What is installed with us: held to bytes by the lock, from one index, under licences that we may use."""

from __future__ import annotations

import copy
import json
import re
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

import pytest

from scripts.audit_lock import faults_in

pytestmark = pytest.mark.requirement("R60", "R67")

ROOT = Path(__file__).parents[2]
LOCK: dict[str, Any] = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
PERMISSIVE = re.compile(r"MIT|BSD|Apache|ISC|Python|PSF|MPL|Unlicense|Zero-Clause|0BSD|CC0", re.IGNORECASE)
"""MPL is file by file: it asks nothing of who only uses the package."""
REVIEWED = {"psycopg": "LGPL-3.0: comes with dbos; used unchanged, as a package that anybody can replace"}
"""Licences that a person looked at, each with the reason why it may stay."""
COPYLEFT = re.compile(r"(?<!L)GPL|AGPL|SSPL|BUSL|Commons Clause", re.IGNORECASE)


def runtime_packages() -> set[str]:
    """The names of everything that the program installs, extras included, without the tests' tools."""
    known = {each["name"]: each for each in LOCK["package"]}
    ours = known["sim-mcp"]
    waiting = [
        *ours["dependencies"],
        *[each for extra in ours["optional-dependencies"].values() for each in extra],
    ]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()["name"]
        if name not in found:
            found.add(name)
            waiting += known[name].get("dependencies", [])
    return found


def test_the_lock_holds_every_package_to_its_bytes() -> None:
    """From one index, with hashes, as wheels, none that is denied."""
    assert faults_in(LOCK) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"source": {"git": "https://example.com/x"}}, "not from the index of the others"),
        ({"source": {"registry": "https://evil.example/simple"}}, "not from the index of the others"),
        ({"source": {"url": "https://example.com/x.whl"}}, "not from the index of the others"),
        ({"wheels": []}, "runs its own code"),
        (
            {"wheels": [{"url": "https://evil.example/x.whl", "hash": "sha256:" + "0" * 64}]},
            "stands elsewhere",
        ),
        ({"wheels": [{"url": "HOST/x.whl"}]}, "without a SHA-256"),
        ({"wheels": [{"url": "HOST/x", "hash": "md5:00"}]}, "without a SHA-256"),
        ({"name": "python-jose"}, "may not be used"),
        ({"name": "h11", "version": "0.14.0"}, "may not be used"),
    ],
)
def test_each_fault_of_a_lock_is_found(change: dict[str, Any], says: str) -> None:
    """One package is changed, one fault is told."""
    lock = copy.deepcopy(LOCK)
    package = next(each for each in lock["package"] if each["name"] == "anyio")
    host = "/".join(package["wheels"][0]["url"].split("/")[:3])
    package.update(json.loads(json.dumps(change).replace("HOST", host)))
    found = faults_in(lock)
    assert len(found) == 1
    assert says in found[0]


def test_no_dependency_is_named_by_address() -> None:
    """Neither in the project's file nor by another index."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)
    wanted: list[str] = [
        *project["project"]["dependencies"],
        *[each for extra in project["project"]["optional-dependencies"].values() for each in extra],
        *[each for group in project["dependency-groups"].values() for each in group],
        *project["build-system"]["requires"],
    ]
    assert [each for each in wanted if "://" in each or " @ " in each] == []
    assert not {"index", "sources", "find-links", "index-url"} & set(project["tool"]["uv"])


def test_every_licence_is_one_that_may_be_passed_on() -> None:
    """Of the packages of the running program that are installed here."""
    odd: list[str] = []
    for name in sorted(runtime_packages()):
        try:
            about = metadata(name).json
        except PackageNotFoundError:  # of another system, or an extra that is not installed
            continue
        classifiers: Any = about.get("classifier", [])
        own = str(about.get("license_expression", ""))
        licence = " ".join([own, *[each for each in classifiers if "License" in each]]).strip()
        licence = licence or str(about.get("license", ""))[:200]
        if name in REVIEWED:
            continue
        if not PERMISSIVE.search(licence) or COPYLEFT.search(licence):
            odd.append(f"{name}: {licence[:80]!r}")
    assert odd == []
