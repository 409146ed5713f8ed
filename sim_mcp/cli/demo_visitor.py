"""Somebody who uses the demo's server through the official MCP client, and remembers what it heard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sim_mcp.model.json import Json, is_array, is_object

if TYPE_CHECKING:
    from mcp.client import Client
    from mcp.shared.dispatcher import ProgressFnT


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a tool answered: its structured content, its text, and whether it was marked as an error."""

    content: Mapping[str, Any]
    text: str
    is_error: bool

    def __getitem__(self, name: str) -> Any:
        """One member of the structured content; `None` when it is not there."""
        return self.content.get(name)

    @property
    def status(self) -> str:
        """The execution's status."""
        return str(self["status"])

    @property
    def error(self) -> Mapping[str, Any]:
        """The error, empty when there is none."""
        return self["error"] or {}

    @property
    def rows(self) -> list[Mapping[str, Any]]:
        """The rows of a page."""
        return list(self["data"] or [])

    @property
    def fields_asked_for(self) -> list[str]:
        """The names of the form's fields, when the run waits for a person."""
        return _names_in(self["pauses"] or self["pause"] or self["form"] or [])


async def _ignore(progress: float, total: float | None, message: str | None) -> None:
    """Listen to progress, and do nothing about it."""


class Visitor:
    """One person of one tenant. `seen` holds the executions it was told about, with their last status."""

    def __init__(self, name: str, client: Client) -> None:
        self.name = name
        self.client = client
        self.seen: dict[str, str] = {}

    async def tools(self) -> list[str]:
        """The names of all tools on offer."""
        return [tool.name for tool in (await self.client.list_tools()).tools]

    async def call(
        self, tool: str, arguments: Mapping[str, Any], *, on_progress: ProgressFnT | None = _ignore
    ) -> Answer:
        """Call `tool`. Who listens to progress is kept; with `None` the server's patience ends the wait.

        Raises:
            MCPError: the server refuses the request itself, as for an unknown tool.
        """
        result = await self.client.call_tool(tool, dict(arguments), progress_callback=on_progress)
        texts = [text for block in result.content if isinstance(text := getattr(block, "text", None), str)]
        answer = Answer(
            content=result.structured_content or {}, text=" ".join(texts), is_error=bool(result.is_error)
        )
        if answer["execution_id"] is not None and answer["status"] is not None:
            self.seen[answer["execution_id"]] = answer.status
        return answer

    async def refusal_of(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """What the visitor hears when `tool` is refused, in either way; empty when it was not."""
        from mcp import MCPError

        try:
            answer = await self.call(tool, arguments)
        except MCPError as error:
            return f"{error.code} {error.message}"
        return answer.text if answer.is_error else ""


def _names_in(form: Json) -> list[str]:
    """Every field name in a form, however deep."""
    if is_array(form):
        return [name for value in form for name in _names_in(value)]
    if not is_object(form):
        return []
    fields = form.get("fields")
    if is_array(fields):
        return [str(each["name"]) for each in fields if is_object(each) and "name" in each]
    return [name for value in form.values() for name in _names_in(value)]
