"""The OpenAPI 3.1 document of the REST door, written from the models that read and show.

The same routes give the same document, byte for byte: `docs/openapi.json` is its reviewed copy.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from pydantic import BaseModel, TypeAdapter
from starlette.exceptions import HTTPException
from starlette.responses import Response

import sim_mcp
from sim_mcp.model.errors import ErrorCode
from sim_mcp.model.events import EVENT_PATTERN, LONGEST_EVENT
from sim_mcp.transports import rest_answers as answers
from sim_mcp.transports.openapi_headers import (
    ANSWERED_HEADERS,
    ASKED_HEADERS,
    IDEMPOTENCY_KEY,
    LOCATION,
    REPLAYED,
    RETRY_AFTER,
    answered,
)
from sim_mcp.transports.openapi_problems import codes_of, problem_at, problem_responses, problem_schema
from sim_mcp.transports.rest_examples import EXAMPLES
from sim_mcp.transports.rest_views import BASE_PATH

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from sim_mcp.transports.rest_operations import Operation

Schema: TypeAlias = dict[str, Any]

DOCUMENT_PATH = "/openapi.json"
_PLACE = "#/components/schemas/{model}"
_PATH_IDS = {
    "integrationTenantId": "The id that setup answered.",
    "workflowId": "SIM's id of the workflow.",
    "jobId": "This server's execution id, SIM's run id or SIM's job id.",
    "id": "This server's execution id, SIM's run id or SIM's job id.",
    "triggeredJobId": "The id of a job, from `postEvent` or `listJobs`.",
    "event": "The event's name.",
    "scheduleName": "The schedule's name.",
    "revision": "The number of an earlier revision, from `listRevisions`.",
}

_ABOUT = """\
Run the workflows of your company's SIM account, follow them and read their history.

Every error has one shape (`Problem`); programs look at its `code`. `GET` paths also know `HEAD`. Unknown
query parameters and body fields are refused, not ignored. Times are ISO 8601 in UTC. Nothing that a caller
sends can change the tenant: it comes from the token."""


class Row(Protocol):
    """What the document needs of a route."""

    @property
    def method(self) -> str:
        """GET, POST, DELETE."""
        ...

    @property
    def path(self) -> str:
        """Below `BASE_PATH`, parameters in braces."""
        ...

    @property
    def operation(self) -> Operation:
        """What it is for."""
        ...


class Document:
    """Answers GET /openapi.json. Without a token: it tells nothing about anybody, and tools expect that."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = tuple(rows)
        self._text: bytes | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The document, written when it is asked for first."""
        if scope["method"] not in {"GET", "HEAD"}:
            raise HTTPException(405, headers={"Allow": "GET, HEAD"})
        if self._text is None:
            self._text = document_text(self._rows).encode()
        headers = {"cache-control": "public, max-age=300"}
        answer = Response(self._text, media_type="application/json", headers=headers)
        await answer(scope, receive, send)


def document_text(rows: Iterable[Row]) -> str:
    """The document as it is served."""
    return json.dumps(openapi_document(rows), indent=1, ensure_ascii=False) + "\n"


def openapi_document(rows: Iterable[Row]) -> Schema:
    """The document about `rows`."""
    known = tuple(rows)
    schemas, places = _schemas(known)
    paths: dict[str, Schema] = {}
    for row in known:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row, schemas, places)
    paths[DOCUMENT_PATH] = {"get": _about_itself()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "sim-mcp",
            "version": sim_mcp.__version__,
            "summary": "SIM workflows over REST",
            "description": _ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": BASE_PATH}],
        "security": [{"bearer": []}],
        "tags": [
            {"name": "integration", "description": "The connection to SIM."},
            {"name": "workflows", "description": "What the account offers, and running it."},
            {"name": "executions", "description": "Runs and their history."},
            {"name": "events", "description": "What happens elsewhere, and which workflows that starts."},
            {"name": "schedules", "description": "Workflows that start at given times."},
            {"name": "jobs", "description": "What events and schedules started; dead letters."},
        ],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of this server (`sim-mcp token create`) or of its provider.",
                }
            },
            "headers": ANSWERED_HEADERS,
            "parameters": ASKED_HEADERS,
            "responses": problem_responses(row.operation for row in known),
            "schemas": {name: schema for name, schema in schemas.items() if name not in _queries(known)},
        },
    }


def _schemas(rows: tuple[Row, ...]) -> tuple[dict[str, Schema], Mapping[type, Schema]]:
    """Every schema by its name, and for each model where it stands."""
    asked = {
        model for row in rows for model in (row.operation.query, row.operation.body) if model is not None
    }
    shown = {each.shape for row in rows for each in row.operation.answers.values() if each.shape is not None}
    every: list[type[Any]] = sorted(asked | shown | {answers.Problem}, key=lambda model: model.__name__)
    adapters: list[tuple[type, Literal["validation", "serialization"], TypeAdapter[Any]]] = [
        (model, "validation" if issubclass(model, BaseModel) else "serialization", TypeAdapter[Any](model))
        for model in every
    ]
    found, definitions = TypeAdapter.json_schemas(adapters, ref_template=_PLACE)
    schemas = {name: _plain(schema) for name, schema in definitions.get("$defs", {}).items()}
    for schema in schemas.values():
        if "enum" in schema:
            schema.pop("description", None)  # says what our code makes of it, not what it means outside
    for model in every:
        if model in EXAMPLES:
            schemas.setdefault(model.__name__, {})["examples"] = [EXAMPLES[model]]
    return dict(sorted(schemas.items())), {model: found[model, mode] for model, mode, _ in adapters}


def _queries(rows: tuple[Row, ...]) -> frozenset[str]:
    """The models of queries stand spelt out at their parameters, not among the schemas."""
    bodies = {row.operation.body for row in rows}
    return frozenset(row.operation.query.__name__ for row in rows if row.operation.query not in bodies)


def _plain(schema: Any) -> Any:
    """`schema` without the titles that pydantic makes from names."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]  # pyright: ignore[reportUnknownVariableType]  # JSON
    if isinstance(schema, dict):
        return {
            str(name): _plain(value)  # pyright: ignore[reportUnknownArgumentType]  # JSON
            for name, value in schema.items()  # pyright: ignore[reportUnknownVariableType]  # JSON
            if not (name == "title" and isinstance(value, str))
        }
    return schema


