"""Pages: nothing lost, nothing too large, and every fault of a selection is named."""

from __future__ import annotations

from textwrap import wrap
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as some
from inline_snapshot import snapshot

from sim_mcp.model.errors import InvalidInput
from sim_mcp.model.json import Json, is_array, is_object
from sim_mcp.model.pointers import at_pointer, below
from sim_mcp.transports import paging
from sim_mcp.transports.addresses import PAGE_TEMPLATE, fields_of, page_uri
from sim_mcp.transports.cutting import compact
from sim_mcp.transports.paging import PAGE_CHARACTERS, OutputPage, Selection, page_of, selection_in

pytestmark = pytest.mark.requirement("F13")

names = some.text(max_size=12) | some.sampled_from(["", "/", "~", "~1", "a/b", "%", "…", "0", "-"])
leaves = (
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | some.text(max_size=300)
)
values = some.recursive(
    leaves,
    lambda inner: some.lists(inner, max_size=12) | some.dictionaries(names, inner, max_size=8),
    max_leaves=40,
)


def whole(output: Json, path: str, limit: int, longest: int = PAGE_CHARACTERS) -> Json:
    """What is at `path`, put together from its pages."""
    pages: list[OutputPage] = []
    following: Selection | None = Selection(path=path, limit=limit)
    while following is not None:
        pages.append(page_of(output, following, longest=longest))
        following = pages[-1].following
    first = pages[0].value
    if isinstance(first, str):
        return "".join(cast("str", page.value) for page in pages)
    cuts = [each.path for page in pages for each in page.cuts]
    assert None not in cuts
    if is_object(first):
        fields: dict[str, Json] = {}
        for page in pages:
            fields |= cast("dict[str, Json]", page.value)
        return {
            name: whole(output, below(path, name), limit, longest) if below(path, name) in cuts else value
            for name, value in fields.items()
        }
    if is_array(first):
        items = [item for page in pages for item in cast("list[Json]", page.value)]
        return [
            whole(output, below(path, at), limit, longest) if below(path, at) in cuts else item
            for at, item in enumerate(items)
        ]
    return first


@given(output=values, limit=some.integers(1, 20) | some.just(paging.MOST_MEMBERS))
def test_all_pages_together_are_the_output(output: Json, limit: int) -> None:
    """For any JSON and any limit."""
    assert whole(output, "", limit) == output


@given(output=values, limit=some.integers(1, 20), longest=some.integers(20, 600))
def test_small_pages_lose_nothing_either(output: Json, limit: int, longest: int) -> None:
    """Members larger than a page have pages of their own."""
    assert whole(output, "", limit, longest) == output


@pytest.mark.parametrize(
    "output",
    [
        ["x" * 59_000] * 5,
        {f"name {at}": ["y" * 1_000] * 20 for at in range(50)},
        "\x00" * 200_000,
        "é" * 200_000,
        [["z" * 100] * 2_000, {"deep": {"deeper": "w" * 300_000}}, 1],
        [list(range(15_000))] * 12,
    ],
    ids=["texts", "fields", "escaped", "accents", "deep", "oversize"],
)
def test_a_page_is_bounded_and_large_members_are_counted(output: Json) -> None:
    """Its JSON stays within the bound; a cut member tells its size and where it is read."""
    following: Selection | None = Selection()
    while following is not None:
        page = page_of(output, following)
        assert len(compact(page.value)) <= PAGE_CHARACTERS + 2
        for each in page.cuts:
            assert each.path is not None
            assert len(compact(at_pointer(output, each.path)).encode()) == each.size_bytes
        following = page.following
    assert whole(output, "", paging.MOST_MEMBERS) == output


def test_a_member_with_an_endless_name_is_shown_short_and_read_in_the_whole_resource() -> None:
    """A name is no value: it cannot be paged, and may not make a page endless."""
    output: Json = {"n" * 40_000: 1, "n" * 40_000 + "!": 2, "short": 3}
    page = page_of(output, Selection())
    assert [(each.path, each.size_bytes) for each in page.cuts] == [(None, 1), (None, 1)]
    assert isinstance(page.value, dict)
    assert (len(page.value), page.value["short"], page.total) == (3, 3, 3)
    assert len(compact(page.value)) < 1_000


@given(path=some.text(max_size=60), offset=some.integers(0, 10**9 - 1), limit=some.integers(1, 100_000))
def test_an_address_names_the_selection_it_was_made_from(path: str, offset: int, limit: int) -> None:
    """Whatever the names are, by our own addresses and by a client that expands the template."""
    from mcp.shared.uri_template import UriTemplate

    ours = page_uri("e-1", path=path, offset=offset, limit=limit)
    given_in = {"execution_id": "e-1", "path": path, "offset": str(offset), "limit": str(limit)}
    expanded = UriTemplate.parse(PAGE_TEMPLATE).expand(given_in)
    for uri in (ours, expanded):
        found = selection_in(fields_of(uri.partition("?")[2]))
        assert found == Selection(path=path, offset=offset, limit=limit)


OUTPUT: Json = {"rows": [1, 2, 3], "a/b": {"~": "text"}, "empty": [], "": {"": 5}, "flag": True}


