"""`sim-mcp token`: made once, shown once, found by name, ended for good."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from inline_snapshot import snapshot

from sim_mcp.cli.printing import moment
from sim_mcp.model.clock import SystemClock
from tests.cli.conftest import Ended, Invoke

SECRET = re.compile(r"simmcp_[A-Za-z0-9_-]{43}")


def made(invoke: Invoke, *more: str) -> dict[str, str]:
    """A token of acme, as JSON tells it."""
    return invoke("token", "create", "--tenant", "acme", "--json", *more).json


def without_ids(ended: Ended) -> str:
    """What was printed, with moving parts made the same for every run."""
    text = re.sub(r"[0-9a-f-]{36}", "ID", ended.out + ended.err)
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:]{8}Z", "MOMENT", SECRET.sub("SECRET", text))


@pytest.mark.requirement("R10", "R31")
def test_a_token_is_printed_once_and_stored_as_a_hash(invoke: Invoke, home: Path) -> None:
    """Alone on stdout, for scripts; no file and no list has it."""
    ended = invoke("token", "create", "--tenant", "acme", "--name", "laptop")
    assert without_ids(ended) == snapshot("""\
SECRET
Token ID of tenant 'acme': INTEGRATION_EDIT, INTEGRATION_VIEW; until MOMENT.
It is shown only now. Send it as `Authorization: Bearer ...`.
""")
    secret = ended.out.strip()
    assert SECRET.fullmatch(secret)
    listed = invoke("token", "list", "--tenant", "acme")
    assert without_ids(listed) == snapshot("""\
ID                                    NAME    SUBJECT  PERMISSIONS  STATE     EXPIRES               LAST USED
ID  laptop  laptop   edit,view    in force  MOMENT  never
""")
    assert secret not in listed.out + invoke("token", "list", "--tenant", "acme", "--json").out
    files = [path for path in (home / "data").rglob("*") if path.is_file()]
    assert files
    assert not any(secret.encode() in path.read_bytes() for path in files)


@pytest.mark.requirement("R35")
def test_tokens_are_their_tenant_s_own(invoke: Invoke) -> None:
    """Another tenant neither sees nor ends them, even by id."""
    token = made(invoke, "--permissions", "all")
    assert token["permissions"] == [
        "INTEGRATION_ADD",
        "INTEGRATION_DELETE",
        "INTEGRATION_EDIT",
        "INTEGRATION_VIEW",
    ]
    listed = invoke("token", "list", "--tenant", "globex")
    assert (listed.out, listed.err) == (
        "",
        "The tenant has no tokens: `sim-mcp token create` makes one.\n",
    )
    unknown = invoke("token", "revoke", "no-such-token", "--tenant", "globex")
    foreign = invoke("token", "revoke", token["id"], "--tenant", "globex")
    assert (foreign.code, foreign.err) == (1, unknown.err)


@pytest.mark.parametrize("by", ["id", "beginning", "name"])
def test_a_token_is_ended_by_what_a_person_has_at_hand(invoke: Invoke, by: str) -> None:
    """Its id, the beginning of it, or its name; and only once."""
    token = made(invoke, "--name", "laptop")
    made(invoke, "--name", "another")
    called = {"id": token["id"], "beginning": token["id"][:8], "name": "laptop"}[by]
    ended = invoke("token", "revoke", called, "--tenant", "acme")
    assert without_ids(ended) == snapshot(
        "Token ID (laptop) is revoked: it is refused from the next request on.\n"
    )
    states = {
        row["name"]: row["revoked_at"] for row in invoke("token", "list", "--tenant", "acme", "--json").json
    }
    assert states["another"] is None
    assert states["laptop"] is not None
    assert "revoked" in invoke("token", "list", "--tenant", "acme").out
    assert invoke("token", "revoke", called, "--tenant", "acme").code == 1


def test_a_name_of_two_tokens_ends_neither(invoke: Invoke) -> None:
    """The ids are told instead; a secret given by mistake is not repeated."""
    ids = {made(invoke, "--name", "ci")["id"] for _ in range(2)}
    ended = invoke("token", "revoke", "ci", "--tenant", "acme")
    assert ended.code == 2
    assert all(each in ended.err for each in ids)
    secret = made(invoke)["token"]
    refused = invoke("token", "revoke", secret, "--tenant", "acme")
    assert refused.code == 1
    assert secret not in refused.out + refused.err


@pytest.mark.parametrize(
    "options",
    [
        ("--permissions", "admin"),
        ("--permissions", ""),
        ("--days", "0"),
        ("--name", ""),
        ("--name", "two\nlines"),
        ("--subject", "x" * 256),
    ],
)
def test_what_cannot_be_meant_makes_no_token(invoke: Invoke, options: tuple[str, str]) -> None:
    """Usage errors, with a remedy."""
    ended = invoke("token", "create", "--tenant", "acme", *options)
    assert (ended.code, ended.out) == (2, "")
    assert "Fix: " in ended.err


def test_an_expiry_lies_as_many_days_ahead_as_asked(invoke: Invoke) -> None:
    """Between a day and ten years; ninety by default."""
    before = moment(SystemClock().now())
    token = made(invoke, "--days", "1")
    assert before is not None
    assert before < token["expires_at"]
    assert token["created_at"] < token["expires_at"]
