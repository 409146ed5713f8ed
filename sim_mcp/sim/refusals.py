"""SIM's refusals, in both dialects, as our errors (sim-api 2.3 and 3).

A refusal is an answer that is not about a run: the run never existed, except where the class says
`MAYBE`. Legacy says why only in English text, so texts are matched tolerantly, and what is not
recognised falls back to the HTTP status.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from sim_mcp.model.errors import (
    RunIdTaken,
    SimAnswerLost,
    SimConflict,
    SimError,
    SimInternalError,
    SimNotDeployed,
    SimNotFound,
    SimPayloadTooLarge,
    SimRateLimited,
    SimRefused,
    SimRejectedInput,
    SimRejectedKey,
    SimTimeout,
    SimUnavailable,
    SimUsageExceeded,
    SnapshotNotReady,
)
from sim_mcp.model.json import JsonObject, is_object
from sim_mcp.sim.exchange import Answer, Effect
from sim_mcp.sim.parsing import number_at, object_at, objects_in, text_at
from sim_mcp.sim.wording import Wording

RATE_WINDOW_S = 60.0
"""SIM refills its run buckets once per window; legacy never says so (sim-api 3.3)."""
CONCURRENCY_WAIT_S = 5.0

_TAKEN_CODES = frozenset({"EXECUTION_ID_CONFLICT", "RUN_ID_CONFLICT"})
_AMBIGUOUS = "ASYNC_ENQUEUE_AMBIGUOUS"


class _Origin(TypedDict):
    retry_after_s: float | None
    detail: str | None
    sim_status: int | None
    sim_code: str | None
    sim_request_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """What SIM said in any of its three shapes: `{error: {code, message}}`, `{error: text}`, `{message}`."""

    text: str
    code: str
    reason: str
    """The finer code in `details.code`; empty on legacy."""
    faults: tuple[str, ...] = ()

    def has(self, *words: str) -> bool:
        """Whether the text contains one of `words`, whatever the case."""
        lowered = self.text.lower()
        return any(word in lowered for word in words)


def complaint_of(body: JsonObject) -> Complaint:
    """Read the error out of `body`; empty texts when there is none."""
    error = body.get("error")
    if is_object(error):
        details = error.get("details")
        return Complaint(
            text=text_at(error, "message"),
            code=text_at(error, "code"),
            reason=text_at(object_at(details), "code"),
            faults=_faults(objects_in(details)),
        )
    text = error if isinstance(error, str) else text_at(body, "message")
    return Complaint(
        text=text, code=text_at(body, "code"), reason="", faults=_faults(objects_in(body.get("details")))
    )


def refusal(answer: Answer, words: Wording, *, effect: Effect, what: str) -> SimError:
    """The error for an answer that refuses.

    Args:
        answer: What SIM sent.
        words: For tidying SIM's text.
        effect: What the request might have begun: decides whether a server error leaves doubt.
        what: The thing asked for, to name in the message (`workflow 'x'`).
    """
    said = complaint_of(answer.object)
    origin = _Origin(
        retry_after_s=answer.retry_after_s,
        detail=words.detail(said.text) or None,
        sim_status=answer.status,
        sim_code=words.tidy(said.reason or said.code, limit=80) or None,
        sim_request_id=answer.request_id,
    )
    match answer.status:
        case 401:
            return _unauthorized(said, origin)
        case 402:
            return SimUsageExceeded(
                "The SIM plan's usage limit is reached; raise it in SIM or wait for the next period.",
                **origin,
            )
        case 403:
            return _forbidden(said, origin, what)
        case 404:
            return SimNotFound(f"SIM knows no {what} that this key may use.", **origin)
        case 408:
            return _timed_out(effect, origin)
        case 409 | 423:
            return _conflict(said, origin, what)
        case 413:
            return SimPayloadTooLarge("The request is larger than SIM accepts; send less.", **origin)
        case 429:
            return _limited(answer, said, origin)
        case status if status >= 499:
            return _broken(said, origin, effect)
        case _:
            return _rejected(said, origin, words)


def _unauthorized(said: Complaint, origin: _Origin) -> SimError:
    if said.has("rate limit check failed"):  # v1's broken limiter looks like a bad key (sim-api 3.2)
        return SimUnavailable("SIM could not check the key for now; try again later.", **origin)
    return SimRejectedKey(
        "SIM does not accept the stored API key; run setup again with a valid key.", **origin
    )


def _forbidden(said: Complaint, origin: _Origin, what: str) -> SimError:
    if said.reason == "WORKFLOW_NOT_DEPLOYED" or said.has("not deployed"):
        return SimNotDeployed(f"The {what} is not deployed; deploy it in SIM.", **origin)
    if said.reason == "PERSONAL_API_KEYS_DISABLED" or said.has("personal api key"):
        why = "the workspace does not allow personal API keys; use a workspace key"
    elif said.has("api key is not authorized"):
        why = "the API key belongs to another workspace; use a key of the workflow's workspace"
    elif said.reason == "WORKSPACE_KEY_OPERATION_NOT_PERMITTED":
        why = "a workspace key may not do this; use a personal key"
    elif said.reason == "INSUFFICIENT_WORKSPACE_ROLE" or said.has("write this workflow"):
        why = "the key's owner needs write access to the workspace"
    elif said.has("suspended"):
        why = "the SIM account is suspended"
    else:
        why = "the key has no access to it"
    return SimRefused(f"SIM refuses the {what}: {why}.", **origin)


def _timed_out(effect: Effect, origin: _Origin) -> SimError:
    if effect is Effect.NOTHING:
        return SimUnavailable("SIM gave up reading the request; try again.", **origin)
    return SimTimeout("SIM gave up on the request; whether a run began is not known.", **origin)


def _conflict(said: Complaint, origin: _Origin, what: str) -> SimError:
    if said.code in _TAKEN_CODES or said.reason in _TAKEN_CODES or said.has("id has already been used"):
        return RunIdTaken("SIM has seen this run id before, so the run may already exist.", **origin)
    if said.has("snapshot not ready"):
        return SnapshotNotReady("SIM is still writing the pause down; try again in a moment.", **origin)
    if said.reason == "CALL_CHAIN_DEPTH_EXCEEDED" or said.has("call chain depth"):
        return SimConflict("Workflows call each other too deeply; SIM stops at 25.", **origin)
    if said.has("resum"):
        return SimConflict(
            "SIM no longer accepts an answer to this pause: it was answered already, or the run is over.",
            **origin,
        )
    return SimConflict(f"The state of the {what} does not allow this.", **origin)


def _limited(answer: Answer, said: Complaint, origin: _Origin) -> SimError:
    is_concurrency = said.reason == "EXECUTION_CONCURRENCY_LIMIT" or said.has("concurrent")
    is_gate = said.code == "ADMISSION_GATE_CAPACITY"
    fallback_s = CONCURRENCY_WAIT_S if is_concurrency or is_gate else RATE_WINDOW_S
    stated_s = number_at(answer.object, "retryAfterSeconds") if is_gate else None
    if origin["retry_after_s"] is None:
        origin = {
            **origin,
            "retry_after_s": fallback_s if stated_s is None else min(max(stated_s, 0.0), 3600.0),
        }
    if is_concurrency:
        return SimRateLimited(
            "SIM runs as many workflows at once as the plan allows; try again soon.", **origin
        )
    return SimRateLimited("SIM's rate limit for this key is reached; try again later.", **origin)


def _broken(said: Complaint, origin: _Origin, effect: Effect) -> SimError:
    if effect is Effect.NOTHING:
        return SimUnavailable("SIM failed to answer; try again later.", **origin)
    if _AMBIGUOUS in {said.reason, said.code}:
        return SimAnswerLost(
            "SIM could not confirm that the run was queued; it may run. Do not start it again.", **origin
        )
    is_admission = origin["sim_status"] == 503 or said.has("failed to queue")
    if is_admission:
        return SimUnavailable(
            "SIM cannot accept a run for now; nothing was started. Try again later.", **origin
        )
    if origin["sim_status"] == 500:
        return SimInternalError("SIM failed inside; whether a run began is not known.", **origin)
    return SimAnswerLost(
        "SIM's answer was lost on the way; a run may have begun. Do not start it again.", **origin
    )


def _rejected(said: Complaint, origin: _Origin, words: Wording) -> SimError:
    why = "; ".join(said.faults) or said.text
    told = f" SIM says: {words.tidy(why)}" if why else ""
    return SimRejectedInput(f"SIM refused the request as invalid.{told}", **origin)


def _faults(details: list[JsonObject]) -> tuple[str, ...]:
    return tuple(
        f"{text_at(item, 'path')}: {text_at(item, 'message')}"
        if text_at(item, "path")
        else text_at(item, "message")
        for item in details[:5]
    )
