"""Many callers who need the same thing at once: one of them fetches it, all get it."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class _Landing(Generic[T]):
    event: anyio.Event = field(default_factory=anyio.Event)
    values: list[T] = field(default_factory=list["T"])
    error: Exception | None = None


class Flight(Generic[T]):
    """Runs one piece of work at a time and shares its result with everybody who came meanwhile."""

    def __init__(self) -> None:
        self._landing: _Landing[T] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether no work is under way."""
        return self._landing is None

    async def join(self, work: Callable[[], Awaitable[T]]) -> T:
        """The result of the work under way, or of `work` when none is.

        A failure reaches everybody, each with an exception of their own. When the caller who does
        the work is cancelled, one of those who wait takes it over.
        """
        while (landing := self._landing) is not None:
            await landing.event.wait()
            if landing.error is not None:
                raise copy.copy(landing.error) from landing.error
            if landing.values:
                return landing.values[0]
        return await self._fly(work)

    async def _fly(self, work: Callable[[], Awaitable[T]]) -> T:
        landing = self._landing = _Landing[T]()
        try:
            value = await work()
        except Exception as error:  # every failure is shared, then raised on unchanged
            landing.error = error
            raise
        else:
            landing.values.append(value)
            return value
        finally:
            self._landing = None
            landing.event.set()
