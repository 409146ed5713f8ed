"""Checking arguments: every fault repairable, no value told, no check endless."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from sim_mcp.catalog import Catalog
from sim_mcp.model.errors import InvalidInput, PayloadTooLarge
from sim_mcp.model.json import Json
from sim_mcp.model.tool import WorkflowTool
from tests.catalog.samples import ACME, tool

EMPTY = Catalog.build(ACME)
PROPERTIES: dict[str, Json] = {
    "employee": {"type": "string", "minLength": 2, "maxLength": 5, "pattern": "^[a-z]+$"},
    "hours": {"type": "integer", "minimum": 0, "maximum": 24, "multipleOf": 2},
    "rate": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 9},
    "billable": {"type": "boolean"},
    "tags": {
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
        "maxItems": 2,
        "uniqueItems": True,
    },
    "kind": {"enum": ["full", "short"]},
    "fixed": {"const": 7},
    "when": {"anyOf": [{"type": "string"}, {"type": "number"}]},
    "one": {"oneOf": [{"type": "number"}, {"minimum": 1}]},
    "meta": {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 2,
        "properties": {"a": {"type": "null"}},
        "required": ["a", "b"],
    },
    "named": {"type": "object", "propertyNames": {"maxLength": 3}, "patternProperties": {"^x": {}}},
    "closed": {"type": "object", "additionalProperties": False},
    "picky": {"type": "object", "patternProperties": {"^x": {}}, "additionalProperties": False},
    "free": {"type": "object", "unevaluatedProperties": False},
    "never": False,
    "not": {"not": {"type": "string"}},
    "propertyNames": {"type": "string"},
    "dep": {"type": "object", "dependentRequired": {"a": ["b"]}},
}
SCHEMA: dict[str, Json] = {"type": "object", "properties": PROPERTIES, "additionalProperties": False}


def faults(arguments: dict[str, Json], subject: WorkflowTool | None = None) -> list[str]:
    """What is wrong with `arguments`, one line each."""
    with pytest.raises(InvalidInput) as refusal:
        EMPTY.check(subject or tool(SCHEMA), arguments)
    return [f"{fault.path} {fault.message}" for fault in refusal.value.faults]


@pytest.mark.requirement("R34")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            {"hours": "8"},
            snapshot(
                [
                    (
                        "$.hours must be integer, not string; send the JSON value itself, without quotes "
                        "around it"
                    )
                ]
            ),
        ),
        (
            {"hours": 2.5},
            snapshot(
                [
                    "$.hours must be integer, not number; round it",
                    "$.hours must be a multiple of 2; got number",
                ]
            ),
        ),
        ({"hours": True}, snapshot(["$.hours must be integer, not boolean"])),
        ({"employee": 5}, snapshot(["$.employee must be string, not integer; put it in quotes"])),
        ({"employee": None}, snapshot(["$.employee must be string, not null; put it in quotes"])),
        (
            {"employee": "X"},
            snapshot(
                [
                    "$.employee must have at least 2 characters; got string",
                    '$.employee must match the pattern "^[a-z]+$"; got string',
                ]
            ),
        ),
        ({"employee": "toolong"}, snapshot(["$.employee must have at most 5 characters; got string"])),
        ({"hours": -2}, snapshot(["$.hours must be at least 0; got integer"])),
        ({"hours": 26}, snapshot(["$.hours must be at most 24; got integer"])),
        ({"rate": 0}, snapshot(["$.rate must be more than 0; got integer"])),
        ({"rate": 9.0}, snapshot(["$.rate must be less than 9; got number"])),
        ({"tags": "a"}, snapshot(["$.tags must be array, not string; put it in a list"])),
        ({"tags": []}, snapshot(["$.tags must have at least 1 items; got array"])),
        ({"tags": ["a", "a"]}, snapshot(["$.tags must not contain an item twice"])),
        ({"tags": ["a", 1]}, snapshot(["$.tags[1] must be string, not integer; put it in quotes"])),
        ({"kind": "fulll"}, snapshot(['$.kind must be one of "full", "short"; got another string'])),
        ({"fixed": 8}, snapshot(["$.fixed must be 7; got integer"])),
        (
            {"when": []},
            snapshot(["$.when fits none of the 2 allowed forms (of type number or string); got array"]),
        ),
        (
            {"one": 5},
            snapshot(["$.one fits more than one of the 2 allowed forms (of type number); got integer"]),
        ),
        (
            {"meta": {}},
            snapshot(
                [
                    "$.meta must have at least 1 properties; got object",
                    "$.meta lacks the required properties 'a', 'b'",
                ]
            ),
        ),
        ({"meta": {"a": 1, "b": 1}}, snapshot(["$.meta.a must be null, not integer"])),
        (
            {"named": {"long": 1}},
            snapshot(["$.named has a property whose name is not allowed; see the tool's input schema"]),
        ),
        ({"closed": {"a": 1}}, snapshot(["$.closed has the unknown property 'a'; none is allowed here"])),
        (
            {"picky": {"x1": 1, "y": 1}},
            snapshot(["$.picky has the unknown property 'y'; none is allowed here"]),
        ),
        (
            {"free": {"a": 1}},
            snapshot(["$.free holds something that the tool's input schema does not name; remove it"]),
        ),
        (
            {"never": 1},
            snapshot(["$.never holds something that the tool's input schema never allows; remove it"]),
        ),
        ({"not": "a"}, snapshot(["$.not breaks the rule `not` of the tool's input schema; got string"])),
        ({"propertyNames": 1}, snapshot(["$.propertyNames must be string, not integer; put it in quotes"])),
        (
            {"dep": {"a": 1}},
            snapshot(["$.dep breaks the rule `dependentRequired` of the tool's input schema; got object"]),
        ),
        ({"bilable": True}, snapshot(["$ has the unknown property 'bilable'; did you mean 'billable'?"])),
        ({"hours": [1]}, snapshot(["$.hours must be integer, not array"])),
    ],
)
def test_each_fault_names_the_place_the_rule_and_the_type(
    arguments: dict[str, Json], expected: list[str]
) -> None:
    """So that a model can repair its call at once."""
    assert faults(arguments) == expected


def test_all_missing_properties_are_named_at_once() -> None:
    """One round of repair is enough; nearest names are offered for misspelt ones."""
    subject = tool(
        {
            "type": "object",
            "required": ["from", "to"],
            "properties": {"from": {}, "to": {}},
            "additionalProperties": False,
        }
    )
    assert faults({}, subject) == ["$ lacks the required properties 'from', 'to'"]
    assert sorted(faults({"fron": 1, "to": 2}, subject)) == [
        "$ has the unknown property 'fron'; did you mean 'from'?",
        "$ lacks the required property 'from'",
    ]
    assert faults({"from": 1, "to": 2, "zzzzz": 3}, subject) == [
        "$ has the unknown property 'zzzzz'; known are 'from', 'to'"
    ]


def test_a_summary_of_all_faults_is_the_message() -> None:
    """Clients that show only the message show enough."""
    with pytest.raises(InvalidInput) as refusal:
        EMPTY.check(tool(SCHEMA), {"hours": "8", "kind": 1})
    assert refusal.value.message == snapshot(
        "The arguments of 'report' are not valid: $.hours must be integer, not string; send the JSON value "
        'itself, without quotes around it; $.kind must be one of "full", "short"; got another integer.'
    )


def test_odd_and_long_names_stay_readable() -> None:
    """Quoted where they are no plain words, cut where they are long."""
    subject = tool({"type": "object", "additionalProperties": {"type": "integer"}})
    assert faults({"two words": "x"}, subject)[0].startswith("$['two words'] must")
    assert len(faults({"a" * 10_000: "x"}, subject)[0]) < 200


def test_at_most_ten_faults_are_told() -> None:
    """A thousand would fill the model's context."""
    subject = tool({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}}}})
    assert len(faults({"a": list(range(1000))}, subject)) == 10


