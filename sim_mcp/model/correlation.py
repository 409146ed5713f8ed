"""What the records of one piece of work have in common: request, tenant and execution, for the log.

The one context variable of the house. It carries ids only, and decides nothing.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

_IDS: ContextVar[Mapping[str, str]] = ContextVar("sim_mcp_ids", default=MappingProxyType({}))


def ids() -> Mapping[str, str]:
    """The ids of the work at hand: `request_id`, `tenant`, `execution_id`, as far as they are known."""
    return _IDS.get()


@contextmanager
def working_on(**known: str | None) -> Generator[None]:
    """Name the work of the block, and of every task that it starts."""
    added = {name: value for name, value in known.items() if value is not None}
    before = _IDS.set(MappingProxyType({**_IDS.get(), **added}))
    try:
        yield
    finally:
        _IDS.reset(before)
