"""What each workflow of the sandbox does with its input."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sim_mcp.sim.fake.outcomes import Completed, Failed, Outcome, Paused, PausePoint, Plan
from sim_mcp.sim.fake.stored import MEDIA_TYPES, document, lightened, manifest, reference, stored_file
from sim_mcp.sim.fake.timing import iso
from sim_mcp.sim.fake.workflows import APPROVAL, Behaviour, FormField

PUBLIC_URL = "http://localhost:3000"
"""What this SIM believes its address to be. As in many real installations nobody outside can reach it."""

_WORD_S = 0.02
_WAIT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """What a behaviour may know: its typed arguments, what was sent in truth, who runs, when, and its form.

    `brief_s` is how long a step takes that does not wait for anything; `strands_pauses` whether a
    second question in a row can be answered by nobody.
    """

    arguments: dict[str, Any]
    submitted: Any
    workflow_id: str
    run_id: str
    now: datetime
    brief_s: float
    strands_pauses: bool = True
    form: tuple[FormField, ...] = APPROVAL


def block_id(workflow_id: str, block: str) -> str:
    """The stable id of a block."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{workflow_id}/{block}"))


def planned(behaviour: Behaviour, occasion: Occasion) -> Plan:
    """What a run of `behaviour` will come to."""
    arguments = occasion.arguments
    outcome = _OUTCOMES[behaviour](occasion)
    duration_s = occasion.brief_s
    if behaviour == "slow":
        duration_s = max(0.0, _number(arguments.get("seconds"), 2.0))
    if isinstance(outcome, Completed):
        duration_s += _WORD_S * len(outcome.streamed)
    return Plan(duration_s=duration_s, outcome=outcome)


def _quick(occasion: Occasion) -> Outcome:
    names = ("employee", "hours", "billable", "tags", "meta")
    fields = {name: occasion.arguments.get(name, "") for name in names}
    billable = "billable" if fields["billable"] is True else "not billable"
    summary = f"{fields['employee'] or 'Somebody'} worked {fields['hours'] or 0} hours, {billable}"
    return Completed(output=_result({**fields, "summary": summary}))


def _echo(occasion: Occasion) -> Outcome:
    return Completed(output=_result(occasion.submitted))


def _slow(occasion: Occasion) -> Outcome:
    return Completed(output=_result({"done": True, "waited": occasion.arguments.get("seconds")}))


def _streaming(occasion: Occasion) -> Outcome:
    topic = occasion.arguments.get("topic") or "nothing in particular"
    text = f"Here is what the sandbox knows about {topic}: not much, but it says so word by word."
    words = text.split(" ")
    chunks = tuple(word if at == 0 else f" {word}" for at, word in enumerate(words))
    return Completed(output={"content": text, "model": "sandbox-1"}, streamed=chunks)


def _failing(occasion: Occasion) -> Outcome:
    status = int(_number(occasion.arguments.get("status"), 500.0))
    if status == 400:
        fields = ", ".join(("input", "conversationId", "files", *occasion.arguments))
        message = f'"nope" doesn\'t exist on block "start". Available fields: {fields}'
        return Failed(message=message, http_status=400)
    texts = {401: "Unauthorized", 404: "Not found", 429: "429 rate limited"}
    if status in texts:
        return Failed(
            message=texts[status], block="CRM 1", http_status=status, output={"error": texts[status]}
        )
    message = "Line 1: `throw new Error('Division by zero in block')` - Division by zero in block"
    return Failed(message=message, http_status=status if 400 <= status <= 599 else 500)


def _large(occasion: Occasion) -> Outcome:
    count = int(_number(occasion.arguments.get("rows"), 1000.0))
    text = "x" * int(_number(occasion.arguments.get("row_bytes"), 40.0))
    rows = [{"i": at, "text": text} for at in range(count)]
    light = lightened(_result({"rows": rows}), workflow_id=occasion.workflow_id, run_id=occasion.run_id)
    return Completed(output=light)


def _archive(occasion: Occasion) -> Outcome:
    """As `large` beyond SIM's limit, but at once."""
    kept = partial(reference, workflow_id=occasion.workflow_id, run_id=occasion.run_id)
    invoice = {"invoice": 1, "total": 12.5}
    match occasion.arguments.get("shape"):
        case "string":
            value = kept("string", 9_437_186, "xxxxxxxxxxxxxxxxxxxx")
        case "object":
            value = kept("object", 9_437_186, None)
        case "manifest":
            value = manifest(
                120_000, 12_000_000, [invoice], workflow_id=occasion.workflow_id, run_id=occasion.run_id
            )
        case _:
            value = kept("array", 9_437_186, [invoice])
    return Completed(output=_result({"year": 2025, "invoices": value}))


def _chart(occasion: Occasion) -> Outcome:
    kind = str(occasion.arguments.get("format"))
    kind = kind if kind in MEDIA_TYPES else "png"
    name = f"sales.{kind}"
    drawn = stored_file(
        name,
        MEDIA_TYPES[kind],
        document(kind, int(_number(occasion.arguments.get("bytes"), 0.0))),
        public_url=PUBLIC_URL,
        key=f"execution/{occasion.workflow_id}/{occasion.run_id}/{name}",
    )
    return Completed(output=_result({"title": "Sales", "chart": drawn}))


