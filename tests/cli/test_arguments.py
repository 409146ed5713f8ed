"""Arguments from the command line: the schema says what `--arg` means."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_mcp.cli.arguments import arguments_from
from sim_mcp.cli.exits import Misuse
from sim_mcp.model.json import Json, JsonObject

SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "count": {"type": "integer"},
        "share": {"type": "number"},
        "flag": {"type": "boolean"},
        "tags": {"type": "array"},
        "meta": {"type": "object"},
        "maybe": {"type": ["number", "null"]},
        "free": {},
    },
}


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("name=7", "7"),
        ("name=", ""),
        ("name=a=b", "a=b"),
        ("count=7", 7),
        ("share=0.5", 0.5),
        ("share=2", 2),
        ("flag=false", False),
        ('tags=["a"]', ["a"]),
        ('meta={"k": 1}', {"k": 1}),
        ("maybe=null", None),
        ("free=7", 7),
        ("free=null", None),
        ("free=word", "word"),
        ("unknown=word", "word"),
    ],
)
def test_a_value_gets_the_type_that_the_schema_names(pair: str, value: Json) -> None:
    """A text stays a text however it looks; all else is read as JSON."""
    assert arguments_from([pair], None, SCHEMA) == {pair.partition("=")[0]: value}


@pytest.mark.parametrize(
    "pair",
    [
        "count=x",
        "count=1.5",
        "count=true",
        "flag=1",
        "tags={}",
        "meta=[]",
        "share=NaN",
        "maybe=word",
        "x",
        "=1",
    ],
)
def test_a_value_of_another_type_is_wrong_use(pair: str) -> None:
    """It is told before anything is sent, and the value is not repeated."""
    with pytest.raises(Misuse) as caught:
        arguments_from([pair], None, SCHEMA)
    assert "word" not in caught.value.message


@given(st.dictionaries(st.text(min_size=1), st.none() | st.booleans() | st.integers() | st.text()))
def test_an_input_object_arrives_as_it_is(value: dict[str, Json]) -> None:
    """`--input` is the whole of the arguments."""
    assert arguments_from([], json.dumps(value), SCHEMA) == value


def test_input_comes_from_a_file_or_from_stdin_and_pairs_go_on_top(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`@file` and `-`; a pair overrides the member of its name."""
    file = tmp_path / "input.json"
    file.write_text('{"name": "a", "count": 1}', encoding="utf-8")
    assert arguments_from(["count=2"], f"@{file}", SCHEMA) == {"name": "a", "count": 2}
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"name": "b"}'))
    assert arguments_from([], "-", SCHEMA) == {"name": "b"}


@pytest.mark.parametrize("source", ["[1]", "no json", "null", "@nowhere.json", '{"a": NaN}'])
def test_input_that_is_no_object_is_wrong_use(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a remedy, as ever."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Misuse):
        arguments_from([], source, SCHEMA)


def test_input_that_is_not_utf_8_is_wrong_use(tmp_path: Path) -> None:
    """A file from another world."""
    file = tmp_path / "input.json"
    file.write_bytes(b'{"name": "\xff"}')
    with pytest.raises(Misuse):
        arguments_from([], f"@{file}", SCHEMA)
