"""Masking is thorough, and costs what the text costs."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_mcp.gateway import masking
from sim_mcp.gateway.masking import MaskedText, Secrets
from sim_mcp.model.credentials import REDACTED
from sim_mcp.model.json import Json

WORDS = st.text(alphabet='abc/+ äß\\"\ue000', min_size=4, max_size=8)


@pytest.mark.requirement("R60")
@given(secrets=st.lists(WORDS, min_size=1, max_size=6), pieces=st.lists(WORDS, max_size=6))
def test_no_secret_stands_in_what_was_masked(secrets: list[str], pieces: list[str]) -> None:
    """However secrets overlap, contain each other or repeat, none is left, in values or in names."""
    text = "-".join([*pieces, *secrets, *pieces])
    masked = Secrets(secrets).mask({text: [text, {"json": json.dumps(text)}]})
    left = json.dumps(masked, ensure_ascii=False).replace(REDACTED, "\n")
    assert not [secret for secret in secrets if json.dumps(secret, ensure_ascii=False)[1:-1] in left]


@given(st.lists(WORDS, min_size=1, max_size=4), st.text(alphabet="xyz", max_size=50))
def test_what_holds_no_secret_stays_as_it_is(secrets: list[str], text: str) -> None:
    """Masking is not a shredder."""
    assert Secrets(secrets).mask([text, 1, None, {"k": text}]) == [text, 1, None, {"k": text}]


@pytest.mark.requirement("R59")
def test_an_output_that_would_take_seconds_is_hidden_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenant that fills its output with its own secrets pays for it, nobody else."""
    words = [f"secret-{number:03}" for number in range(100)]
    output: list[Json] = [*words, *words]
    assert Secrets(words).mask(output) == [REDACTED] * 200
    monkeypatch.setattr(masking, "MOST_WORK", 1000)
    assert Secrets(words).mask([f"a {word}" for word in words]) == REDACTED


def test_a_text_that_uses_up_every_mark_is_hidden_whole() -> None:
    """There is no character left to tell masked places from others."""
    text = "".join(chr(code) for code in range(0xE000, 0xF900))
    assert Secrets(["hunter2!"]).mask([text, "hunter2!"]) == REDACTED


@pytest.mark.anyio
@pytest.mark.parametrize("secrets", [["x" * 5000], [f"word-{number}" for number in range(600)]])
async def test_a_stream_says_nothing_when_masking_it_would_cost_too_much(secrets: list[str]) -> None:
    """The output tells in the end; a listener loses only the show."""
    heard: list[str] = []

    async def tell(piece: str) -> None:
        heard.append(piece)

    masked = MaskedText(Secrets(secrets), tell)
    await masked.add("hello")
    await masked.end()
    assert heard == []
