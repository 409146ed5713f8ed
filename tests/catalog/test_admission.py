"""What keeps a tool from being listed, and why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from sim_mcp.catalog.admission import flaws_in
from sim_mcp.catalog.patterns import RiskyPattern, judged
from sim_mcp.model.json import Json
from tests.catalog.samples import spec


def flaws(**properties: Json) -> list[str]:
    """What is wrong with a schema that has these properties."""
    return [
        str(flaw) for flaw in flaws_in(spec(input_schema={"type": "object", "properties": dict(properties)}))
    ]


NO_OBJECT = "input_schema: must have `type: object` at its root; clients refuse a list with any other"


def nested(depth: int) -> Json:
    schema: Json = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (
            {},
            [NO_OBJECT],
        ),
        (
            {"type": ["object"]},
            [NO_OBJECT],
        ),
        (
            {"type": "object", "oneOf": [], "allOf": []},
            snapshot(
                [
                    (
                        "input_schema: must not have `oneOf` at its root; "
                        "say it in a property or in the description"
                    ),
                    (
                        "input_schema: must not have `allOf` at its root; "
                        "say it in a property or in the description"
                    ),
                    "input_schema: is no valid JSON Schema: $.allOf must have at least 1 items; got array",
                ]
            ),
        ),
        (
            {"type": "object", "$schema": "http://json-schema.org/draft-07/schema#"},
            snapshot(
                [
                    (
                        "input_schema: must be JSON Schema 2020-12; remove `$schema` or write "
                        "'https://json-schema.org/draft/2020-12/schema'"
                    )
                ]
            ),
        ),
        (
            {"type": "object", "properties": {"a\u200b": {}}},
            snapshot(["input_schema: $.properties contains invisible characters; remove them"]),
        ),
        (
            {"type": "object", "$id": "https://example.com/a"},
            snapshot(["input_schema: $ has `$id`; only `$ref` to `#/$defs/…` is understood"]),
        ),
        (
            {"type": "object", "required": ["x" * 70_000]},
            snapshot(["input_schema: has 70036 bytes, more than 65536; shorten it"]),
        ),
        (nested(20), snapshot(["input_schema: is nested deeper than 32 levels; flatten it"])),
        (nested(15), snapshot([])),
        (
            {"type": "object", "$schema": "https://json-schema.org/draft/2020-12/schema", "minProperties": 1},
            snapshot([]),
        ),
    ],
)
def test_a_schema_that_some_client_would_choke_on_is_held_back(
    schema: dict[str, Json], expected: list[str]
) -> None:
    """With a reason for the operator; what every client takes has none."""
    assert [str(flaw) for flaw in flaws_in(spec(input_schema=schema))] == expected
    output = [
        str(flaw).replace("output_schema", "input_schema") for flaw in flaws_in(spec(output_schema=schema))
    ]
    assert output == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("https://example.com/a.json", "outside itself, which is never fetched; copy it into `$defs`"),
        ("file:///etc/passwd", "outside itself"),
        ("other.json#/a", "outside itself"),
        ("#/$defs/absent", "which is not there; add it to `$defs`"),
        ("#/properties/list/prefixItems/7", "which is not there"),
        ("#anchor", "which is not there"),
    ],
)
def test_references_lead_nowhere_but_into_the_schema(name: str, expected: str) -> None:
    """Nothing is ever fetched, and nothing is left dangling."""
    (flaw,) = flaws(a={"$ref": name}, list={"prefixItems": [{}]})
    assert expected in flaw


def test_local_references_are_followed() -> None:
    """With escapes, through lists, and round in circles as long as each round goes into the value."""
    assert (
        flaws(
            a={"$ref": "#/properties/odd~1name~0"},
            b={"$ref": "#/properties/list/prefixItems/0"},
            tree={"type": "object", "properties": {"child": {"$ref": "#/properties/tree"}}},
            list={"type": "array", "prefixItems": [{"type": "string"}, True]},
            whole={"$ref": "#"},
            anything=True,
            **{"odd/name~": {"type": "string"}},
        )
        == []
    )


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/properties/a"},
        {"anyOf": [{"type": "string"}, {"$ref": "#/properties/a"}]},
        {"not": {"$ref": "#/properties/a"}},
        {"dependentSchemas": {"x": {"$ref": "#/properties/a"}}},
    ],
)
def test_a_schema_that_judges_one_value_for_ever_is_refused(schema: Json) -> None:
    """It would never end."""
    assert "would never end" in flaws(a=schema)[0]


def test_an_endless_chain_of_references_is_refused() -> None:
    """A thousand links would exhaust the stack at the first call."""
    links: dict[str, Json] = {f"a{number}": {"$ref": f"#/properties/a{number + 1}"} for number in range(999)}
    assert "would never end" in flaws(**links, a999={"type": "string"})[0]


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"a": {"type": "string", "x-mcp-header": "Region"}}, []),
        ({"a": {"properties": {"b": {"type": "integer", "x-mcp-header": "Region"}}}}, []),
        ({"a": {"type": "object", "x-mcp-header": "Region"}}, ["is only for string"]),
        ({"a": {"type": "array", "items": {"type": "string", "x-mcp-header": "R"}}}, ["is only for string"]),
        ({"a": {"type": "string", "x-mcp-header": "Two words"}}, ["must be a header name"]),
        ({"a": {"type": "string", "x-mcp-header": ["R"]}}, ["must be a header name"]),
        (
            {"a": {"type": "string", "x-mcp-header": "R"}, "b": {"type": "string", "x-mcp-header": "r"}},
            ["another property has already"],
        ),
        ({"x-mcp-header": {"type": "string"}}, []),
    ],
)
def test_only_plain_properties_may_become_http_headers(
    properties: dict[str, Json], expected: list[str]
) -> None:
    """The protocol's rule for `x-mcp-header`; a property that is merely called so is none of it."""
    found = flaws(**properties)
    assert len(found) == len(expected)
    assert all(part in flaw for part, flaw in zip(expected, found, strict=True))


