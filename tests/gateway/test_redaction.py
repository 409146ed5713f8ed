"""Secrets are taken out of inputs, and do not come back by another way."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from sim_mcp.gateway.masking import MaskedText, Secrets
from sim_mcp.gateway.redaction import Redactor
from sim_mcp.model.credentials import REDACTED, without_credentials
from sim_mcp.model.json import Json

SECRET_KEYS = [
    "password", "Password", "user_password", "dbPassword", "X-Api-Key", "api_key", "apiKey", "APIKEY",
    "token", "accessToken", "refresh-token", "authorization", "Cookie", "client_secret", "private_key",
    "credentials", "otp", "cvv", "session_cookie", "auth", "tokens",
]  # fmt: skip
PLAIN_KEYS = ["author", "tokenizer", "max_tokens", "authority", "keyboard", "spinner", "city", "pineapple"]


@pytest.mark.requirement("R27", "R60")
@pytest.mark.parametrize("key", SECRET_KEYS)
def test_a_secret_looking_key_hides_its_value_at_any_depth(key: str) -> None:
    """Case and separators make no difference."""
    assert Redactor().redact({"a": [{"b": {key: "hunter2!"}}]}) == {"a": [{"b": {key: REDACTED}}]}


@pytest.mark.parametrize("key", PLAIN_KEYS)
def test_a_key_that_only_resembles_a_secret_is_kept(key: str) -> None:
    """Redaction that eats everything makes the log useless."""
    assert Redactor().redact({key: 7}) == {key: 7}


def test_values_that_look_like_credentials_are_hidden_wherever_they_stand() -> None:
    """A key in a free text is a key."""
    value = {
        "note": "use sk-sim-1234567890abcdef please",
        "header": "Bearer abcdefgh.ijklmnop",
        "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "list": ["AKIAABCDEFGHIJKLMNOP", "plain"],
    }
    assert Redactor().redact(value) == snapshot(
        {
            "note": "use [redacted] please",
            "header": "[redacted]",
            "jwt": "[redacted]",
            "list": ["[redacted]", "plain"],
        }
    )


def test_the_operator_adds_names_of_its_own() -> None:
    """`SIM_MCP_REDACT_KEYS` knows what only this company calls a secret."""
    redactor = Redactor(["badge number"])
    assert redactor.redact({"badgeNumber": 4711, "badge_number": 1}) == {
        "badgeNumber": REDACTED,
        "badge_number": REDACTED,
    }


@given(
    secret=st.text(min_size=4, max_size=30).filter(lambda text: text.strip() != "" and text not in REDACTED),
    prefix=st.text(max_size=5),
)
def test_a_secret_input_is_masked_in_whatever_comes_back(secret: str, prefix: str) -> None:
    """An echo of the input, plain, nested or as JSON text, shows no secret."""
    secrets = Redactor().secrets_in({"password": secret})
    output = {"echo": prefix + secret, "deep": [{"x": secret}], "text": json.dumps({"p": secret})}
    masked = secrets.mask(output)
    assert isinstance(masked, dict)
    assert masked["deep"] == [{"x": REDACTED}]
    assert secret not in str(masked["echo"]).replace(REDACTED, "")
    assert json.dumps(secret)[1:-1] not in str(masked["text"]).replace(REDACTED, "")


def test_a_secret_number_is_masked_as_a_whole_value_only() -> None:
    """A PIN must not turn every sum that contains it into noise."""
    secrets = Redactor().secrets_in({"pin": 4711})
    assert secrets.mask({"pin": 4711, "sum": 147110, "flag": True}) == {
        "pin": REDACTED,
        "sum": 147110,
        "flag": True,
    }


def test_secrets_do_not_show_in_a_repr() -> None:
    """A debugger's print is an exit too."""
    assert repr(Secrets(["hunter2!"])) == "Secrets(1)"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda v: st.lists(v) | st.dictionaries(st.sampled_from(["author", "city", "hours"]), v),
        max_leaves=15,
    )
)
def test_redaction_keeps_the_shape_of_what_it_reads(value: object) -> None:
    """Keys and lengths stay, so that a row still shows what was asked."""

    def shape(item: object) -> object:
        if isinstance(item, dict):
            return {key: shape(part) for key, part in item.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # any JSON
        return [shape(part) for part in item] if isinstance(item, list) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # any JSON

    assert shape(Redactor().redact(value)) == shape(value)  # pyright: ignore[reportArgumentType]  # built as JSON above


@pytest.mark.requirement("R60")
@pytest.mark.parametrize("key", ["accesstoken", "AUTHTOKEN", "refreshtoken", "ToKeN", "aUtH", "oauth"])
def test_a_secret_looking_key_is_known_in_any_case(key: str) -> None:
    """Camel case is a habit, not a rule."""
    assert Redactor().redact({key: "hunter2!"}) == {key: REDACTED}


@pytest.mark.requirement("R60")
def test_an_input_that_nests_without_end_is_noted_and_not_walked() -> None:
    """A refusal leaves a row whatever was sent."""
    value: Json = "x"
    for _ in range(5000):
        value = [value]
    assert Redactor().redact(value) == snapshot(
        {"truncated": True, "reason": "nested more than 100 levels deep"}
    )
    assert Redactor().secrets_in(value).values == frozenset()


def test_a_number_that_json_cannot_write_is_stored_as_text() -> None:
    """One infinite number must not make a page of the history unreadable."""
    assert Redactor().redact({"a": float("inf")}) == {"a": "inf"}


@pytest.mark.anyio
@given(cuts=st.lists(st.integers(0, 40), max_size=6))
async def test_a_secret_cut_over_streamed_pieces_is_masked(cuts: list[int]) -> None:
    """Wherever the pieces end, no listener hears the secret, and nothing else is lost."""
    text = "say hunter2-Hunter2 and hunter2-Hunter2!"
    heard: list[str] = []

    async def tell(piece: str) -> None:
        heard.append(piece)

    masked = MaskedText(Secrets(["hunter2-Hunter2"]), tell)
    edges = [0, *sorted(cuts), len(text)]
    for start, stop in itertools.pairwise(edges):
        await masked.add(text[start:stop])
    await masked.end()
    assert "".join(heard) == f"say {REDACTED} and {REDACTED}!"


@pytest.mark.requirement("R60")
@pytest.mark.parametrize("bait", ["-sim_", "eyJa", "sk-", "-----BEGIN ", "://a:"])
def test_a_text_that_almost_looks_like_a_key_costs_only_its_length(bait: str) -> None:
    """Twice the text, about twice the steps: checked by what a quadratic search could never finish."""
    assert without_credentials(bait * 400_000 + " end").endswith(" end")
