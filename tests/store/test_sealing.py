"""Sealing and its keys: bound, tamper-proof, and careful with what it says."""

from __future__ import annotations

import base64
import os
import stat
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_mcp.model.errors import InvalidInput, NotConfigured, SimMcpError
from sim_mcp.model.integration import IntegrationId
from sim_mcp.model.principal import TenantId
from sim_mcp.store import Sealer, load_or_create_key_file, parse_keys
from sim_mcp.store.sealing import Binding
from tests.patience import PATIENCE_S
from tests.store.rows import ACME, GLOBEX, KEY, OTHER_KEY, SECRET

BINDING = Binding(tenant_id=ACME, organization_id=None, integration_id=IntegrationId("i1"), revision=1)
ENCODED = base64.urlsafe_b64encode(KEY).decode()
ids = st.text(st.sampled_from("a-+\0é"), max_size=4)
bindings = st.builds(
    Binding,
    tenant_id=ids.map(TenantId),
    organization_id=st.none() | ids,
    integration_id=ids.map(IntegrationId),
    revision=st.integers(1, 12),
    purpose=ids,
    audience=ids,
)


@given(plain=st.text(), bound_to=bindings)
def test_what_was_sealed_opens_where_it_belongs(plain: str, bound_to: Binding) -> None:
    """Any text, any binding; the sealed form is ASCII and never the same twice."""
    sealer = Sealer([KEY])
    sealed = sealer.seal(plain, bound_to)
    assert sealed.isascii()
    assert sealed != sealer.seal(plain, bound_to)
    assert sealer.unseal(sealed, bound_to) == plain


@given(one=bindings, other=bindings)
def test_two_bindings_look_alike_only_when_they_are(one: Binding, other: Binding) -> None:
    """Lengths keep neighbouring parts apart, and no organisation differs from an empty one."""
    assert (one.as_bytes() == other.as_bytes()) == (one == other)


@pytest.mark.requirement("R30")
@pytest.mark.parametrize(
    "elsewhere",
    [
        replace(BINDING, tenant_id=GLOBEX),
        replace(BINDING, organization_id=""),
        replace(BINDING, integration_id=IntegrationId("i2")),
        replace(BINDING, revision=2),
        replace(BINDING, purpose="something else"),
        replace(BINDING, audience="https://sim.attacker.example"),
    ],
)
def test_it_opens_nowhere_else(elsewhere: Binding) -> None:
    """Each part of the binding counts."""
    with pytest.raises(NotConfigured, match="run setup again"):
        Sealer([KEY]).unseal(Sealer([KEY]).seal(SECRET, BINDING), elsewhere)


@pytest.mark.requirement("R30")
def test_an_altered_sealed_text_does_not_open() -> None:
    """Every single character of it matters, and nothing of it is repeated in the error."""
    sealer = Sealer([KEY])
    sealed = sealer.seal(SECRET, BINDING)
    for place, letter in enumerate(sealed):
        altered = sealed[:place] + ("A" if letter != "A" else "Q") + sealed[place + 1 :]
        if place == len(sealed) - 1:
            continue  # the last character carries padding bits that decode alike
        with pytest.raises(NotConfigured) as caught:
            sealer.unseal(altered, BINDING)
        assert sealed[-20:] not in f"{caught.value} {caught.value.detail}"
    for garbage in ("", "v1", "v1..", sealed[:30], sealed + "ä", sealed + "!"):
        with pytest.raises(NotConfigured):
            sealer.unseal(garbage, BINDING)


@pytest.mark.requirement("R30")
def test_several_keys_rotate() -> None:
    """The newest seals, each opens its own, a key that is gone opens nothing."""
    old = Sealer([KEY]).seal(SECRET, BINDING)
    both = Sealer([OTHER_KEY, KEY])
    new = both.seal(SECRET, BINDING)
    assert (both.is_newest(old), both.is_newest(new)) == (False, True)
    assert both.unseal(old, BINDING) == both.unseal(new, BINDING) == SECRET
    with pytest.raises(NotConfigured):
        Sealer([OTHER_KEY]).unseal(old, BINDING)


