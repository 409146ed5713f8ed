"""Our own judgement of values: the published one's verdicts, at a price that is counted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, validators

from sim_mcp.catalog.admission import flaws_in
from sim_mcp.catalog.applicators import judge_of
from sim_mcp.catalog.equality import is_same
from sim_mcp.catalog.patterns import judged
from sim_mcp.catalog.schema_form import form_of_schemas
from sim_mcp.catalog.schema_walk import circle_in, positions, target_of
from sim_mcp.catalog.size import TooDeep, json_bytes
from sim_mcp.catalog.work import MAX_STEPS, OutOfWork, Work
from sim_mcp.model.json import Json, JsonObject
from tests.catalog.samples import spec

NAMES = st.sampled_from(["a", "b", "ab", "x1", ""])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([1.0, 0.5, -0.0, 1e308, 10**20])
    | st.text("ab1 ", max_size=4)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
PATTERNS = st.sampled_from(["^a", "b$", "^[ab]+$", r"\d", "", "^x1$"])
TYPES = st.sampled_from(["string", "integer", "number", "boolean", "null", "array", "object"])
REFERENCES = st.sampled_from(["#", "#/$defs/a", "#/$defs/b", "#/properties/a"])
COUNTS = st.integers(0, 3)


def _fragments(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[dict[str, Json]]:
    named = st.dictionaries(NAMES, inner, max_size=3)
    forms = st.lists(inner, min_size=1, max_size=3)
    names = st.lists(NAMES, max_size=3, unique=True)
    rules: dict[str, st.SearchStrategy[Any]] = {
        "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
        "enum": st.lists(VALUES, max_size=4),
        "const": VALUES,
        **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), st.integers(-2, 2)),
        "multipleOf": st.sampled_from([1, 2, 0.5, 1.0, 3]),
        **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), COUNTS),
        **dict.fromkeys(("minProperties", "maxProperties", "minContains", "maxContains"), COUNTS),
        "pattern": PATTERNS,
        "uniqueItems": st.booleans(),
        "required": names,
        "dependentRequired": st.dictionaries(NAMES, names, max_size=2),
        **dict.fromkeys(("properties", "dependentSchemas", "$defs"), named),
        "patternProperties": st.dictionaries(PATTERNS, inner, max_size=2),
        **dict.fromkeys(("additionalProperties", "unevaluatedProperties", "unevaluatedItems"), inner),
        **dict.fromkeys(("propertyNames", "items", "contains", "not", "if", "then", "else"), inner),
        **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), forms),
        "$ref": REFERENCES,
        "format": st.just("date"),
    }
    return st.lists(st.sampled_from(sorted(rules)), max_size=4, unique=True).flatmap(
        lambda chosen: st.fixed_dictionaries({keyword: rules[keyword] for keyword in chosen})
    )


NO_RULES: dict[str, Json] = {}
SCHEMAS = st.recursive(st.booleans() | st.just(NO_RULES), _fragments, max_leaves=12)
ROOTS = st.fixed_dictionaries(
    {
        "$defs": st.fixed_dictionaries({"a": SCHEMAS, "b": SCHEMAS}),
        "properties": st.fixed_dictionaries({"a": SCHEMAS}),
    }
)


def _no_twins(validator: Any, rule: Json, value: Json, schema: Json) -> Any:
    """The published rule sorts before it compares, and so misses that `[1]`, `[true]`, `[1]` has a twin."""
    from jsonschema.exceptions import ValidationError

    del validator, schema
    items = value if isinstance(value, list) else []
    pairs = ((one, other) for index, one in enumerate(items) for other in items[:index])
    if rule is True and any(is_same(one, other, Work()) for one, other in pairs):
        yield ValidationError("twins")


_extend: Any = validators.extend  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # untyped there
Published: Any = _extend(Draft202012Validator, {"uniqueItems": _no_twins})


def _is_sound(schema: JsonObject) -> bool:
    """Whether it could be admitted: references lead to objects, and not in circles."""
    for position in positions(schema):
        reference = position.schema.get("$ref")
        if isinstance(reference, str) and target_of(reference, schema) is None:
            return False
    return circle_in(schema) is None


@pytest.mark.requirement("R34")
@given(root=ROOTS, extra=_fragments(SCHEMAS), value=VALUES)
@settings(max_examples=300)
def test_the_verdict_is_that_of_the_published_validator(
    root: dict[str, Json], extra: dict[str, Json], value: Json
) -> None:
    """Whatever the schema, and whatever the value."""
    schema = {**extra, **root}
    assume(_is_sound(schema))
    ours = judge_of(schema, Work()).keeps(value, schema)
    assert ours == Published(schema).is_valid(value)


A: dict[str, Json] = {"properties": {"a": {"type": "integer"}}, "prefixItems": [{"type": "integer"}]}
NEVER: dict[str, Json] = {**A, "not": {}}


@pytest.mark.parametrize(
    "looks",
    [
        *({keyword: [A]} for keyword in ("allOf", "anyOf", "oneOf")),
        *({keyword: [NEVER, {}]} for keyword in ("anyOf", "oneOf")),
        {"if": A},
        {"if": {"minProperties": 1, "minItems": 1}, "then": A, "else": {}},
        {"if": {"not": {}}, "then": A},
        {"if": {"not": {}}, "else": A},
        {"dependentSchemas": {"a": A}},
        {"dependentSchemas": {"b": A}},
        {"$ref": "#/$defs/a", "$defs": {"a": A}},
        {"not": {"not": A}},
        {"patternProperties": {"^a": {}}, "contains": {"const": 1}},
        {"additionalProperties": {"type": "integer"}, "items": {"type": "integer"}},
        {"allOf": [{"unevaluatedProperties": {"const": 1}, "unevaluatedItems": {"const": 1}}]},
        {"allOf": [{"anyOf": [{"$ref": "#/$defs/a"}]}], "$defs": {"a": A}},
        {},
    ],
)
@pytest.mark.parametrize(
    "value", [{}, {"a": 1}, {"b": 1}, {"a": 1, "b": 1}, {"a": ""}, [], [1], [1, 2], [""]]
)
def test_what_another_rule_has_looked_at_is_known(looks: dict[str, Json], value: Json) -> None:
    """`unevaluated…` sees through every way by which subschemas judge the same value."""
    schema: dict[str, Json] = {"unevaluatedProperties": False, "unevaluatedItems": False, **looks}
    assert judge_of(schema, Work()).keeps(value, schema) == Published(schema).is_valid(value)


@given(schema=_fragments(SCHEMAS) | st.dictionaries(st.sampled_from(["type", "items", "required"]), VALUES))
def test_a_schema_is_one_where_the_standard_says_so(schema: dict[str, Json]) -> None:
    """Our form of schemas and the standard's own judge alike."""
    form = form_of_schemas()
    published: Any = Draft202012Validator(Draft202012Validator.META_SCHEMA)
    assert judge_of(form, Work()).keeps(schema, form) == published.is_valid(schema)


