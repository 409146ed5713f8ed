"""Random days of two or three tenants, through every door: the contract holds after every step.

Sections 5 (who may do and see what), 9 (errors) and 10 (executions) of the contract. `MACHINE_EXAMPLES` sets
how many days are lived through; `AGENTS.md` says how to look for new ones.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.machine.rules_settings import Administering
from tests.machine.rules_world import Living

EXAMPLES = int(os.environ.get("MACHINE_EXAMPLES", "30"))
STEPS = int(os.environ.get("MACHINE_STEPS", "30"))
PHASES = [Phase.explicit, Phase.generate, *([Phase.shrink] if "MACHINE_SHRINKS" in os.environ else [])]
"""A day has few steps, and living through it again and again costs more than reading one that went wrong."""


class Days(Administering, Living):
    """All rules together."""


@pytest.mark.requirement(
    "R3", "R10", "R11", "R13", "R27", "R30", "R31", "R33", "R35", "R36", "R37", "R60", "F1", "F3", "F4", "F22"
)
def test_no_day_of_any_tenant_breaks_what_the_contract_says_of_each_moment() -> None:
    """Tenants apart, errors of the table, one true row for each call, no run twice, no secret told."""
    days = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, phases=PHASES)
    run_state_machine_as_test(Days, settings=days)