def _respond(occasion: Occasion) -> Outcome:
    body = occasion.arguments.get("body") or {"teapot": True}
    headers = {"Content-Type": "application/json", "X-Custom": "yes"}
    status = int(_number(occasion.arguments.get("status"), 418.0))
    return Completed(output={"data": body, "status": status, "headers": headers}, responds=True)


def _files(occasion: Occasion) -> Outcome:
    return Completed(output=_result({"receipts": occasion.arguments.get("receipts", "")}))


def _asking(occasion: Occasion) -> Outcome:
    variant = occasion.arguments.get("variant")
    if variant == "time":
        return _waiting(occasion)
    if variant == "parallel":
        # The marks that SIM adds to a parallel branch: not ASCII, so a client must encode them.
        points = tuple(_question(occasion, f"human\u208d{at}\u208e") for at in (0, 1))
        shown = {"pausedBlocks": [each.response for each in points], "pauseCount": len(points)}
        return Paused(output=shown, points=points)
    point = _question(occasion, "human")
    if variant == "api":
        order: dict[str, Any] = {"orderId": "o-1", "operation": "api", "responseStructure": []}
        response = {
            "data": {**order, "_resume": links(occasion, point.context_id)},
            "status": 202,
            "headers": {},
        }
        point = _replaced(point, response)
    elif variant == "api_scalar":
        point = _replaced(point, {"data": "waiting for a decision", "status": 200, "headers": {}})
    then = "ask_again" if variant == "twice" else "end"
    return Paused(output=point.response, points=(point,), then=then)


def _waiting(occasion: Occasion) -> Outcome:
    wait_s = _number(occasion.arguments.get("seconds"), _WAIT_S)
    resume_at = occasion.now + timedelta(seconds=wait_s)
    wait = block_id(occasion.workflow_id, "wait")
    shown = {"waitDuration": int(wait_s * 1000), "resumeAt": iso(resume_at)}
    point = PausePoint(context_id=wait, block_id=wait, response=shown, kind="time", resume_at=resume_at)
    return Paused(output=shown, points=(point,))


def asked_again(occasion: Occasion) -> Paused:
    """The second question of the `twice` variant."""
    point = _question(occasion, "human-2")
    return Paused(output=point.response, points=(point,))


def answered(occasion: Occasion, submission: dict[str, Any]) -> Completed:
    """What `asking` comes to once a human has answered. A missing answer is an empty text (sim-api 12.12)."""
    fields = {field.name: submission.get(field.name, "") for field in occasion.form}
    return Completed(output=_result({**fields, "amount": occasion.arguments.get("amount")}))


def waited() -> Completed:
    """What the `time` variant comes to by itself."""
    return Completed(output=_result({"resumed": True}))


def links(occasion: Occasion, context_id: str) -> dict[str, str]:
    """Where SIM says an answer may be given. Not encoded, as in SIM (sim-api 6.4)."""
    path = f"resume/{occasion.workflow_id}/{occasion.run_id}"
    return {
        "apiUrl": f"{PUBLIC_URL}/api/{path}/{context_id}",
        "uiUrl": f"{PUBLIC_URL}/{path}",
        "contextId": context_id,
        "executionId": occasion.run_id,
        "workflowId": occasion.workflow_id,
    }


def _question(occasion: Occasion, block: str) -> PausePoint:
    name, _, branch = block.partition("\u208d")
    context_id = block_id(occasion.workflow_id, name) + (f"\u208d{branch}" if branch else "")

    shown = {
        "operation": "human",
        "responseStructure": [
            {"name": "amount", "type": "number", "value": occasion.arguments.get("amount")},
        ],
        "inputFormat": [_asked(occasion, field) for field in occasion.form],
        "submission": None,
        "_resume": links(occasion, context_id),
    }
    response = {"data": shown, "status": 200, "headers": {"Content-Type": "application/json"}}
    return PausePoint(context_id=context_id, block_id=context_id, response=response)


def _asked(occasion: Occasion, field: FormField) -> dict[str, Any]:
    shown = {
        "id": block_id(occasion.workflow_id, field.name),
        "name": field.name,
        "label": field.name,
        "type": field.type,
        "description": field.description,
        "value": field.value,
        "required": field.required,
    }
    return shown | ({"options": [*field.options]} if field.options else {})


def _replaced(point: PausePoint, response: dict[str, Any]) -> PausePoint:
    return PausePoint(context_id=point.context_id, block_id=point.block_id, response=response)


def _result(value: Any) -> dict[str, Any]:
    return {"result": value, "stdout": ""}


def _number(value: Any, otherwise: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return otherwise
    return float(value)


_OUTCOMES: dict[Behaviour, Callable[[Occasion], Outcome]] = {
    "quick": _quick,
    "echo": _echo,
    "slow": _slow,
    "streaming": _streaming,
    "failing": _failing,
    "asking": _asking,
    "large": _large,
    "respond": _respond,
    "files": _files,
    "chart": _chart,
    "archive": _archive,
}
