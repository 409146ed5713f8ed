"""What REST requests may carry: camelCase, nothing unknown, every bound spelt out."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, SecretStr
from pydantic.alias_generators import to_camel

from sim_mcp.model.execution import Status, Trigger

DEFAULT_TIMEOUT_MS = 30_000
LONGEST_KEY = 4096
LONGEST_ID = 255

Name = Annotated[str, Field(min_length=1, max_length=LONGEST_ID)]


def _printable(value: SecretStr) -> SecretStr:
    key = value.get_secret_value()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("must be printable ASCII without spaces, as SIM shows it")
    return value


ApiKey = Annotated[
    SecretStr, Field(strict=True, min_length=1, max_length=LONGEST_KEY), AfterValidator(_printable)
]


class _Asked(BaseModel):
    """Unknown fields are refused: a misspelt one must not be ignored."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=False,
        hide_input_in_errors=True,
    )


class Nothing(_Asked):
    """A request without fields."""


class SetupRequest(_Asked):
    """POST /setup. `base_url` falls back to the server's default SIM."""

    api_key: ApiKey
    base_url: Annotated[str, Field(strict=True, min_length=1, max_length=2000)] | None = None
    enabled: Annotated[bool, Field(strict=True)] = True
    organization_id: Annotated[Name, Field(strict=True)] | None = None


class RestoreRequest(_Asked):
    """POST /settings/revisions/{revision}/restore. `api_key` when the stored one is for another base URL."""

    api_key: ApiKey | None = None


class RevisionsQuery(_Asked):
    """GET /settings/revisions."""

    limit: int = Field(default=20, ge=1, le=100)
    offset: int = Field(default=0, ge=0, le=2**53)


class ExecuteRequest(_Asked):
    """POST /workflows/{workflowId}/execute. `timeout` is in milliseconds and bounds a waiting call."""

    input: dict[str, Any] = Field(default_factory=dict)
    timeout: int = Field(default=DEFAULT_TIMEOUT_MS, strict=True, ge=1000, le=300_000)
    run_async: bool = Field(default=False, strict=True)


class ResumeRequest(_Asked):
    """POST /executions/{id}/resume. `context_id` says which of several pauses is answered."""

    input: dict[str, Any]
    context_id: Annotated[Name, Field(strict=True)] | None = None


class WorkflowsQuery(_Asked):
    """GET /workflows."""

    search: Annotated[str, Field(max_length=LONGEST_ID)] | None = None
    limit: int = Field(default=20, ge=1, le=100)
    cursor: Annotated[str, Field(min_length=1, max_length=2000)] | None = None


class ExecutionsQuery(_Asked):
    """GET /executions. `since` and `until` are ISO 8601 with a time zone, about `createdAt`."""

    workflow_id: Name | None = None
    status: Status | None = None
    triggered_by: Trigger | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    limit: int = Field(default=20, ge=1, le=100)
    offset: int = Field(default=0, ge=0, le=2**53)
    cursor: Annotated[str, Field(min_length=1, max_length=2000)] | None = None
