"""The official conformance suite against our HTTP server, as any tenant's client reaches it."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.conformance.fixtures import FIXTURES
from tests.conformance.node import HERE, Node
from tests.conformance.suite import BASELINE, expected_failures, run_suite
from tests.conformance.tenant import OTHER, TENANT, BriskClock, Tenant, conformance_tenant

pytestmark = [pytest.mark.anyio, pytest.mark.sockets]

LEAST_PASSED = {"2025-11-25": 60, "2026-07-28": 160}
"""Checks; so that a suite which stops early, or asks for less, is not taken for success."""
EXTENSIONS = {
    "http-custom-header-server-validation",
    "http-header-validation",
    "tasks-capability-negotiation",
    "tasks-dispatch-and-envelope",
    "tasks-lifecycle",
    "tasks-mrtr-composition",
    "tasks-mrtr-input",
    "tasks-request-headers",
    "tasks-request-state-removal",
    "tasks-required-task-error",
    "tasks-status-notifications",
    "tasks-wire-fields",
}
"""Not scored by the suite, but run with the requirements of 2026-07-28; here they count like the others."""


@pytest.mark.requirement("R66", "R69", "F25")
@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
async def test_the_official_suite_finds_no_fault_that_is_not_explained(
    tmp_path: Path, node: Node, revision: str
) -> None:
    """All that a revision requires, and tasks and HTTP headers; each call of a fixture left its audit row."""
    async with conformance_tenant(tmp_path, clock=BriskClock()) as tenant:
        outcome = await run_suite(node, tenant.url, tmp_path / "results", "--requirements", revision)
        await every_call_has_its_row(tenant)
    explained = expected_failures()
    faults = {check.name: check.message for check in outcome.faults if not check.lines & explained}
    assert faults == {}
    assert outcome.passed_lines & explained == set(), "these lines of the baseline pass now: take them out"
    assert outcome.exit_code == 0, outcome.said
    assert len(outcome.passed) >= LEAST_PASSED[revision], outcome.said
    if revision == "2026-07-28":
        assert outcome.scenarios >= EXTENSIONS


async def every_call_has_its_row(tenant: Tenant) -> None:
    """At least as many executions as calls that were answered, tool for tool, and in this tenant alone.

    An answer to a question belongs to the execution that asked. Refused calls leave rows as well, so there
    may be more of them.
    """
    asks_first = {fixture.name for fixture in FIXTURES if fixture.more.get("confirm")}
    called = Counter(
        call.tool
        for call in tenant.asked
        if call.tool in {fixture.name for fixture in FIXTURES}
        and call.is_answer == (call.tool in asks_first)  # the question before a run is no execution yet
    )
    rows = Counter(row.tool_name for row in await tenant.world.rows(TENANT))
    assert called
    assert called <= rows, called - rows
    assert await tenant.world.rows(OTHER) == ()


def test_what_is_installed_is_pinned_and_held_to_its_bytes() -> None:
    """Another version would ask other things; an address in the lock could give other programs."""
    wanted = json.loads((HERE / "package.json").read_text("utf-8"))
    versions: dict[str, str] = {**wanted["dependencies"], **wanted["optionalDependencies"]}
    assert versions["@modelcontextprotocol/conformance"] == "0.2.0-alpha.12"
    assert [version for version in versions.values() if not version[0].isdecimal()] == []
    lock = json.loads((HERE / "package-lock.json").read_text("utf-8"))
    for name, package in lock["packages"].items():
        assert "resolved" not in package, name
        assert not name or package["integrity"].startswith("sha512-"), name


def test_every_line_of_the_baseline_has_its_reason() -> None:
    """A sentence of why the product does not do what the suite asks."""
    lines = BASELINE.read_text("utf-8").splitlines()
    entries = [line for line in lines if line.lstrip().startswith("-")]
    assert len(entries) == len(expected_failures())
    assert [line for line in entries if not re.fullmatch(r"  - [\w:.$-]+ # (\S+ ){4,}\S+\.", line)] == []
