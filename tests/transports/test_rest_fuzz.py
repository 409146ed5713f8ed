"""Whatever is sent, the REST door answers as its document says. The same requests in every run.

Longer: `uv run python -m tests.transports.rest_fuzz 300`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sim_mcp.transports.rest import ROUTES
from tests.transports.rest_fuzz import fuzz

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")  # of values it learnt from us

HARD_TO_GUESS = {"POST /executions/{id}/resume", "POST /settings/revisions/{revision}/restore"}
"""What succeeds only with an id or a number that random requests do not meet; other tests do."""


@pytest.mark.requirement("R34", "R37", "R53", "R60")
def test_nothing_that_is_sent_with_a_token_gets_an_undocumented_answer(tmp_path: Path) -> None:
    """No mistake of ours, no unknown status, shape, header or type; and every route was reached."""
    found = fuzz(tmp_path, examples=15)
    assert found.faults == []
    reached = {label for label, status, _ in found.answers if status < 300}
    assert {f"{row.method} {row.path}" for row in ROUTES} - reached <= HARD_TO_GUESS


@pytest.mark.requirement("R10", "R60")
def test_nothing_that_is_sent_without_a_token_gets_in(tmp_path: Path) -> None:
    """401, whatever else is right or wrong about the request; only the document is for everybody."""
    found = fuzz(tmp_path, examples=2, has_token=False)
    assert found.faults == []
    answered = {(status, code) for label, status, code in found.answers if "/openapi.json" not in label}
    assert answered == {(401, "UNAUTHORIZED")}
