"""What speaks against a tool that may be listed: words that do not help, schemas that some clients refuse.

Only `tools lint` says so; a warning holds nothing back.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sim_mcp.catalog.inputs import properties_of
from sim_mcp.catalog.problem import Flaw
from sim_mcp.catalog.schema_walk import positions
from sim_mcp.catalog.text import shortened
from sim_mcp.model.json import is_object

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sim_mcp.catalog.spec import ToolSpec
    from sim_mcp.model.json import JsonObject

FEWEST_WORDS = 4
_STAND_IN = re.compile(r"Runs the workflow '.*'\.")
_PROPERTY_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_BEYOND_STRICT = (
    "oneOf",
    "allOf",
    "not",
    "if",
    "patternProperties",
    "dependentSchemas",
    "unevaluatedProperties",
)
"""Keywords outside of the subset that clients with strict tool calling take."""


def lint(spec: ToolSpec) -> tuple[Flaw, ...]:
    """Warnings about `spec`, which is sound."""
    found = [*_words(spec)]
    if spec.input_schema is None:
        found.append(_warning("input_schema", "is absent, so every argument is accepted; import it from SIM"))
    else:
        found.extend(_schema(spec.input_schema))
    return tuple(found)


def _words(spec: ToolSpec) -> Iterator[Flaw]:
    words = spec.description.split()
    plain = spec.description.strip(" .").casefold()
    if _STAND_IN.fullmatch(spec.description):
        yield _warning(
            "description", "only names the workflow; say what it does, for what, with which effects"
        )
    elif plain in {spec.name.casefold(), spec.name.replace("_", " ").casefold(), spec.title.casefold()}:
        yield _warning("description", "only repeats the name; say what it does, for what, with which effects")
    elif len(words) < FEWEST_WORDS:
        yield _warning("description", f"has {len(words)} words, too few for a model to choose by")


def _schema(schema: JsonObject) -> Iterator[Flaw]:
    field = "input_schema"
    if schema.get("additionalProperties") is not False:
        yield _warning(field, "lacks `additionalProperties: false`; a misspelt argument gets lost")
    for name, each in properties_of(schema).items():
        shown = repr(shortened(name))
        if not _PROPERTY_NAME.fullmatch(name):
            yield _warning(field, f"has the input {shown}; some clients take only A-Z, a-z, 0-9 and _ . -")
        described = is_object(each) and ("description" in each or "enum" in each or "const" in each)
        if not described:
            yield _warning(field, f"does not describe the input {shown}")
    used = {word for position in positions(schema) for word in _BEYOND_STRICT if word in position.schema}
    for word in sorted(used):
        yield _warning(field, f"uses `{word}`, which clients with strict tool calls refuse")


def _warning(field: str, message: str) -> Flaw:
    return Flaw(field=field, message=message, is_warning=True)
