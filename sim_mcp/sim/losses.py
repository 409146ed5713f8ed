"""Answers that never came, came late, or were not SIM's: our errors for each (sim-api 11.C, 11.F).

All of them turn on one question: can a run have begun? A read or a cancel cannot begin one, so
its failures say `NO`, whatever happened on the way.
"""

from __future__ import annotations

from sim_mcp.model.errors import (
    NotASimApi,
    RunBegan,
    SimAnswerLost,
    SimError,
    SimPayloadTooLarge,
    SimRateLimited,
    SimTimeout,
    SimUnavailable,
)
from sim_mcp.sim.exchange import Effect
from sim_mcp.sim.wording import Wording

LOST = (
    "The request reached SIM and its answer was lost, so a run may have begun. "
    "Do not start it again; look the execution up."
)


class NotASimPage(NotASimApi):
    """Something that is not SIM answered a request that could not begin a run."""

    began = RunBegan.NO


def not_sim(what: str, words: Wording, *, effect: Effect, status: int | None) -> NotASimApi:
    """The error for an answer that is not SIM's API; `what` tells how it differs, in our own words."""
    kind = NotASimPage if effect is Effect.NOTHING else NotASimApi
    return kind(
        f"{words.origin} does not answer like SIM's API: {what}. Check the base URL.", sim_status=status
    )


def unreachable(words: Wording, *, detail: str) -> SimUnavailable:
    """The request surely never left."""
    return SimUnavailable(
        f"SIM at {words.origin} cannot be reached; nothing was started. "
        "Check the base URL, and that SIM is running.",
        detail=detail,
    )


def broken_off(words: Wording, *, effect: Effect, detail: str) -> SimError:
    """The connection broke after the request may have left."""
    if effect is Effect.NOTHING:
        return SimUnavailable(f"SIM at {words.origin} broke off its answer; try again.", detail=detail)
    return SimAnswerLost(LOST, detail=detail)


def late(*, effect: Effect, timeout_s: float) -> SimError:
    """No end within `timeout_s` seconds."""
    within = f"within {timeout_s:g} s"
    match effect:
        case Effect.NOTHING:
            return SimUnavailable(f"SIM did not answer {within}; try again.")
        case Effect.RUN:
            return SimTimeout(f"The workflow did not finish {within}; it may still be running in SIM.")
        case Effect.QUEUE:
            return SimAnswerLost(LOST, detail=f"no answer {within}")


def unreadable(
    words: Wording, *, effect: Effect, status: int, content_type: str, waits_s: float | None
) -> SimError:
    """An answer without JSON: mostly a proxy's page, sometimes not SIM at all. Its text is never shown."""
    kind = words.tidy(content_type, limit=60) or "no content type"
    if status == 429:
        return SimRateLimited(
            "SIM, or a proxy in front of it, refuses requests for now (HTTP 429); try again later.",
            retry_after_s=waits_s,
            sim_status=status,
        )
    if status == 413:
        return SimPayloadTooLarge(
            "A proxy in front of SIM refuses a request of this size; send less.", sim_status=status
        )
    if status >= 500 and effect is Effect.NOTHING:
        return SimUnavailable(
            f"SIM, or a proxy in front of it, answered HTTP {status}; try again later.",
            retry_after_s=waits_s,
            sim_status=status,
        )
    if status >= 500:  # a gateway's timeout, for one: SIM may be running it
        return SimAnswerLost(LOST, detail=f"HTTP {status} with {kind}", sim_status=status)
    if status < 300 and "json" in content_type:  # JSON by its own word, but cut short or beyond our bounds
        return broken_off(words, effect=effect, detail=f"HTTP {status} with unusable JSON")
    return not_sim(f"HTTP {status} with {kind}", words, effect=effect, status=status)


def too_large(*, effect: Effect, limit_bytes: int) -> SimError:
    """The answer was longer than we read."""
    limit = f"{limit_bytes / (1024 * 1024):g} MiB"
    if effect is Effect.NOTHING:
        return SimPayloadTooLarge(f"SIM's answer is larger than {limit}.")
    return SimAnswerLost(
        f"The run's answer is larger than {limit} and was not read; the run may have finished. "
        "Do not start it again; look the execution up."
    )
