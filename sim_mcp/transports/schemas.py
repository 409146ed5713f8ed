"""What REST requests may carry: camelCase, nothing unknown, every bound spelt out."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic.alias_generators import to_camel

from sim_mcp.model.execution import Status, Trigger

DEFAULT_TIMEOUT_MS = 30_000
LONGEST_KEY = 1000
LONGEST_ID = 255

_WHOLE = re.compile(r"-?[0-9]{1,18}")
_DATE_AND_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]+([Zz]|[+-][0-9]{2}:[0-9]{2})")


def _digits(value: object) -> object:
    """Query parameters are text; only plain digits are a number, neither `1_0` nor ` 10`."""
    if isinstance(value, str) and not _WHOLE.fullmatch(value):
        raise ValueError("must be a whole number in plain digits")
    return value


def whole_number(value: object) -> object:
    """To JSON, `2000.0` is the number `2000`; some languages cannot write it otherwise."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _date_and_time(value: object) -> object:
    """A bare number would be read as seconds since 1970, which nobody means."""
    if isinstance(value, str) and not _DATE_AND_TIME.fullmatch(value):
        raise ValueError("must be a date and time with a zone, such as 2026-01-31T12:00:00Z")
    return value


Name = Annotated[str, Field(min_length=1, max_length=LONGEST_ID)]
Whole = Annotated[int, BeforeValidator(_digits)]
Moment = Annotated[AwareDatetime, BeforeValidator(_date_and_time)]
Cursor = Annotated[
    str, Field(min_length=1, max_length=2000, description="`nextCursor` of the page before, as it is.")
]


def _printable(value: SecretStr) -> SecretStr:
    key = value.get_secret_value()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("must be printable ASCII without spaces, as SIM shows it")
    return value


ApiKey = Annotated[
    SecretStr,
    Field(strict=True, min_length=1, max_length=LONGEST_KEY, json_schema_extra={"pattern": "^[!-~]+$"}),
    AfterValidator(_printable),
]


class Asked(BaseModel):
    """Unknown fields are refused: a misspelt one must not be ignored."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=False,
        hide_input_in_errors=True,
    )


class Nothing(Asked):
    """A request without fields."""


class SetupRequest(Asked):
    """POST /setup. `base_url` falls back to the server's default SIM."""

    api_key: ApiKey = Field(
        description="The key, as SIM shows it: printable ASCII without spaces. Tried at SIM, stored sealed."
    )
    base_url: Annotated[str, Field(strict=True, min_length=1, max_length=2000)] | None = Field(
        default=None, description="The SIM instance; the server's default when absent."
    )
    enabled: Annotated[bool, Field(strict=True)] = Field(
        default=True, description="Whether calls are let through from now on."
    )
    organization_id: Annotated[Name, Field(strict=True)] | None = Field(
        default=None, description="The one organisation that it serves; the whole tenant when absent."
    )
    workspace_id: Annotated[Name, Field(strict=True)] | None = Field(
        default=None, description="The SIM workspace; found out when the key sees only one."
    )


class RestoreRequest(Asked):
    """POST /settings/revisions/{revision}/restore."""

    api_key: ApiKey | None = Field(
        default=None, description="The key again, when the stored one was typed for another base URL."
    )


class RevisionsQuery(Asked):
    """GET /settings/revisions."""

    limit: Whole = Field(default=20, ge=1, le=100, description="How many at most.")
    offset: Whole = Field(default=0, ge=0, le=2**53, description="How many to skip.")


class ExecuteRequest(Asked):
    """POST /workflows/{workflowId}/execute. `timeout` is in milliseconds and bounds a waiting call."""

    input: dict[str, Any] = Field(
        default_factory=dict, description="The workflow's input; its tool's input schema checks it."
    )
    timeout: Annotated[int, BeforeValidator(whole_number)] = Field(
        default=DEFAULT_TIMEOUT_MS,
        strict=True,
        ge=1000,
        le=300_000,
        description="Milliseconds that a waiting run may take. With `runAsync` it ends nothing.",
    )
    run_async: bool = Field(default=False, strict=True, description="Answer 202 at once and let it run.")


class ResumeRequest(Asked):
    """POST /executions/{id}/resume. `context_id` says which of several pauses is answered."""

    input: dict[str, Any] = Field(description="The answer, by the names of the form's fields.")
    context_id: Annotated[Name, Field(strict=True)] | None = Field(
        default=None, description="Which pause is answered; needed when there are several."
    )


class WorkflowsQuery(Asked):
    """GET /workflows."""

    search: Annotated[str, Field(max_length=LONGEST_ID)] | None = Field(
        default=None, description="Only workflows whose name contains this."
    )
    limit: Whole = Field(default=20, ge=1, le=100, description="How many at most.")
    cursor: Cursor | None = None


class ExecutionsQuery(Asked):
    """GET /executions. `since` and `until` are ISO 8601 with a time zone, about `createdAt`."""

    workflow_id: Name | None = Field(default=None, description="Only runs of this workflow.")
    status: Status | None = Field(default=None, description="Only executions in this status.")
    triggered_by: Trigger | None = Field(default=None, description="Only calls that came this way.")
    since: Moment | None = Field(default=None, description="Created at this moment or later.")
    until: Moment | None = Field(default=None, description="Created before this moment; not before `since`.")
    limit: Whole = Field(default=20, ge=1, le=100, description="How many at most.")
    offset: Whole = Field(
        default=0, ge=0, le=2**53, description="How many to leave out first. Excludes `cursor`."
    )
    cursor: Cursor | None = None

    @field_validator("until")
    @classmethod
    def _not_before_since(cls, until: datetime | None, info: ValidationInfo) -> datetime | None:
        since = info.data.get("since")
        if isinstance(since, datetime) and until is not None and until < since:
            raise ValueError("must not be earlier than `since`")
        return until
