"""Node for the session: found, installed, or a reason to skip."""

from __future__ import annotations

import pytest

from tests.conformance.node import Node, NoNode, found_or_installed


@pytest.fixture(scope="session")
def node() -> Node:
    """The pinned suite and Inspector, and a Node that runs them."""
    try:
        return found_or_installed()
    except NoNode as error:
        pytest.skip(f"no Node with the conformance suite: {error}")
