"""What both dialects do with the answers to a read or a cancel."""

from __future__ import annotations

from sim_mcp.model.json import JsonObject
from sim_mcp.model.run import Cancellation
from sim_mcp.sim.exchange import Answer, Effect
from sim_mcp.sim.losses import not_sim
from sim_mcp.sim.parsing import text_at
from sim_mcp.sim.refusals import refusal
from sim_mcp.sim.wording import Wording

CANCEL_TIMEOUT_S = 60.0
"""Without Redis, SIM takes long to say that it cannot cancel (sim-api 12.13)."""
RESUME_TIMEOUT_S = 300.0
"""The resume of a sync run is held open until the run ends; giving up does not stop it (sim-api 6.3)."""


def checked(answer: Answer, *, words: Wording, what: str) -> JsonObject:
    """The object of a successful answer to a read.

    Raises:
        SimError: It is a refusal, or no object.
    """
    if answer.status >= 400:
        raise refusal(answer, words, effect=Effect.NOTHING, what=what)
    if not answer.object:
        raise not_sim("JSON that is no object", words, effect=Effect.NOTHING, status=answer.status)
    return answer.object


def cancellation_of(record: JsonObject, words: Wording) -> Cancellation:
    """SIM's verdict on a cancel, from either dialect (sim-api 4.3)."""
    reason = words.tidy(text_at(record, "reason"), limit=100)
    is_over = reason in {"already_completed", "already_failed"}
    return Cancellation(
        accepted=record.get("success") is True and not is_over,
        already_final=is_over or reason == "already_cancelled",
        reason=reason or "unknown",
    )
