"""The same call once more: an idempotency key runs one thing, once, for one caller.

Tools with `attach_s` recognise it without a key as well: whoever of the same organisation makes the
same call again within that time, through the same kind of door, gets the first one's execution. It is
let go of when the run surely never began, and when it was cancelled.

A key belongs to one subject of one organisation of one tenant, through one kind of door (the
trigger). Nobody meets another's execution by guessing a key, and no caller can take the key of an
event or a schedule. It holds for 24 hours from the first call, unless that call's run surely never
began: then the key is free again at once, because there is nothing to repeat.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from datetime import timedelta

from sim_mcp.model.errors import Conflict, Fault, InvalidInput, PayloadTooLarge
from sim_mcp.model.execution import Call, Execution
from sim_mcp.model.json import Json, nests_deeper_than
from sim_mcp.model.tool import Mode, WorkflowTool
from sim_mcp.store import ATTACHED, KEY_HELD_FOR, Claim, Claims

LONGEST_KEY = 255
DEEPEST = 64
"""As deep as arguments may nest at all."""


class Repeats:
    """Recognises calls that were made before under the same idempotency key."""

    def __init__(self, *, claims: Claims) -> None:
        self._claims = claims

    async def earlier(self, call: Call) -> Execution | None:
        """The execution of the same call made before; `None` when `call` is the first of its key.

        Asked for before anything that may have changed since, so that a lost answer is found again
        although, for example, the tool was taken off the list or the month's limit was reached.

        Raises:
            InvalidInput: the key is not 1 to 255 printable ASCII characters.
            Conflict: the key was used for another request; names the execution.
        """
        if call.idempotency_key is None:
            return None
        _check(call.idempotency_key)
        digest = _digest(call)
        holder = await self._claims.holder(call.principal.tenant_id, _name(call), held_for=KEY_HELD_FOR)
        if holder is None:
            return None
        if holder.digest is not None and hmac.compare_digest(holder.digest, digest):
            return holder.execution
        told = f"less than 24 hours ago by the execution {holder.execution.id!r}"
        if holder.digest is None:
            raise Conflict(
                f"This idempotency key was used {told}, and what was asked then can no longer be compared, "
                "because its encryption key was taken away. Ask for that execution, or use a new key."
            )
        raise Conflict(
            f"This idempotency key was used {told}, which was another request. "
            "Use a new key for a new request; repeat a request unchanged."
        )

    async def same(self, call: Call, tool: WorkflowTool) -> Execution | None:
        """The execution that an equal call started within `attach_s` of `tool`; `None` when there is none.

        Only for calls without a key of their own: a fresh key asks for a fresh run.
        """
        if call.idempotency_key is not None or tool.attach_s <= 0:
            return None
        holder = await self._claims.holder(
            call.principal.tenant_id, _attach_name(call, tool), held_for=timedelta(seconds=tool.attach_s)
        )
        return None if holder is None else holder.execution

    def claim(self, call: Call, row: Execution, tool: WorkflowTool) -> Claim | None:
        """What opening `row` has to claim for `call`; `None` when every call of it is a new one."""
        if call.idempotency_key is not None:
            return self._claims.claim(row, _name(call), _digest(call), held_for=KEY_HELD_FOR)
        if tool.attach_s > 0:
            held_for = timedelta(seconds=tool.attach_s)
            return self._claims.claim(row, _attach_name(call, tool), _digest(call), held_for=held_for)
        return None


def _check(key: str) -> None:
    if not re.fullmatch(rf"[\x20-\x7e]{{1,{LONGEST_KEY}}}", key):
        message = f"must be 1 to {LONGEST_KEY} printable ASCII characters"
        raise InvalidInput(f"The idempotency key {message}.", faults=(Fault("idempotencyKey", message),))


def _name(call: Call) -> str:
    """Whose key it is: the tenant is a column of its own."""
    who = call.principal
    return _hash([who.organization_id, who.subject, call.trigger.value, call.idempotency_key])


def _attach_name(call: Call, tool: WorkflowTool) -> str:
    """What makes two calls equal for attaching: what is asked, not who of the tenant asks."""
    mode = (call.mode or tool.mode).value
    asked: list[Json] = [call.principal.organization_id, call.trigger.value, tool.name, mode, call.timeout_s]
    return ATTACHED + _hash([*asked, call.arguments])


def _digest(call: Call) -> str:
    """What is asked, as a hash: the same for the same JSON, in whatever order its fields came.

    From what the caller said, not from what the tool's spec makes of it today. The timeout of an
    async call is left out: it ends nothing, it only says how long the run is followed.
    """
    if nests_deeper_than(call.arguments, DEEPEST):
        raise PayloadTooLarge(f"The arguments are nested deeper than {DEEPEST} levels; flatten them.")
    timeout_s = None if call.mode is Mode.ASYNC else call.timeout_s
    mode = call.mode.value if call.mode else None
    return _hash([call.tool_name, call.workflow_id, mode, timeout_s, call.arguments])


def _hash(parts: list[Json]) -> str:
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"))  # ASCII, whatever the text holds
    return hashlib.sha256(canonical.encode()).hexdigest()
