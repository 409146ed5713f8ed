"""The input and output schemas of the admin tools.

JSON Schema 2020-12 that every known client reads: an object at the root, no combinators there, no
`type` lists, `items` in every array. No output demands a field: some clients check the structured
content of errors against the same schema, and an error has only `error`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from sim_mcp.model.execution import Status, Trigger
from sim_mcp.model.json import Json, JsonObject
from sim_mcp.model.principal import PERMISSIONS
from sim_mcp.model.tool import MAX_ASYNC_TIMEOUT_S, MIN_TIMEOUT_S, Mode
from sim_mcp.transports.output_schemas import (
    BOOLEAN,
    ERROR,
    INTEGER,
    NUMBER,
    TEXT,
    execution_properties,
    maybe,
    one_of,
)

Fields: TypeAlias = Mapping[str, JsonObject]

LONGEST_WAIT_S = 45


def text(description: str, *, longest: int = 200) -> JsonObject:
    """A text that is not empty."""
    return {"type": "string", "minLength": 1, "maxLength": longest, "description": description}


def whole(description: str, low: int, high: int, default: int | None = None) -> JsonObject:
    """A whole number within bounds."""
    shown: dict[str, Json] = {"type": "integer", "minimum": low, "maximum": high, "description": description}
    return shown if default is None else {**shown, "default": default}


def listed(items: JsonObject) -> JsonObject:
    """An array of `items`."""
    return {"type": "array", "items": items}


def arguments(fields: Fields, *required: str) -> JsonObject:
    """An input schema that knows `fields` and nothing else."""
    schema: dict[str, Json] = {
        "type": "object",
        "properties": dict(fields),
        "additionalProperties": False,
    }
    return {**schema, "required": list(required)} if required else schema


def answer(fields: Fields) -> JsonObject:
    """An output schema; `error` stands there when the tool failed."""
    known: dict[str, Json] = {**fields, "error": maybe(ERROR)}
    return {"type": "object", "properties": known}


EXECUTION_ID = text("Our execution id, from a tool's result or sim_list_executions; SIM's run id works too.")
WORKFLOW_ID = text("The id of a workflow of the SIM account; sim_discover_workflows lists them.")
MOMENT = text("ISO 8601 with a time zone, as 2026-05-01T00:00:00Z.", longest=40)

LIST_EXECUTIONS = arguments(
    {
        "workflow_id": text("Only executions of this workflow."),
        "status": {**one_of(Status), "description": "Only executions in this status."},
        "triggered_by": {
            "type": "string",
            "enum": [trigger.value for trigger in Trigger],
            "description": "Only executions started this way.",
        },
        "since": {**MOMENT, "description": "Created at this time or later (ISO 8601 with a time zone)."},
        "until": {**MOMENT, "description": "Created before this time (ISO 8601 with a time zone)."},
        "limit": whole("How many to return.", 1, 100, 20),
        "offset": whole("How many to skip; prefer cursor.", 0, 1_000_000, 0),
        "cursor": text("next_cursor of the page before; leave offset out.", longest=500),
    }
)

DISCOVER_WORKFLOWS = arguments(
    {
        "search": text("Only workflows whose name contains this."),
        "limit": whole("How many to return.", 1, 50, 20),
        "cursor": text("next_cursor of the page before.", longest=500),
    }
)

_ANNOTATIONS: JsonObject = {
    "type": "object",
    "description": "What clients are told about effects; the defaults are cautious.",
    "properties": {
        "read_only": {**BOOLEAN, "default": False},
        "destructive": {**BOOLEAN, "default": True},
        "idempotent": {**BOOLEAN, "default": False},
        "open_world": {**BOOLEAN, "default": True},
    },
    "additionalProperties": False,
}

_MODE: JsonObject = {"type": "string", "enum": [mode.value for mode in Mode]}
_PERMISSION: JsonObject = {"type": "string", "enum": list(PERMISSIONS)}

ALLOW_WORKFLOW = arguments(
    {
        "workflow_id": WORKFLOW_ID,
        "name": {
            "type": "string",
            "pattern": "^[a-z0-9_]{1,64}$",
            "description": "The tool's name (a-z, 0-9, _); made from the workflow's name when absent. "
            "Not beginning with sim_.",
        },
        "title": text("What people see; the workflow's name when absent."),
        "description": text("What the model reads when it chooses a tool.", longest=4000),
        "input_schema": {"type": "object", "description": "JSON Schema 2020-12; taken from SIM when absent."},
        "output_schema": {"type": "object", "description": "JSON Schema 2020-12 of the workflow's output."},
        "mode": {**_MODE, "description": "How SIM runs it; sync when absent."},
        "timeout_s": {
            "type": "number",
            "minimum": MIN_TIMEOUT_S,
            "maximum": MAX_ASYNC_TIMEOUT_S,
            "description": "Seconds, 60 when absent; at most 300 unless the mode is async.",
        },
        "annotations": _ANNOTATIONS,
        "confirm": {**BOOLEAN, "description": "Ask the user before every run."},
        "approver_permission": {**_PERMISSION, "description": "What answering a pause needs beside EDIT."},
        "attach_s": {
            **NUMBER,
            "minimum": 0,
            "maximum": MAX_ASYNC_TIMEOUT_S,
            "description": "Seconds in which an equal call gets the first one's execution; 0 when absent.",
        },
        "selected_outputs": {
            **listed(text("block.path")),
            "maxItems": 50,
            "description": "The outputs to return; all when absent.",
        },
        "inputs": {
            "type": "object",
            "description": "Inputs that nobody who calls fills in, by name; they leave the schema. `from`: "
            "model (nothing special), tenant or principal (`key`: tenant_id, organization_id, subject), "
            "fixed (`value`), secret (`key`: the name under which `sim-mcp secrets set` keeps it).",
            "additionalProperties": {
                "type": "object",
                "properties": {
                    "from": {"type": "string", "enum": ["model", "tenant", "principal", "fixed", "secret"]},
                    "key": text("What of the tenant or principal, or which secret.", longest=64),
                    "value": {},
                },
                "required": ["from"],
                "additionalProperties": False,
            },
        },
        "describe_usage": {
            **BOOLEAN,
            "description": "Tell usual duration and success rate behind the description.",
        },
        "monthly_executions": whole("Runs of this tool in a calendar month (UTC).", 1, 100_000_000),
        "cost_per_day": {
            **NUMBER,
            "exclusiveMinimum": 0,
            "maximum": 1_000_000,
            "description": "What this tool's runs may cost in a day (UTC), in SIM's unit.",
        },
        "rate_per_minute": whole("Calls of this tool per minute.", 1, 100_000),
        "max_concurrency": whole("Runs of this tool at the same time.", 1, 10_000),
        "max_output_bytes": whole("Larger output is cut for the model.", 200, 10_000_000),
        "enabled": {**BOOLEAN, "description": "false keeps the entry and hides the tool."},
    },
    "workflow_id",
)

RESUME_EXECUTION = arguments(
    {
        "execution_id": EXECUTION_ID,
        "input": {
            "type": "object",
            "description": "The user's answer: one entry for each field of the form, by its name.",
        },
        "context_id": text("Which of several pauses is answered."),
    },
    "execution_id",
    "input",
)

SETTINGS: dict[str, JsonObject] = {
    "is_enabled": BOOLEAN,
    "has_api_key": BOOLEAN,
    "base_url": TEXT,
    "revision": maybe(INTEGER),
    "updated_at": maybe(TEXT),
}

RECORD: dict[str, JsonObject] = {
    "tool_name": TEXT,
    "job_id": maybe(TEXT),
    "attempts": INTEGER,
    "triggered_by": {"type": "string", "enum": [trigger.value for trigger in Trigger]},
    "subject": TEXT,
    "organization_id": maybe(TEXT),
    "idempotency_key": maybe(TEXT),
    "created_at": TEXT,
    "started_at": maybe(TEXT),
    "finished_at": maybe(TEXT),
    "settings_revision": maybe(INTEGER),
    "trace_id": maybe(TEXT),
    "refusals": {**INTEGER, "description": "How many refused calls this row stands for."},
    "approver_permission": maybe(_PERMISSION),
    "answers": listed(
        {"type": "object", "properties": {"context_id": TEXT, "subject": TEXT, "answered_at": TEXT}}
    ),
}


def execution_page() -> JsonObject:
    """The answer of `sim_list_executions`."""
    kept = ("status", "execution_id", "run_id", "workflow_id", "duration_ms", "error")
    properties = execution_properties()
    row: dict[str, Json] = {**{name: properties[name] for name in kept}, **RECORD}
    return answer(
        {
            "data": listed({"type": "object", "properties": row}),
            "total": {**INTEGER, "description": "How many match in all."},
            "next_cursor": maybe(TEXT),
        }
    )


VALIDATION = answer(
    {
        "workflow_id": TEXT,
        "is_deployed": BOOLEAN,
        "needs_redeployment": BOOLEAN,
        "schema_drift": {**listed(TEXT), "description": "How the deployed inputs left the pinned schema."},
    }
)

DISCOVERY = answer(
    {
        "workflows": listed(
            {
                "type": "object",
                "properties": {
                    "workflow_id": TEXT,
                    "name": TEXT,
                    "description": TEXT,
                    "is_deployed": BOOLEAN,
                    "tool_name": {**maybe(TEXT), "description": "Its tool, when it is allow-listed."},
                    "inputs": maybe(
                        listed(
                            {
                                "type": "object",
                                "properties": {"name": TEXT, "type": TEXT, "description": TEXT},
                            }
                        )
                    ),
                    "schema_drift": listed(TEXT),
                },
            }
        ),
        "next_cursor": maybe(TEXT),
    }
)

TOOL = answer(
    {
        "name": TEXT,
        "workflow_id": TEXT,
        "title": TEXT,
        "description": TEXT,
        "input_schema": {"type": "object"},
        "output_schema": maybe({"type": "object"}),
        "mode": _MODE,
        "timeout_s": NUMBER,
        "annotations": {"type": "object"},
        "confirm": BOOLEAN,
        "approver_permission": maybe(_PERMISSION),
        "attach_s": NUMBER,
        "selected_outputs": listed(TEXT),
        "bound_inputs": {
            "type": "object",
            "description": "Inputs that no caller fills in, and where they come from.",
        },
        "describe_usage": BOOLEAN,
        "monthly_executions": maybe(INTEGER),
        "cost_per_day": maybe(NUMBER),
        "rate_per_minute": maybe(INTEGER),
        "max_concurrency": maybe(INTEGER),
        "max_output_bytes": INTEGER,
    }
)
