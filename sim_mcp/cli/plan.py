"""What `tools apply` would change: the difference between an allow-list and the files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim_mcp.cli.printing import safe
from sim_mcp.model.json import Json, JsonObject

if TYPE_CHECKING:
    from sim_mcp.catalog import ToolSpec

LONGEST = 70


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Names of tools, each list sorted; `changed` names the fields that differ, before and after."""

    added: tuple[str, ...]
    changed: Mapping[str, Mapping[str, tuple[Json, Json]]]
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
        """One line per tool: `+` added, `~` changed, `-` removed; then each field of a change."""
        changed = [
            line
            for name, fields in self.changed.items()
            for line in (
                f"~ {name} ({', '.join(fields)})",
                *(f"    {field}: {_brief(was)} -> {_brief(now)}" for field, (was, now) in fields.items()),
            )
        ]
        return (*(f"+ {name}" for name in self.added), *changed, *(f"- {name}" for name in self.removed))

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


def _differing(before: JsonObject, after: JsonObject) -> dict[str, tuple[Json, Json]]:
    keys = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    return {key: (before.get(key), after.get(key)) for key in keys}


def _brief(value: Json) -> str:
    """`value` on one line, short enough to be compared with another."""
    text = "absent" if value is None else json.dumps(value, ensure_ascii=False)
    return safe(text if len(text) <= LONGEST else f"{text[:LONGEST]}…")
