"""Random days of two or three tenants, from every door at once: the contract holds after every step.

Sections 5 (who may what, and sees what), 9 (errors) and 10 (executions) of the contract. `MACHINE_EXAMPLES`
sets how many days are lived through; `docs/operations.md` says how to look for new ones.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, settings

from tests.machine.rules_calls import Calling
from tests.machine.rules_settings import Administering
from tests.machine.rules_world import Living

if TYPE_CHECKING:
    from unittest import TestCase

EXAMPLES = int(os.environ.get("MACHINE_EXAMPLES", "30"))
STEPS = int(os.environ.get("MACHINE_STEPS", "30"))
PHASES = [Phase.explicit, Phase.generate, *([Phase.shrink] if "MACHINE_SHRINKS" in os.environ else [])]
"""A day has few steps, and living through it again and again costs more than reading one that went wrong."""


class Days(Calling, Administering, Living):
    """All rules together."""


TestDays: type[TestCase] = Days.TestCase
TestDays.settings = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, phases=PHASES)
TestDays = pytest.mark.requirement(
    "R3", "R10", "R11", "R13", "R27", "R30", "R31", "R33", "R35", "R36", "R37", "R60", "F1", "F3", "F4", "F22"
)(TestDays)