@given(value=st.dictionaries(NAMES, VALUES | st.text(max_size=5) | st.floats(), max_size=4))
def test_the_size_is_that_of_the_text(value: dict[str, Json]) -> None:
    """Exactly, or there is none."""
    try:
        expected = len(json.dumps(value, ensure_ascii=False, allow_nan=False).encode())
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            json_bytes(value, Work(), depth_at_most=64)
    else:
        assert json_bytes(value, Work(), depth_at_most=64) == expected


def test_depth_is_counted_like_brackets() -> None:
    """The arguments themselves are the first level."""
    assert json_bytes({"a": [[]]}, Work(), depth_at_most=3) == 11
    with pytest.raises(TooDeep):
        json_bytes({"a": [[]]}, Work(), depth_at_most=2)


def spent(schema: JsonObject, value: Json) -> int:
    """The steps of judging `value` by `schema`; `MAX_STEPS` when they do not suffice."""
    work = Work()
    try:
        judge_of(schema, work).keeps(value, schema)
    except OutOfWork:
        return MAX_STEPS
    return work.spent


MAIL = r"^[^@\s]+@[^@\s]+\.[^@\s]+$"


@pytest.mark.requirement("R60")
@pytest.mark.parametrize(
    ("schema", "little", "much", "factor"),
    [
        pytest.param({"pattern": MAIL}, "a" * 30, "a" * 300, 500, id="pattern, by the cube"),
        pytest.param({"not": {"pattern": MAIL}}, "a" * 30, "a" * 300, 500, id="pattern under not"),
        pytest.param({"pattern": "^a*$"}, "a" * 10_000, "a" * 100_000, 9, id="pattern, by the length"),
        pytest.param(
            {"patternProperties": {"^a*$": {}}, "additionalProperties": False},
            {"a" * 10_000: 1},
            {"a" * 100_000: 1},
            9,
            id="names",
        ),
        pytest.param(
            {"propertyNames": {"pattern": "^a*$"}},
            {"a" * 10_000: 1},
            {"a" * 100_000: 1},
            9,
            id="propertyNames",
        ),
        pytest.param({"uniqueItems": True}, [*range(100)], [*range(1000)], 9, id="twins, by the count"),
        pytest.param({"uniqueItems": True}, ["a" * 10_000], ["a" * 1_000_000], 60, id="twins, by the text"),
        pytest.param({"items": {"enum": [*range(50)]}}, [49] * 10, [49] * 100, 9, id="enum"),
        pytest.param({"const": [*range(99)]}, [1], [*range(99)], 8, id="const"),
        pytest.param({"anyOf": [{"items": False}] * 9}, [], [1], 1, id="anyOf"),
        pytest.param({"contains": {"const": 1}}, [2] * 10, [2] * 100, 9, id="contains"),
        pytest.param({"unevaluatedItems": {"type": "null"}}, [None] * 10, [None] * 100, 9, id="unevaluated"),
        pytest.param({"items": {"minimum": 1}}, [2] * 10, [2] * 100, 8, id="items"),
    ],
)
def test_work_grows_with_the_value_and_is_paid_for(
    schema: dict[str, Json], little: Json, much: Json, factor: int
) -> None:
    """Each hole through which time could leak has its price: counted, never measured."""
    assert spent(schema, little) * factor <= spent(schema, much) <= MAX_STEPS
    assert spent(schema, much) < spent(schema, little) * factor * 100


