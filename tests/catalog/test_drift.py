"""How a workflow's inputs have moved away from what a spec pins."""

from __future__ import annotations

import pytest
from inline_snapshot import snapshot

from sim_mcp.catalog import drift_between
from sim_mcp.model.json import Json


def schema(*, closed: bool = False, **types: Json) -> dict[str, Json]:
    properties: dict[str, Json] = {name: {"type": kind} if kind else {} for name, kind in types.items()}
    return {"type": "object", "properties": properties, **({"additionalProperties": False} if closed else {})}


@pytest.mark.parametrize(
    ("pinned", "actual", "expected"),
    [
        (schema(a="string"), schema(a="string"), snapshot(())),
        (
            schema(a="string", b="string"),
            schema(a="string"),
            snapshot(("The workflow has no input 'b' any more; the spec still offers it.",)),
        ),
        (
            schema(a="string"),
            schema(a="string", b="string"),
            snapshot(("The workflow has a new input 'b'; the spec does not offer it.",)),
        ),
        (
            schema(a="string"),
            schema(a="number"),
            snapshot(("The input 'a' is number in the workflow and string in the spec.",)),
        ),
        (schema(a="integer"), schema(a="number"), snapshot(())),
        (schema(a=["string", "null"]), schema(a="string"), snapshot(())),
        (schema(a=None), schema(a="object"), snapshot(())),
        (schema(a="string"), schema(a=None), snapshot(())),
        ({"type": "object"}, schema(a="string"), snapshot(())),
        (
            schema(closed=True),
            schema(a="string"),
            snapshot(("The workflow has a new input 'a'; the spec does not offer it.",)),
        ),
        ({"type": "object", "properties": {"a": True}}, schema(a="string"), snapshot(())),
    ],
)
def test_drift_is_told_in_sentences(
    pinned: dict[str, Json], actual: dict[str, Json], expected: tuple[str, ...]
) -> None:
    """Inputs gone, new, and of another type; a stricter or better described spec is no drift."""
    assert drift_between(pinned, actual) == expected