@pytest.mark.parametrize(
    ("query", "expected"),
    cast(
        "list[tuple[str, tuple[str, int, Json]]]",
        [
            ("path=", ("object", 5, OUTPUT)),
            ("offset=4", ("object", 5, {"flag": True})),
            ("path=/rows&offset=1&limit=1", ("array", 3, [2])),
            ("path=%2Frows&offset=3", ("array", 3, [])),
            ("path=/a~1b/~0&offset=1&limit=2", ("string", 4, "ex")),
            ("path=/a%7E1b", ("object", 1, {"~": "text"})),
            ("path=/empty", ("array", 0, [])),
            ("path=//", ("number", 1, 5)),
            ("path=/flag", ("boolean", 1, True)),
            ("path=/rows/2", ("number", 1, 3)),
        ],
    ),
)
def test_a_selection_is_what_it_says(query: str, expected: tuple[str, int, Json]) -> None:
    """Pointers with escapes, empty names, ends, scalars."""
    page = page_of(OUTPUT, selection_in(fields_of(query)))
    assert (page.type, page.total, page.value) == expected


def test_every_fault_of_a_selection_is_named() -> None:
    """One sentence each: what is wrong, and what would be right."""
    faults: list[tuple[str, str]] = []
    for query in (
        "",
        "path=rows",
        "path=/rowz",
        "path=/rows/3",
        "path=/rows/-",
        "path=/rows/01",
        "path=/empty/0",
        "path=/flag/x",
        "path=/a~2b",
        "path=/%zz",
        "path=/%ff",
        "path=/a#b",
        "path=/" + "x" * 2_000,
        "path=/rows&path=/rows",
        "path=/rows&offset=-1",
        "path=/rows&offset=4",
        "path=/flag&offset=1",
        "offset=9999999999",
        "offset=ten",
        "offset=",
        "offset=1.0",
        "offset=%D9%A1",
        "limit=0",
        "limit=100001",
        "cursor=abc",
        "file=/rows&path=/rows",
    ):
        with pytest.raises(InvalidInput) as refused:
            page_of(OUTPUT, selection_in(fields_of(query)))
        faults += [(query[:24], line) for line in wrap(refused.value.message, 80)]
    assert faults == snapshot(
        [
            ("", "The address may not have '' there. Known are path, offset and limit for a page,"),
            ("", "or file alone."),
            ("path=rows", "path must be empty (the whole output) or begin with '/', as in '/rows/0'."),
            ("path=/rowz", "path leads nowhere: the output has the fields 'rows', 'a/b', 'empty', '',"),
            ("path=/rowz", "'flag', and no 'rowz'."),
            ("path=/rows/3", "path leads nowhere: what is at '/rows' is an array with items 0 to 2, and no"),
            ("path=/rows/3", "'3'."),
            ("path=/rows/-", "path leads nowhere: what is at '/rows' is an array with items 0 to 2, and no"),
            ("path=/rows/-", "'-'."),
            ("path=/rows/01", "path leads nowhere: what is at '/rows' is an array with items 0 to 2, and no"),
            ("path=/rows/01", "'01'."),
            (
                "path=/empty/0",
                "path leads nowhere: what is at '/empty' is an array with no items, and no '0'.",
            ),
            ("path=/flag/x", "path leads nowhere: what is at '/flag' is a boolean, and no 'x'."),
            ("path=/a~2b", "path must write '~' in a name as '~0' and '/' as '~1'."),
            ("path=/%zz", "The value of 'path' is not percent-encoded UTF-8 ('%' is %25, '#' is %23)."),
            ("path=/%ff", "The value of 'path' is not percent-encoded UTF-8 ('%' is %25, '#' is %23)."),
            ("path=/a#b", "The value of 'path' is not percent-encoded UTF-8 ('%' is %25, '#' is %23)."),
            (
                "path=/xxxxxxxxxxxxxxxxxx",
                "path may have at most 2000 characters; select something further up.",
            ),
            ("path=/rows&path=/rows", "The address has 'path' twice. Give it once."),
            ("path=/rows&offset=-1", "offset must be a whole number from 0 to 999999999."),
            ("path=/rows&offset=4", "offset is beyond the end: there are 3 items."),
            ("path=/flag&offset=1", "offset must be 0 here: what is there is a boolean."),
            ("offset=9999999999", "offset must be a whole number from 0 to 999999999."),
            ("offset=ten", "offset must be a whole number from 0 to 999999999."),
            ("offset=", "offset must be a whole number from 0 to 999999999."),
            ("offset=1.0", "offset must be a whole number from 0 to 999999999."),
            ("offset=%D9%A1", "offset must be a whole number from 0 to 999999999."),
            ("limit=0", "limit must be a whole number from 1 to 100000."),
            ("limit=100001", "limit must be a whole number from 1 to 100000."),
            ("cursor=abc", "The address may not have 'cursor' there. Known are path, offset and limit for a"),
            ("cursor=abc", "page, or file alone."),
            (
                "file=/rows&path=/rows",
                "The address may not have 'file' there. Known are path, offset and limit for a",
            ),
            ("file=/rows&path=/rows", "page, or file alone."),
        ]
    )


@given(some.text(max_size=80))
def test_any_query_is_a_selection_or_a_refusal(query: str) -> None:
    """Nothing else comes out."""
    try:
        page: Any = page_of(OUTPUT, selection_in(fields_of(query)))
    except InvalidInput:
        return
    assert page.value is not None