def test_right_arguments_come_back_untouched() -> None:
    """The same object: defaults are SIM's business."""
    subject = tool({"type": "object", "properties": {"a": {"type": "integer", "default": 5}}})
    arguments: dict[str, Json] = {"b": 1.0}
    assert EMPTY.check(subject, arguments) is arguments
    assert arguments == {"b": 1.0}


@pytest.mark.requirement("R60")
@given(
    secret=st.text(st.sampled_from("QXZJ"), min_size=12, max_size=40),
    where=st.sampled_from(sorted(PROPERTIES)),
    wrapped=st.sampled_from(["plain", "list", "object", "number", "twice"]),
)
def test_no_message_ever_contains_a_value(secret: str, where: str, wrapped: str) -> None:
    """Whatever is wrong with it: it may be a password that went into the wrong field."""
    value: Json = {
        "plain": secret,
        "list": [secret, 1],
        "object": {"a": secret},
        "number": int.from_bytes(secret.encode(), "big"),
        "twice": [[secret], [secret]],
    }[wrapped]
    try:
        EMPTY.check(tool(SCHEMA), {where: value})
    except InvalidInput as refusal:
        told = f"{refusal} {refusal.faults!r} {refusal.detail}"
        assert secret not in told
        assert str(value) not in told


def test_equal_items_are_equal_as_json_says() -> None:
    """1 and 1.0 are, also deep inside; 1 and true are not."""
    subject = tool(
        {"type": "object", "properties": {"a": {"type": "array", "items": {}, "uniqueItems": True}}}
    )
    assert faults({"a": [{"x": [1]}, {"x": [1.0]}]}, subject) == ["$.a must not contain an item twice"]
    EMPTY.check(subject, {"a": [1, True, "1", [1], {"1": 1}, None, 1.5]})


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), "\ud800", 10**5000], ids=["nan", "inf", "half", "long"]
)
def test_what_is_no_json_is_refused(value: Json) -> None:
    """SIM could not be sent it."""
    assert faults({"a": value}, tool({"type": "object"})) == [
        "$ must be JSON: no NaN, no infinity, no half of a surrogate pair"
    ]


