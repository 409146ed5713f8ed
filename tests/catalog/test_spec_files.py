"""Reading and writing spec files: one broken part never hides the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from sim_mcp.catalog import ToolSpec, read_specs, write_specs
from sim_mcp.catalog.yaml_text import TextFault, dump_yaml, load_yaml
from sim_mcp.model.json import Json, is_array, is_object
from tests.catalog.samples import ACME, GLOBEX, entry, spec


def write(directory: Path, name: str, text: str) -> None:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def names(directory: Path, tenant: str = "acme") -> list[str]:
    return [each.name for each in read_specs(directory).tools.get(ACME if tenant == "acme" else GLOBEX, ())]


def problems(directory: Path) -> list[str]:
    return [str(problem) for problem in read_specs(directory).problems]


def test_yaml_and_json_and_several_documents_and_folders_are_read(tmp_path: Path) -> None:
    """One document for a tenant or for a tool, in any file, in any folder but `examples`."""
    write(tmp_path, "a.yaml", dump_yaml({"tenant": "acme", "tools": [entry("one")]}))
    write(
        tmp_path,
        "b.yml",
        f"---\n{dump_yaml({'tenant': 'acme', **entry('two')})}---\n\n---\n{{tenant: globex, tools: []}}\n",
    )
    write(
        tmp_path,
        "c.json",
        "\ufeff" + json.dumps({"$schema": "x", "tenant": "globex", "tools": [entry("three")]}),
    )
    write(tmp_path, "deep/er/d.yaml", dump_yaml({"tenant": "acme", **entry("four")}))
    ignored = "tenant: acme\nbroken: ["
    for name in (
        "tool-spec.schema.json",
        "admin-tools.json",
        "x.lock.json",
        ".hidden.yaml",
        ".git/a.yaml",
        "examples/a.yaml",
        "notes.md",
    ):
        write(tmp_path, name, ignored)
    assert problems(tmp_path) == []
    assert (names(tmp_path), names(tmp_path, "globex")) == (["four", "one", "two"], ["three"])
    assert problems(tmp_path / "examples") != []
    assert read_specs(tmp_path / "nowhere").tools == {}


BROKEN: dict[str, dict[str, Json]] = {
    "no description": {"name": "bad", "workflow_id": "w"},
    "a key too many": entry("bad", input_shema={}),
    "a wrong type": entry("bad", timeout_s="soon"),
    "a list as schema": entry("bad", input_schema={"type": "array"}),
    "a combinator": entry("bad", input_schema={"type": "object", "anyOf": [{"required": ["a"]}]}),
    "no schema at all": entry("bad", input_schema={"type": "object", "properties": {"a": {"type": "text"}}}),
    "a foreign reference": entry(
        "bad", input_schema={"type": "object", "properties": {"a": {"$ref": "https://example.com/a.json"}}}
    ),
    "an output that is no object": entry("bad", output_schema={"type": "array"}),
}


@pytest.mark.parametrize("how", list(BROKEN))
def test_one_broken_tool_of_fifty_leaves_forty_nine(tmp_path: Path, how: str) -> None:
    """In eight ways of being broken, the others are listed and the reason is told."""
    tools: list[Json] = [entry(f"tool{number:02}") for number in range(49)]
    tools.insert(25, BROKEN[how])
    write(tmp_path, "acme.yaml", dump_yaml({"tenant": "acme", "tools": tools}))
    specs = read_specs(tmp_path)
    assert len(specs.of(ACME)) == 49
    assert {(each.tool_name, each.source, each.tenant_id) for each in specs.problems} == {
        ("bad", "acme.yaml", ACME)
    }
    assert all(problem.message for problem in specs.problems)


LEFT_OUT = ". Its remaining tools are left out."
NO_TENANT = ", tenant: must name a tenant, as in `tenant: acme` (1 to 128 of letters, digits and _ . : @ -)."
BROKEN_FILES = {
    "tenant: [": f": line 1: expected the node content, but found '<stream end>'{LEFT_OUT}",
    "tenant: acme\ntenant: b": f": line 2: the key 'tenant' is there twice; remove one{LEFT_OUT}",
    "- a\n- b": ": must be a mapping with `tenant` and `tools`.",
    "tools: []": NO_TENANT,
    "tenant: 5\ntools: []": NO_TENANT,
    "tenant: a b\ntools: []": NO_TENANT,
    "tenant: globex\ntools: {}": ", tools: must be a list, each entry beginning with `- name:`.",
    "tenant: globex\ntools: [5]": ": A tool must be a mapping of keys.",
    "tenant: globex\ntools: []\nmode: sync": (
        ": has keys beside `tenant` and `tools`: 'mode'. Move them into a tool, or remove them."
    ),
    "a: !!python/object:os.system x": (
        ": line 1: the tag 'tag:yaml.org,2002:python/object:os.system' means nothing in JSON; remove it"
        f"{LEFT_OUT}"
    ),
    "5: a": f": line 1: a key must be text; put it in quotes{LEFT_OUT}",
    "a: &a [*a]": f": is nested too deep{LEFT_OUT}",
    "[" * 700: f": is nested too deep{LEFT_OUT}",
    "a: \x01": f": is no valid YAML: it contains characters that YAML does not allow{LEFT_OUT}",
    "x" * 1_048_577: f": is larger than 1048576 bytes; split it{LEFT_OUT}",
}


@pytest.mark.parametrize("text", list(BROKEN_FILES), ids=range(len(BROKEN_FILES)))
def test_a_broken_file_is_named_and_the_others_stay(tmp_path: Path, text: str) -> None:
    """Where, why, and what to do; the sound file beside it is served."""
    write(tmp_path, "a.yaml", dump_yaml({"tenant": "acme", **entry("one")}))
    write(tmp_path, "b.yaml", text)
    assert names(tmp_path) == ["one"]
    assert problems(tmp_path) == [f"b.yaml{BROKEN_FILES[text]}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"tenant": "acme", "tenant": "globex"}', "twice"),
        ('{"tenant": NaN}', "NaN is no JSON"),
        ('{"tenant": }', "line 1: Expecting value"),
        ("[" * 100_000, "nested too deep"),
        ("9" * 5000, "too many digits"),
    ],
)
def test_a_broken_json_file_is_named_too(tmp_path: Path, text: str, expected: str) -> None:
    """Duplicate keys and NaN are no JSON, although Python would take them."""
    write(tmp_path, "b.json", text)
    assert expected in problems(tmp_path)[0]


def test_files_that_are_no_text_or_cannot_be_read_are_problems(tmp_path: Path) -> None:
    """Neither ends the reading."""
    (tmp_path / "latin.yaml").write_bytes(b"tenant: \xe9")
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    write(tmp_path, "z.yaml", dump_yaml({"tenant": "acme", **entry("one")}))
    assert problems(tmp_path) == [
        "latin.yaml: is not UTF-8; save it as UTF-8. Its remaining tools are left out."
    ]
    assert names(tmp_path) == ["one"]


def test_a_file_that_may_not_be_read_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rights are for the operator to mend; reading goes on."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    write(tmp_path, "a.yaml", "tenant: acme")
    monkeypatch.setattr(Path, "open", refuse)
    assert problems(tmp_path) == ["a.yaml: cannot be read (Permission denied); check the file."]


def test_documents_before_a_broken_one_are_kept(tmp_path: Path) -> None:
    """The first document of a file does not suffer from the second."""
    write(tmp_path, "a.yaml", f"{dump_yaml({'tenant': 'acme', **entry('one')})}---\ntenant: [\n")
    assert names(tmp_path) == ["one"]
    assert len(problems(tmp_path)) == 1


def test_a_billion_laughs_are_refused(tmp_path: Path) -> None:
    """References that stand for more than a spec could ever hold."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    write(tmp_path, "a.yaml", "\n".join(lines))
    assert "stands for more than 200000 values" in problems(tmp_path)[0]


