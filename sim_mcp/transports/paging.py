"""Pages of an output: a part chosen by a JSON pointer, of bounded size, and nothing lost between pages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim_mcp.model.errors import InvalidInput
from sim_mcp.model.json import Json, JsonObject, is_array, is_object
from sim_mcp.model.pointers import LONGEST_POINTER, at_pointer, below, kind_of, wrong
from sim_mcp.transports.addresses import execution_uri, page_uri
from sim_mcp.transports.cutting import compact, cut, size_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sim_mcp.model.execution import Execution

PAGE_CHARACTERS = 60_000
"""The longest `value` of a page as compact JSON: clients cut at 150,000 characters, some at 25,000 tokens."""
MOST_MEMBERS = 100_000
"""The highest `limit`, and the default one: how many members a page has is bounded by its size anyway."""
MOST_OFFSET = 999_999_999
LONGEST_NAME = 1_000
_STAND_IN_BYTES = 2_000
_NUMBER = re.compile("[0-9]{1,9}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A part of an output: `limit` members at most (items, fields or characters) after `offset` of them."""

    path: str = ""
    offset: int = 0
    limit: int = MOST_MEMBERS

    def __post_init__(self) -> None:
        """Check the bounds.

        Raises:
            InvalidInput: `offset` or `limit` is out of bounds.
        """
        if not 0 <= self.offset <= MOST_OFFSET:
            raise wrong("offset", f"must be a whole number from 0 to {MOST_OFFSET}")
        if not 1 <= self.limit <= MOST_MEMBERS:
            raise wrong("limit", f"must be a whole number from 1 to {MOST_MEMBERS}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A member that is larger than a page. `path` is where it is paged by itself, if it has such a place."""

    path: str | None
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPage:
    """One page. `total` counts the members of what is at `selection.path`; a scalar has one."""

    selection: Selection
    type: str
    total: int
    value: Json
    taken: int
    cuts: Sequence[Cut] = ()

    @property
    def following(self) -> Selection | None:
        """The next page; `None` at the end."""
        at = self.selection.offset + self.taken
        if at >= self.total:
            return None
        return Selection(path=self.selection.path, offset=at, limit=self.selection.limit)


def selection_in(fields: Mapping[str, str]) -> Selection:
    """The selection that an address names in its query.

    Raises:
        InvalidInput: A field is unknown, or a number is none.
    """
    unknown = next((name for name in fields if name not in {"path", "offset", "limit"}), None)
    if unknown is not None:
        known = "path, offset and limit for a page, or file alone"
        raise InvalidInput(f"The address may not have {unknown[:40]!r} there. Known are {known}.")
    limit = _number_in(fields, "limit", MOST_MEMBERS)
    return Selection(path=fields.get("path", ""), offset=_number_in(fields, "offset", 0), limit=limit)


def page_of(output: Json, selection: Selection, *, longest: int = PAGE_CHARACTERS) -> OutputPage:
    """The page of `output` that `selection` asks for.

    It holds as many members as fit into `longest` characters of JSON, at least one. A member that is larger
    than a whole page is shown as a cut (`cutting.cut`) and listed in `cuts`: it has pages of its own, at its
    own path.

    Raises:
        InvalidInput: Nothing is at the path, or the offset is beyond the end.
    """
    value = at_pointer(output, selection.path)
    total = members_in(value)
    if selection.offset > (total or 0):
        if total is None:
            raise wrong("offset", f"must be 0 here: what is there is a {kind_of(value)}")
        raise wrong("offset", f"is beyond the end: there are {total} {_members_of(value)}")
    if isinstance(value, str):
        text = _fitting(value[selection.offset : selection.offset + selection.limit], longest)
        return OutputPage(selection=selection, type="string", total=len(value), value=text, taken=len(text))
    if is_array(value) or is_object(value):
        return _page_of_members(value, selection, longest)
    return OutputPage(selection=selection, type=kind_of(value), total=1, value=value, taken=1)


def members_in(value: Json) -> int | None:
    """How many items, fields or characters `value` has; `None` for a scalar."""
    return len(value) if is_array(value) or is_object(value) or isinstance(value, str) else None


def page_of_row(row: Execution, selection: Selection) -> OutputPage:
    """The page of the output of `row`: `page_of`, and an execution without output says why there is none."""
    if row.output is None and selection.path:
        yet = "" if row.status.is_final else " yet"
        raise wrong("path", f"leads nowhere: the execution is {row.status.value} and has no output{yet}")
    return page_of(row.output, selection)


def page_json(row: Execution, page: OutputPage) -> dict[str, Json]:
    """A page as clients read it; `next` and each cut carry the address where to go on."""
    return {
        "execution_id": row.id,
        "status": row.status.value,
        **placed_json(row, page),
        "value": page.value,
    }


def placed_json(row: Execution, page: OutputPage) -> dict[str, Json]:
    """Where a page stands in the output, without its value."""
    following = page.following
    return {
        "path": page.selection.path,
        "type": page.type,
        "total": page.total,
        "offset": page.selection.offset,
        "limit": page.selection.limit,
        "next": None if following is None else uri_of(row, following),
        "truncated": [
            {
                "path": each.path,
                "size_bytes": each.size_bytes,
                "uri": execution_uri(row.id) if each.path is None else page_uri(row.id, path=each.path),
            }
            for each in page.cuts
        ],
    }


def uri_of(row: Execution, selection: Selection) -> str:
    """The address of a page; the default limit is left out."""
    limit = None if selection.limit == MOST_MEMBERS else selection.limit
    return page_uri(row.id, path=selection.path, offset=selection.offset, limit=limit)


def heaviest(output: Json, *, weight: int) -> str:
    """Where paging begins best: the array, text or object that is most of `output`, which has `weight`.

    Weights are characters of JSON.
    """
    pointer, value = "", output
    while is_object(value) and value:
        weights = {name: len(compact(member)) for name, member in value.items()}
        name = max(weights, key=weights.__getitem__)
        deeper = below(pointer, name)
        if members_in(value[name]) is None or 2 * weights[name] < weight or len(deeper) > LONGEST_POINTER:
            break
        pointer, value, weight = deeper, value[name], weights[name]
    return pointer


def _page_of_members(value: list[Json] | JsonObject, selection: Selection, longest: int) -> OutputPage:
    start, end = selection.offset, selection.offset + selection.limit
    members: list[tuple[str | int, Json]]
    if is_object(value):
        members = [(key, value[key]) for key in list(value)[start:end]]
    elif is_array(value):
        members = list(enumerate(value[start:end], start))
    else:
        members = []
    items: list[Json] = []
    fields: dict[str, Json] = {}
    cuts: list[Cut] = []
    used = taken = 0
    for key, member in members:
        name, shown, cost, cutting = _shown(selection.path, key, member, longest)
        if taken and used + cost > longest:
            break
        used, taken = used + cost, taken + 1
        if cutting is not None:
            cuts.append(cutting)
        while name != key and is_object(value) and (name in value or name in fields):
            name = f"{name}…"
        items.append(shown)
        fields[str(name)] = shown
    is_fields = is_object(value)
    return OutputPage(
        selection=selection,
        type="object" if is_fields else "array",
        total=len(value),
        value=fields if is_fields else items,
        taken=taken,
        cuts=cuts,
    )


def _shown(path: str, key: str | int, member: Json, longest: int) -> tuple[str | int, Json, int, Cut | None]:
    """How a page shows a member, and its cost in characters; cut when it, or its name, is too large."""
    name_cost = len(key) + 4 if isinstance(key, str) else 1
    has_name = name_cost <= LONGEST_NAME + 4
    text = compact(member)
    if has_name and len(text) <= longest:
        return key, member, len(text) + name_cost, None
    pointer = below(path, key) if has_name else ""
    name = key if has_name else f"{str(key)[:100]}… ({len(str(key))} characters)"
    whole_bytes = size_bytes(text)
    is_paged = has_name and len(pointer) <= LONGEST_POINTER
    cutting = Cut(path=pointer if is_paged else None, size_bytes=whole_bytes)
    stand_in = cut(member, whole_bytes=whole_bytes, limit_bytes=_STAND_IN_BYTES)
    return name, stand_in, len(compact(stand_in)) + 2 * len(pointer) + 200, cutting


def _fitting(text: str, longest: int) -> str:
    """The beginning of `text`, nearly the longest one, that fits `longest` characters once it is JSON."""
    text = text[:longest]
    while len(text) > 1 and (written := len(compact(text))) > longest:
        text = text[: max(1, min(len(text) - 1, len(text) * longest // written))]
    return text


def _number_in(fields: Mapping[str, str], name: str, default: int) -> int:
    """A number as it is written; one that is no whole number is out of every bound."""
    written = fields.get(name)
    if written is None:
        return default
    return int(written) if _NUMBER.fullmatch(written) else -1


def _members_of(value: Json) -> str:
    if isinstance(value, str):
        return "characters"
    return "items" if is_array(value) else "fields"
