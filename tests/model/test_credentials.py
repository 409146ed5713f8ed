"""One rule for what looks like a credential, whatever the length of the text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_mcp.model import credentials
from sim_mcp.model.credentials import CREDENTIAL, LONG_TEXT, REDACTED, credentials_in, without_credentials

PIECES = st.sampled_from(
    [
        *(
            "sk-",
            "pk-1",
            "sim_",
            "simmcp_",
            "eyJ",
            "abcdefgh12345678ABCDEFGH",
            "a" * 40,
            ".",
            " ",
            "-",
            "_",
            "\n",
        ),
        *("Bearer ", "bearer\t", "xbearer ", "Basic ", "ghp_", "xoxb-", "AKIA", "ABCDEFGHIJKLMNOP", "ä"),
        *(
            "https://",
            "user:pass@",
            "://",
            ":",
            "@",
            "x-Api-KEY: ",
            "X-API-KEY='",
            "-----BEGIN ",
            "PRIVATE KEY-----",
        ),
        *("RSA ", "-----END ", "earer ", "asic "),
    ]
)


@pytest.mark.requirement("R60")
@given(st.lists(PIECES, max_size=40).map("".join))
def test_a_long_text_is_judged_like_a_short_one(text: str) -> None:
    """Looking only where a match can begin finds what trying every character finds."""
    padded = text + "\n" + "." * LONG_TEXT
    assert list(credentials_in(padded)) == [match.span() for match in CREDENTIAL.finditer(padded)]
    assert without_credentials(padded) == CREDENTIAL.sub(REDACTED, padded)


@pytest.mark.requirement("R59")
def test_a_long_text_without_any_beginning_of_a_key_is_never_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten megabytes of prose cost a few searches for plain text, not a pattern at every character."""
    monkeypatch.setattr(credentials, "CREDENTIAL", None)
    text = "A plain sentence about token buckets and api keys. " * 1000
    assert without_credentials(text) is text
