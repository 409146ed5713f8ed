"""What many journeys begin with."""

from __future__ import annotations

import pytest

from tests.journeys.mcp_clients import ERAS, Era


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest) -> Era:
    """The two eras of the protocol."""
    return request.param