def _operation(row: Row, schemas: Mapping[str, Schema], places: Mapping[type, Schema]) -> Schema:
    operation = row.operation
    needed = operation.permission.value
    made: Schema = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": f"{operation.description}\n\nNeeds the permission `{needed}`.",
        "x-permission": needed,
        "security": [{"bearer": []}],
        "parameters": [
            *_path_parameters(row.path),
            *_query_parameters(operation, schemas),
            *_headers(operation),
        ],
    }
    if operation.body is not None:
        is_required = bool(schemas[operation.body.__name__].get("required"))
        made["requestBody"] = {
            "required": is_required,
            "content": {"application/json": {"schema": places[operation.body]}},
        }
    made["responses"] = _responses(operation, places)
    return made


def _path_parameters(path: str) -> list[Schema]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _PATH_IDS[name],
            "schema": {
                "type": "string",
                "minLength": 1,
                "maxLength": 255,
                **({"pattern": f"^{EVENT_PATTERN}$", "maxLength": LONGEST_EVENT} if name == "event" else {}),
            },
        }
        for name in names
    ]


def _query_parameters(operation: Operation, schemas: Mapping[str, Schema]) -> list[Schema]:
    made: list[Schema] = []
    for name, described in schemas[operation.query.__name__].get("properties", {}).items():
        schema = {key: value for key, value in described.items() if key not in {"description", "anyOf"}}
        said = described.get("description")
        for choice in described.get("anyOf", ()):
            if choice != {"type": "null"}:  # a query parameter is there or not; it is never null
                schema |= choice
        said = schema.pop("description", said)
        if schema.get("default", ...) is None:
            del schema["default"]
        made.append({"name": name, "in": "query", "required": False, "description": said, "schema": schema})
    return made


def _headers(operation: Operation) -> list[Schema]:
    names = [name for name in ASKED_HEADERS if name != IDEMPOTENCY_KEY or operation.takes_idempotency_key]
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def _responses(operation: Operation, places: Mapping[type, Schema]) -> dict[str, Schema]:
    codes = codes_of(operation)
    made = {status: problem_at(status, codes[status]) for status in codes}
    for status, shown in operation.answers.items():
        headers = answered("X-Request-Id", *([LOCATION] if shown.has_location else ()))
        if operation.takes_idempotency_key:
            headers |= answered(REPLAYED)
        schema = None if shown.shape is None else places[shown.shape]
        if status in codes:  # a bad answer of the same status beside the good one
            schema = {"anyOf": [schema, problem_schema(status, codes[status])]}
            headers |= answered(RETRY_AFTER)
        content = {} if schema is None else {"content": {"application/json": {"schema": schema}}}
        made[status] = {"description": shown.description, "headers": headers, **content}
    return {str(status): made[status] for status in sorted(made)}


def _about_itself() -> Schema:
    return {
        "operationId": "getOpenApi",
        "summary": "This document",
        "description": "Needs no token.",
        "security": [],
        "responses": {
            "200": {
                "description": "OpenAPI 3.1.",
                "headers": answered("X-Request-Id"),
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
            "403": problem_at(403, [ErrorCode.FORBIDDEN]),
            "421": problem_at(421, [ErrorCode.FORBIDDEN]),
        },
    }