def deep(levels: int) -> dict[str, Json]:
    value: dict[str, Json] = {"a": 1}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


@pytest.mark.requirement("R60")
def test_depth_and_size_are_bounded() -> None:
    """64 levels and 10 MB; far deeper does not exhaust the stack."""
    open_tool = tool({"type": "object"})
    EMPTY.check(open_tool, deep(64))
    for levels in (65, 50_000):
        with pytest.raises(PayloadTooLarge, match="deeper than 64"):
            EMPTY.check(open_tool, deep(levels))
    with pytest.raises(PayloadTooLarge, match="more than 10485760"):
        EMPTY.check(open_tool, {"a": "é" * 5_300_000})
    EMPTY.check(open_tool, {"a": "e" * 5_300_000})


REPEATED: dict[str, Json] = {
    f"a{number}": {"allOf": [{"$ref": f"#/$defs/a{number + 1}"}] * 2} for number in range(30)
}
EXPLOSIVE: dict[str, tuple[Json, dict[str, Json]]] = {
    "references": ({"$ref": "#/$defs/a0"}, {"a": 1}),
    "branches": ({"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}, deep(60)),
    "items": ({"type": "array", "uniqueItems": True}, {"a": [[number] for number in range(200_000)]}),
    "names": (
        {"type": "object", "patternProperties": {f"^{n}": {} for n in range(99)}},
        {"a": {str(n): n for n in range(6000)}},
    ),
}


@pytest.mark.requirement("R60")
@pytest.mark.parametrize("kind", list(EXPLOSIVE))
def test_no_schema_can_keep_the_others_waiting(kind: str) -> None:
    """Work that doubles with each level, or grows with the square, is cut off."""
    schema, arguments = EXPLOSIVE[kind]
    subject = tool({"type": "object", "properties": {"a": schema}, "$defs": {**REPEATED, "a30": {}}})
    with pytest.raises(PayloadTooLarge, match="too complex"):
        EMPTY.check(subject, arguments)


def test_a_long_text_is_not_tried_on_an_expensive_pattern() -> None:
    """The limit is told like any other; names of properties are bounded the same way."""
    mail = r"^[^@\s]+@[^@\s]+\.[^@\s]+$"
    subject = tool({"type": "object", "properties": {"a": {"type": "string", "pattern": mail}}})
    EMPTY.check(subject, {"a": "somebody@example.com"})
    too_long = "is or holds a text of more than 308 characters, too long for its pattern; shorten it"
    assert faults({"a": "x" * 309}, subject) == [f"$.a {too_long}"]
    named = tool({"type": "object", "patternProperties": {mail: {"type": "integer"}}})
    assert faults({"a@b.c": "x"}, named)[0].startswith("$['a@b.c'] must be integer")
    assert faults({"x" * 309: 1}, named) == [f"$ {too_long}"]


@pytest.mark.requirement("R34")
def test_a_number_beyond_any_float_is_refused_and_breaks_nothing() -> None:
    """`multipleOf` divides, and an integer of four hundred digits does not fit."""
    subject = tool({"type": "object", "properties": {"a": {"type": "number", "multipleOf": 0.5}}})
    with pytest.raises(PayloadTooLarge, match="too complex"):
        EMPTY.check(subject, {"a": 10**400})


def test_thousands_of_missing_names_are_told_from_thousands_of_others() -> None:
    """Each name is looked up, not searched for."""
    required: list[Json] = [f"r{number}" for number in range(3_000)]
    subject = tool({"type": "object", "required": required})
    assert len(faults({f"o{number}": 1 for number in range(20_000)}, subject)) == 1