def test_of_two_files_with_one_name_the_first_counts(tmp_path: Path) -> None:
    """The other is held back and told of; the other tenant's tool of that name is not concerned."""
    write(tmp_path, "a.yaml", dump_yaml({"tenant": "acme", "tools": [entry("same"), entry("one")]}))
    write(tmp_path, "b.yaml", dump_yaml({"tenant": "acme", **entry("same")}))
    write(tmp_path, "c.yaml", dump_yaml({"tenant": "globex", **entry("same")}))
    assert (names(tmp_path), names(tmp_path, "globex")) == (["one", "same"], ["same"])
    assert problems(tmp_path) == snapshot(
        [
            (
                "b.yaml, tool 'same', name: is defined 2 times ('a.yaml', 'b.yaml'): "
                "the first counts; rename the others."
            )
        ]
    )


def test_plain_words_mean_what_they_say() -> None:
    """`no` is a word, a date is a text, `12:30` is a time: YAML 1.1's surprises are left out."""
    meanings = {
        "no": "no",
        "on": "on",
        "2026-01-01": "2026-01-01",
        "12:30": "12:30",
        "0x10": "0x10",
        "1_000": "1_000",
        "1e3": 1000.0,
        ".5": 0.5,
        "-5": -5,
        "True": True,
        "~": None,
    }
    text = "".join(f"- {written}\n" for written in meanings)
    assert list(load_yaml(text)) == [list(meanings.values())]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(value=JSON.filter(lambda value: value is not None))
def test_what_is_written_is_read_back_as_it_was(value: Json) -> None:
    """Any JSON value, any text in it: also `no`, `1e3`, `~` and dates."""
    assert list(load_yaml(dump_yaml(value))) == [value]


@given(title=st.text(max_size=50), default=JSON, timeout_s=st.floats(1, 300))
def test_exported_specs_are_imported_unchanged(title: str, default: Json, timeout_s: float) -> None:
    """`tools export` and `tools apply` are each other's inverse."""
    original = spec(
        title=title,
        timeout_s=timeout_s,
        input_schema={"type": "object", "properties": {"a": {"default": default}}},
    )
    (document,) = load_yaml(write_specs("acme", [original, spec("other")]))
    assert is_object(document)
    tools = document["tools"]
    assert is_array(tools)
    read = [ToolSpec.from_json(each) for each in tools if is_object(each)]
    assert read == [spec("other"), original]


def test_an_export_is_short_and_stable() -> None:
    """Sorted by name, defaults left out, completion switched on."""
    assert write_specs("acme", [spec("b", title="yes"), spec("a", timeout_s=5)]) == snapshot(
        """\
# yaml-language-server: $schema=./tool-spec.schema.json
tenant: acme
tools:
- name: a
  workflow_id: workflow-a
  description: Makes the a.
  timeout_s: 5.0
- name: b
  workflow_id: workflow-b
  title: 'yes'
  description: Makes the b.
"""
    )


def test_faults_of_yaml_are_faults_of_the_text() -> None:
    """Callers know one exception."""
    with pytest.raises(TextFault):
        list(load_yaml("a: b: c"))
