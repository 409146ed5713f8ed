"""What `tools apply` would change: the difference between an allow-list and the files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim_mcp.model.json import Json, JsonObject

if TYPE_CHECKING:
    from sim_mcp.catalog import ToolSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Names of tools, each list sorted; `changed` names the fields that differ."""

    added: tuple[str, ...]
    changed: Mapping[str, tuple[str, ...]]
    removed: tuple[str, ...]

    @classmethod
    def between(cls, current: Iterable[ToolSpec], wanted: Iterable[ToolSpec]) -> Plan:
        """What turns `current` into `wanted`."""
        before = {spec.name: spec.to_json() for spec in current}
        after = {spec.name: spec.to_json() for spec in wanted}
        changed = {
            name: _differing(before[name], after[name]) for name in sorted(before.keys() & after.keys())
        }
        return cls(
            added=tuple(sorted(after.keys() - before.keys())),
            changed={name: fields for name, fields in changed.items() if fields},
            removed=tuple(sorted(before.keys() - after.keys())),
        )

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.added or self.changed or self.removed)

    def lines(self) -> tuple[str, ...]:
        """One line per tool: `+` added, `~` changed (with its fields), `-` removed."""
        return (
            *(f"+ {name}" for name in self.added),
            *(f"~ {name} ({', '.join(fields)})" for name, fields in self.changed.items()),
            *(f"- {name}" for name in self.removed),
        )

    def to_json(self) -> dict[str, Json]:
        """The plan as data."""
        return {
            "added": list(self.added),
            "changed": {name: list(fields) for name, fields in self.changed.items()},
            "removed": list(self.removed),
        }


def with_pinned_schemas(
    wanted: Iterable[ToolSpec], current: Iterable[ToolSpec]
) -> tuple[tuple[ToolSpec, ...], tuple[ToolSpec, ...]]:
    """`wanted`, where a spec without a schema keeps the one that is pinned already for its workflow.

    Second, those that are still without one: their schemas have to be asked for at SIM.
    """
    pinned = {(spec.name, spec.workflow_id): spec.input_schema for spec in current}
    complete: list[ToolSpec] = []
    open_: list[ToolSpec] = []
    for spec in wanted:
        known = pinned.get((spec.name, spec.workflow_id))
        if spec.input_schema is not None:
            complete.append(spec)
        elif known is not None:
            complete.append(spec.model_copy(update={"input_schema": known}))
        else:
            open_.append(spec)
    return tuple(complete), tuple(open_)


def _differing(before: JsonObject, after: JsonObject) -> tuple[str, ...]:
    return tuple(sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key)))
