"""Bytes from outside: bounded, mended, and never believed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sim_mcp.sim.parsing import MAX_DEPTH, moment_of, parse_json, retry_after_s
from sim_mcp.sim.stream import DataLines

NOW = datetime(2026, 8, 21, 10, 0, tzinfo=UTC)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_json_comes_back_as_it_was_sent(value: Any) -> None:
    """The bounds do not change what is within them, escaped or not."""
    for is_ascii in (True, False):
        sent = json.dumps(value, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")
        assert parse_json(sent) == value


@pytest.mark.parametrize("depth", [MAX_DEPTH, MAX_DEPTH + 1, 5_000, 200_000])
def test_deep_nesting_is_refused_at_the_bound(depth: int) -> None:
    """A value just within the bound passes; one deeper, or deep enough to end the stack, does not."""
    raw = b'{"a":' * depth + b"1" + b"}" * depth
    if depth <= MAX_DEPTH:
        assert parse_json(raw)
    else:
        with pytest.raises(ValueError, match="deep"):
            parse_json(raw)


def test_brackets_in_texts_are_no_nesting() -> None:
    """Only real nesting counts, however many brackets a text quotes."""
    text = '[{"' * 500 + "\\"
    assert parse_json(json.dumps([text, {"a": text}]).encode()) == [text, {"a": text}]


@pytest.mark.parametrize("raw", [b"", b"NaN", b'{"a":Infinity}', b"\xff", b'{"a":', b"<html>", b"[1]]"])
def test_what_is_no_json_is_refused(raw: bytes) -> None:
    """Numbers that JSON does not know are refused like any other garbage."""
    with pytest.raises(ValueError):  # noqa: PT011  # any of them: the caller says the rest
        parse_json(raw)


def test_half_a_surrogate_pair_is_mended() -> None:
    """SIM cuts previews in the middle of a character; such a half could never be stored."""
    assert parse_json(rb'{"k\ud83d":["a\ud83d","\ud83d\ude00"]}') == {"k\ufffd": ["a\ufffd", "\U0001f600"]}


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [
        (None, None),
        ("5", 5.0),
        (" 40 ", 40.0),
        ("0", 0.0),
        ("-3", 0.0),
        ("999999", 3600.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0.0),
        ("soon", None),
        ("1.5", None),
        ("", None),
        ("Fri, 99 Nov 2026 00:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, expected_s: float | None) -> None:
    """Whole seconds and HTTP dates count, clipped to an hour; everything else is as if it were missing."""
    assert retry_after_s(text, now=NOW) == expected_s


@given(st.text())
@example("Wed, 21 Oct 2026 99999999999999999999999999999999:00:00 GMT")  # as a fuzzer found it
@example("Fri, 31 Dec 9999 23:59:59 -2359")
def test_no_retry_after_breaks_the_client(text: str) -> None:
    """Whatever stands in the header, the wait stays within its bounds."""
    waits_s = retry_after_s(text, now=NOW)
    assert waits_s is None or 0.0 <= waits_s <= 3600.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-08-21T10:00:00.000Z", NOW),
        ("2026-08-21T12:00:00+02:00", NOW),
        ("2026-08-21T10:00:00", NOW),
        ("yesterday", None),
        (17, None),
    ],
)
def test_moments_are_aware_and_utc(text: Any, expected: datetime | None) -> None:
    """SIM's times come out in UTC, or not at all."""
    assert moment_of(text) == expected


@given(
    payloads=st.lists(
        st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1)
    ),
    cuts=st.lists(st.integers(1, 7), min_size=1, max_size=10),
    newline=st.sampled_from(["\n", "\r\n"]),
    is_spaced=st.booleans(),
)
def test_a_stream_reads_the_same_however_it_is_cut(
    payloads: list[str], cuts: list[int], newline: str, *, is_spaced: bool
) -> None:
    """Chunk borders fall anywhere, in characters and line ends too; blank lines and comments mean nothing."""
    payloads = [json.dumps(each, ensure_ascii=False) for each in payloads]
    between = newline if is_spaced else ""
    raw = "".join(f": beat{newline}data: {each}{newline}{between}" for each in payloads).encode()
    raw = raw.removesuffix(newline.encode())
    lines, found, at, turn = DataLines(), list[bytes](), 0, 0
    while at < len(raw):
        size = cuts[turn % len(cuts)]
        found += lines.feed(raw[at : at + size])
        at, turn = at + size, turn + 1
    found += lines.end()
    assert [json.loads(each) for each in found] == [json.loads(each) for each in payloads]
