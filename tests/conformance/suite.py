"""One run of the official suite, and what its `checks.json` files say."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import yaml

from tests.conformance.node import Node

BASELINE = Path(__file__).parent / "expected-failures.yml"
ENDS_WITHIN_S = 120
_FOLDER = re.compile(r"server-(?P<scenario>.+)-\d{4}-\d\d-\d\dT[\d-]+Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One verdict of the suite."""

    scenario: str
    id: str
    status: str
    message: str

    @property
    def name(self) -> str:
        """Scenario and check, as a line of the baseline names them."""
        return f"{self.scenario}:{self.id}"

    @property
    def lines(self) -> set[str]:
        """The lines of a baseline that would excuse it."""
        return {self.scenario, self.name}

    @property
    def is_fault(self) -> bool:
        """Whether the suite finds fault: a warning is one too, by its own count."""
        return self.status in {"FAILURE", "WARNING"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a run."""

    exit_code: int
    said: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> list[str]:
        """The names of all checks that passed; a scenario may make the same check several times."""
        return [check.name for check in self.checks if check.status == "SUCCESS"]

    @property
    def faults(self) -> tuple[Check, ...]:
        """Everything that the suite finds fault with, what the baseline excuses included."""
        return tuple(check for check in self.checks if check.is_fault)

    @property
    def passed_lines(self) -> set[str]:
        """What needs no line in a baseline: the suite itself looks only at what it scores."""
        passed = {*self.passed, *self.scenarios}
        return passed - {line for check in self.faults for line in check.lines}

    @property
    def scenarios(self) -> set[str]:
        """All scenarios that gave a verdict."""
        return {check.scenario for check in self.checks}


async def run_suite(node: Node, url: str, results: Path, *options: str) -> Outcome:
    """Run the suite's server scenarios against `url`; a failure in the baseline is none."""
    command = [*node.suite, "server", "--url", f"{url}/mcp", "--expected-failures", str(BASELINE)]
    with anyio.fail_after(ENDS_WITHIN_S):
        done = await anyio.run_process(
            [*command, "--output-dir", str(results), *options], check=False, stderr=subprocess.STDOUT
        )
    return Outcome(exit_code=done.returncode, said=done.stdout.decode(), checks=_checks_below(results))


def expected_failures() -> set[str]:
    """The lines of the baseline."""
    document: dict[str, list[str]] = yaml.safe_load(BASELINE.read_text("utf-8"))
    return set(document["server"])


def _checks_below(results: Path) -> tuple[Check, ...]:
    return tuple(check for folder in sorted(results.iterdir()) for check in _checks_in(folder))


def _checks_in(folder: Path) -> list[Check]:
    named = _FOLDER.fullmatch(folder.name)
    assert named is not None, folder
    found: list[dict[str, Any]] = json.loads((folder / "checks.json").read_text("utf-8"))
    return [
        Check(
            scenario=named["scenario"],
            id=str(each["id"]),
            status=str(each["status"]),
            message=str(each.get("errorMessage", "")),
        )
        for each in found
    ]