def test_an_array_without_items_is_a_warning_only() -> None:
    """Some clients refuse it, most do not: the tool is listed, and the operator told."""
    (flaw,) = flaws_in(
        spec(
            input_schema={
                "type": "object",
                "properties": {"a": {"type": "array"}, "b": {"type": ["array"], "items": {}}},
            }
        )
    )
    assert flaw.is_warning
    assert str(flaw) == snapshot(
        "input_schema: $.properties.a is an array without `items`; some clients refuse such a tool, "
        "so say what it holds"
    )


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string", "pattern": "("}, "is no regular expression"),
        ({"type": "string", "pattern": "^(a+)+$"}, "can take for ever"),
        ({"type": "object", "patternProperties": {"^(a+)+$": {}}}, "can take for ever"),
    ],
)
def test_patterns_are_judged_before_they_are_tried(schema: Json, expected: str) -> None:
    """Wherever a pattern may stand."""
    assert expected in flaws(a=schema)[0]


@pytest.mark.parametrize(
    "pattern",
    [
        *(r"^(a+)+$", r"^(a*)*$", r"(.*)*", r"^([a-zA-Z]+)*$", r"(x+x+)+y", r"^(a*a*)*$", r"(.*,){11}P"),
        *(r"^(\w+\s?)*$", r"^(\d+,?)+$", r"^((a?a?)b)*$", r"^(a*a*b)*$", r"^(a?a?){100}$"),
        *("a?" * 30 + "a" * 30, r"(?i)^(a+|A+)+$", r"^(a|aa)+$", r"(\w)\1", r"^(a)?(?(1)b|c)$", "("),
        *("a" * 1001, "a*b*c*d*e*f*g*", r"^(?:(?=a+)a)+$", r"(?>a+b?)+", r"^(?:a|[^b])*$"),
        r"^(?:a?a?a?a?a?){3}.*.*.*$",
    ],
)  # fmt: skip
def test_a_pattern_that_could_take_for_ever_is_refused(pattern: str) -> None:
    """One tenant's regular expression must not stop the process for all."""
    with pytest.raises(RiskyPattern):
        judged(pattern)


@pytest.mark.parametrize(
    ("pattern", "at_least"),
    [
        ("", 100_000),
        (r"^\d{4}-\d{2}-\d{2}$", 100_000),
        (r"^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$", 100_000),
        (r"^([01]\d|2[0-3]):[0-5]\d$", 100_000),
        (r"^\+?[1-9]\d{1,14}$", 10_000),
        (r"^(foo|bar|baz)$", 10_000),
        (r"^https?://.+$", 100_000),
        (r"\S", 100_000),
        (r"^[^@\s]+@[^@\s]+\.[^@\s]+$", 250),
        (r"^[a-z0-9]+(?:-[a-z0-9]+)*$", 250),
        (r"^([a-z]+\.)+[a-z]{2,}$", 250),
        (r"^(?:(?:25[0-5]|2[0-4]\d|[01]?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|[01]?\d?\d)$", 250),
        (r"^(?=.*\d)(?=.*[a-z]).{8,}$", 250),
        (r"(?:a|b|[^A-Za-z])+", 900),
        (r"^\w\D\W\s\S[^\d]$", 100_000),
        (r"^(,?\d)+$", 100_000),
        (r"^(?:a{2}|b+c|(?:de|gh)f|\bg)$", 10_000),
    ],
)
def test_everyday_patterns_are_taken(pattern: str, at_least: int) -> None:
    """Dates, ids, times, telephone numbers, addresses: on texts as long as they need."""
    assert judged(pattern).limit >= at_least


@given(
    schema=st.recursive(
        st.none() | st.booleans() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "type",
                        "properties",
                        "items",
                        "$ref",
                        "anyOf",
                        "not",
                        "pattern",
                        "$defs",
                        "x-mcp-header",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
    )
)
def test_whatever_stands_in_a_schema_is_judged_without_an_exception(schema: Json) -> None:
    """Specs come from people and from other systems."""
    found = flaws(a=schema)
    assert all(flaw.startswith("input_schema: ") for flaw in found)