@pytest.mark.requirement("R60")
def test_a_pattern_costs_what_its_text_costs() -> None:
    """No trial is dearer than the most that the loop may have to wait for."""
    for pattern in (MAIL, "^a*$", "a*b*c*", "^(?:,?[a-z])*!", "[a-z]{900}x", "^a$"):
        found = judged(pattern)
        assert found.price(found.limit) <= 100_000
        assert found.price(1) <= found.price(10) <= found.price(found.limit)


def flaw(**properties: Json) -> str:
    """The one thing that is wrong with a schema of these properties."""
    (only,) = flaws_in(spec(input_schema={"type": "object", "properties": dict(properties)}))
    assert not only.is_warning
    return str(only)


@pytest.mark.requirement("R60")
def test_a_schema_that_no_call_could_pay_for_says_which_rule_is_too_dear() -> None:
    """When it is written, not when it is called."""
    doubling: dict[str, Json] = {
        f"a{number}": {"allOf": [{"$ref": f"#/properties/a{number + 1}"}] * 2} for number in range(30)
    }
    assert flaw(**doubling, a30={}).endswith(
        "steps to check one value, more than 5000, most of them for `allOf`; name fewer forms, values or "
        "patterns there"
    )
    assert "$.properties.a takes" in flaw(a={"enum": [[number] for number in range(4000)]})
    assert "most of them for `enum`" in flaw(a={"enum": [[number] for number in range(4000)]})
    assert "`patternProperties`" in flaw(a={"patternProperties": {f"{n}a*b*": {} for n in range(3000)}})
    assert "$.properties.a.not takes" in flaw(a={"not": {"anyOf": [{"const": n} for n in range(2500)]}})


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param("^(?:[^a]*\u4e2d)+$", id="a separator that the loop reads too"),
        pytest.param("^(?:[^kK\xe5\xc5\xdf]*\u4e2d)+$", id="a separator that a set leaves in"),
        pytest.param(
            "".join("(?:" * 60) + "a" + "".join(f")?{chr(98 + n % 24)}" for n in range(60)), id="nested"
        ),
        pytest.param("(?i)" + r"[\u0100-\U0010ffff]" * 30, id="wide ranges, case ignored"),
        pytest.param("^(?:(?:a{100}){100}){1000}b", id="counted rounds"),
        pytest.param("(?m)^a*a*a*a*a*b", id="not anchored after all"),
    ],
)
def test_a_pattern_that_deceives_its_judge_is_refused(pattern: str) -> None:
    """By what it could take, or by what judging it would take."""
    assert "has a pattern that" in flaw(a={"type": "string", "pattern": pattern})


def test_references_lead_to_what_has_been_judged() -> None:
    """A schema hidden where no keyword looks is not one."""
    hidden = {
        "type": "object",
        "x-hidden": {"pattern": "^(a+)+$"},
        "properties": {"a": {"$ref": "#/x-hidden"}},
    }
    (only,) = flaws_in(spec(input_schema=hidden))
    assert "refers to '#/x-hidden', which is not there" in str(only)


def test_a_schema_full_of_slips_is_not_told_in_full() -> None:
    """Twenty are enough to see the pattern."""
    slips: dict[str, Json] = {f"a{number}": {"$ref": "http://elsewhere"} for number in range(500)}
    found = flaws_in(spec(input_schema={"type": "object", "properties": slips}))
    assert len(found) == 20


def test_a_schema_that_is_all_patterns_is_refused() -> None:
    """Each is cheap to judge; all of them would be judged at each start."""
    pattern = "(?:" + "|".join(f"{chr(97 + n % 26)}[a-{chr(98 + n % 24)}]" for n in range(80)) + ")"
    many: dict[str, Json] = {
        f"a{number}": {"type": "string", "pattern": f"^{number}{pattern}"} for number in range(90)
    }
    assert "one pattern more than can be judged" in flaw(**many)