@pytest.mark.parametrize("keys", [[], [b"short"], [KEY, KEY + b"x"]])
def test_a_sealer_wants_whole_keys(keys: list[bytes]) -> None:
    """32 bytes each, at least one."""
    with pytest.raises(InvalidInput, match="32 bytes"):
        Sealer(keys)


@pytest.mark.requirement("R32")
def test_nothing_secret_is_shown() -> None:
    """Neither the sealer's text form nor the error about a bad secret repeats it."""
    assert KEY.decode() not in repr(Sealer([KEY]))
    with pytest.raises(InvalidInput) as caught:
        Sealer([KEY]).seal(f"{SECRET}\ud800", BINDING)
    assert isinstance(caught.value, SimMcpError)
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__


def test_keys_are_read_newest_first() -> None:
    """With and without padding, spaces around them allowed."""
    other = base64.urlsafe_b64encode(OTHER_KEY).decode().rstrip("=")
    assert parse_keys(f" {ENCODED} , {other}\n") == (KEY, OTHER_KEY)


@pytest.mark.requirement("R32")
@pytest.mark.parametrize("bad", ["", "c2hvcnQ", "not base64 at all!", "ä" * 43, ENCODED[:-3]])
def test_a_bad_key_is_named_by_its_place(bad: str) -> None:
    """The message says which one and how to make a good one, and never what it was."""
    with pytest.raises(InvalidInput, match="Key 2 in SIM_MCP_ENCRYPTION_KEYS") as caught:
        parse_keys(f"{ENCODED},{bad}")
    assert not bad or bad not in caught.value.message
    assert ENCODED not in caught.value.message


def test_the_key_file_is_made_once(tmp_path: Path) -> None:
    """Mode 0600 in a directory 0700, and read from then on."""
    path = tmp_path / "data" / "encryption.key"
    key = load_or_create_key_file(path)
    assert load_or_create_key_file(path) == key
    assert parse_keys(path.read_text()) == (key,)
    assert [file.name for file in path.parent.iterdir()] == ["encryption.key"]
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_many_starters_agree_on_one_key(tmp_path: Path) -> None:
    """Whoever loses the race reads the winner's key, never half of it."""
    path = tmp_path / "encryption.key"
    together = threading.Barrier(8)
    keys: list[bytes] = []

    def start() -> None:
        together.wait(PATIENCE_S)
        keys.append(load_or_create_key_file(path))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert len(keys) == 8
    assert len(set(keys)) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_system_without_links_serves_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is put in place by renaming then."""

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "encryption.key"
    assert load_or_create_key_file(path) == load_or_create_key_file(path)
    assert list(tmp_path.iterdir()) == [path]


def test_without_links_an_earlier_starters_key_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's key that appeared meanwhile is not replaced."""

    def lose(_: Path, path: Path) -> None:
        path.touch(mode=0o600)
        path.write_text(ENCODED)
        raise PermissionError

    monkeypatch.setattr(os, "link", lose)
    assert load_or_create_key_file(tmp_path / "encryption.key") == KEY
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """The remedy is named; the key is not."""
    path = tmp_path / "encryption.key"
    load_or_create_key_file(path)
    path.chmod(0o640)
    with pytest.raises(InvalidInput, match="chmod 600") as caught:
        load_or_create_key_file(path)
    assert path.read_text().strip() not in caught.value.message


def test_a_damaged_key_file_is_not_replaced(tmp_path: Path) -> None:
    """A new key would lock every stored SIM key away for good."""
    path = tmp_path / "encryption.key"
    path.touch(mode=0o600)
    with pytest.raises(InvalidInput, match="restore it from a backup"):
        load_or_create_key_file(path)
    assert path.read_bytes() == b""
