"""Questions to a user that wait for their answer: bound to one caller and one call, good once."""

from __future__ import annotations

from itertools import count

import pytest
from mcp_types import CallToolRequestParams

from sim_mcp.transports.asking import MOST_OPEN_OF_A_TENANT, OpenQuestions
from tests.world import principal

WORDS = "Really?"
WANTED = CallToolRequestParams(name="careful", arguments={"amount": 5})


@pytest.mark.requirement("R35", "R60")
def test_a_question_is_answered_once_by_the_one_who_was_asked_about_what_was_asked() -> None:
    """Another tenant, person, tool or amount cannot use the yes; the right one can, once."""
    questions = OpenQuestions()
    ada = principal("acme")
    state = questions.ask(ada, WANTED, WORDS)
    for who, what in (
        (principal("globex"), WANTED),
        (principal("acme", "eve"), WANTED),
        (ada, CallToolRequestParams(name="other", arguments={"amount": 5})),
        (ada, CallToolRequestParams(name="careful", arguments={"amount": 500})),
    ):
        assert not questions.settle(state, who, what, WORDS)
    assert not questions.settle(state, ada, WANTED, "Something else?")
    assert not questions.settle(None, ada, WANTED, WORDS)
    assert questions.settle(state, ada, WANTED, WORDS)
    assert not questions.settle(state, ada, WANTED, WORDS)


def test_a_flood_of_one_tenants_questions_leaves_the_others_alone() -> None:
    """The oldest of the same tenant makes room."""
    ids = count()
    questions = OpenQuestions(lambda: f"q{next(ids)}")
    theirs = questions.ask(principal("globex"), WANTED, WORDS)
    ours = [questions.ask(principal("acme"), WANTED, WORDS) for _ in range(MOST_OPEN_OF_A_TENANT + 1)]
    assert not questions.settle(ours[0], principal("acme"), WANTED, WORDS)
    assert questions.settle(ours[1], principal("acme"), WANTED, WORDS)
    assert questions.settle(theirs, principal("globex"), WANTED, WORDS)
