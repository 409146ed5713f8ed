"""What must hold after every step: contract sections 5, 9 and 10, read from the file and SIM's ledger."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tests.machine.model import OWNERS, TENANTS, tag_of

if TYPE_CHECKING:
    from sim_mcp.sim.fake.runs import Run
    from tests.machine.model import Model
    from tests.machine.world import Town

Row = dict[str, Any]

FINAL = frozenset({"completed", "failed", "cancelled"})
FIRST = frozenset({"processing", "failed", "cancelled"})
"""How a row may begin: under way, or as the record of a refusal."""
LATER = frozenset({"cost", "key_claim", "key_digest"})
"""What may still be noted in an ended row: its cost, and that its idempotency key is free again."""
COUNTED = frozenset({"refusals", "finished_at"})
"""What grows in a row that counts a flood of refusals."""
KEPT = timedelta(days=90)
KEY_HELD = timedelta(hours=23, minutes=50)
"""A day, less what SIM's clock may be ahead between two runs."""
_TOLD = ("output", "error", "pauses", "subject", "input")
_NOTHING_RAN = frozenset({"cancelled", "failed", None})


@dataclass(slots=True)
class Books:
    """What was seen so far, to be compared with what is seen now."""

    rows: dict[str, Row] = field(default_factory=dict[str, Row])
    ever: dict[str, Row] = field(default_factory=dict[str, Row])
    moves: int = 0
    requests: int = 0
    heard: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Tenant and text of each answer since the last look."""
    said: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict[str, set[str]](set))
    """What each tenant's callers typed themselves, and may so find in answers."""

    def look(self, town: Town) -> None:
        """Compare the rows with those of the last look: ended ones stay, none is lost."""
        found = {row["id"]: row for row in town.read("SELECT * FROM executions")}
        now_us = micros(town.clock.now())
        for row_id, before in self.rows.items():
            if row_id not in found:
                is_old = before["finished_at"] is not None and now_us - before["finished_at"] > span_us(KEPT)
                assert is_old, ("a row is lost", before)
            elif before["status"] in FINAL:
                assert_ended_stays(before, found[row_id])
        for row_id in found.keys() - self.rows.keys():
            assert found[row_id]["tenant_id"] in TENANTS, found[row_id]
        moves = town.read(f"SELECT * FROM machine_moves WHERE n > {self.moves} ORDER BY n")  # noqa: S608
        for move in moves:
            assert move["was"] not in FINAL, ("an ended row moved", move)
            self.moves = move["n"]
        firsts = {move["id"]: move["was"] for move in reversed(moves)}
        for row_id in found.keys() - self.ever.keys():
            assert firsts.get(row_id, found[row_id]["status"]) in FIRST, found[row_id]
        self.rows = found
        self.ever |= found

    def unsaid(self, tenant: str, text: str) -> str:
        """`text` without what callers of `tenant` typed themselves: that is theirs."""
        for mine in sorted(self.said[tenant], key=len, reverse=True):
            text = text.replace(mine, "")
        return text


def micros(moment: datetime) -> int:
    """`moment` as the database writes it."""
    return int(moment.timestamp() * 1_000_000)


def span_us(span: timedelta) -> int:
    """`span` in microseconds."""
    return int(span.total_seconds() * 1_000_000)


def assert_ended_stays(before: Row, after: Row) -> None:
    """What was settled for good is not rewritten."""
    may_change = LATER | (COUNTED if before["window_key"] else frozenset[str]())
    changed = {name for name, value in before.items() if after[name] != value}
    assert changed <= may_change, ("an ended row changed", changed, before, after)


def assert_runs_have_rows(town: Town, books: Books) -> None:
    """Each run at SIM has exactly one row, of the tenant that pays for it; nothing ran twice."""
    by_run: defaultdict[str, list[Row]] = defaultdict(list)
    for row in books.ever.values():
        if row["run_id"] is not None:
            by_run[row["run_id"]].append(row)
    began: defaultdict[tuple[str, str], list[datetime]] = defaultdict(list)
    for run in town.sim.runs:
        assert run.starts == 1, run
        rows = by_run[run.run_id]
        assert len(rows) == 1, ("a run without its one row", run, rows)
        [row] = rows
        assert (row["tenant_id"], row["workflow_id"]) == (run.account, run.workflow_id), (row, run)
        assert tag_of(row) == run.input["text"], (row, run)
        began[run.account, run.input["text"]].append(run.started_at)
    for what, moments in began.items():
        for first, second in pairwise(moments):
            assert second - first >= KEY_HELD, ("one call ran twice", what, moments)


def assert_rows_are_true(town: Town, books: Books, *, is_quiet: bool) -> None:
    """No row says what is not so; once all is `quiet`, none leaves open what could be known."""
    for row in books.rows.values():
        run = town.sim.runs.get(row["run_id"]) if row["run_id"] else None
        assert_true(row, run, town.sim_now)
        if is_quiet:
            assert row["status"] in FINAL | {"paused"}, ("an unsettled row", row, run)
            if row["status"] == "paused":
                assert run is not None
                assert run.standing(town.sim_now) == "paused", (row, run)


def assert_true(row: Row, run: Run | None, now: datetime) -> None:
    """`row` tells of its run what the ledger tells, or that it does not know."""
    error: dict[str, Any] = json.loads(row["error"]) if row["error"] else {}
    code, standing = error.get("code"), run.standing(now) if run is not None else None
    told = (row["status"], code, standing, row, run)
    if error.get("retryable"):
        assert run is None, ("safe to repeat, and yet it ran", *told)
    match row["status"]:
        case "completed":
            assert standing == "completed", told
            assert code is None, told
        case "paused":
            assert standing is not None, told
        case "cancelled":
            assert standing in {"cancelled", None}, told
        case "failed" if code == "OUTCOME_UNKNOWN":
            pass
        case "failed" if code == "EXECUTION_ERROR":
            assert standing == "failed", told
        case "failed" if code == "TIMEOUT":
            assert standing in _NOTHING_RAN, told
        case "failed":
            assert standing is None, told
            assert code is not None, told
        case _:
            assert row["follow_up_at"] is not None, ("nobody looks after it", *told)


def assert_keys_go_home(town: Town, books: Books, model: Model) -> None:
    """With each request about a run goes the key of the tenant whose workflow it is."""
    requests = list(town.sim.requests)
    for request in requests[books.requests :]:
        if request.verb == "any":
            continue  # whoever asks what a foreign id is asks with the own key, and SIM knows no such thing
        about = {owner for workflow, owner in OWNERS.items() if workflow in request.path}
        whose = model.secrets.get(request.key or "")
        assert about <= {whose}, ("a foreign key was sent", request.path, whose)
    books.requests = len(requests)


def assert_nothing_leaks(town: Town, books: Books, model: Model) -> None:
    """No answer tells anything of another tenant; neither answers, rows nor log lines tell a secret."""
    secrets = [*model.secrets]
    ids: defaultdict[str, set[str]] = defaultdict(set)
    for row in books.ever.values():
        ids[row["tenant_id"]] |= {row["id"], row["run_id"] or row["id"]}
    for row in town.read("SELECT DISTINCT tenant_id, id FROM integration_revisions"):
        ids[row["tenant_id"]].add(row["id"])
    for tenant, text in books.heard:
        assert_no_secret(text, secrets, "an answer")
        foreign = books.unsaid(tenant, text)
        for other in model.tenants.keys() - {tenant}:
            assert other not in foreign, ("an answer names another tenant", tenant, other, text)
            found = [each for each in ids[other] if each in foreign]
            assert found == [], ("an answer tells another tenant's id", tenant, other, found, text)
    books.heard.clear()
    for row in books.rows.values():
        assert_no_secret(" ".join(str(value) for value in row.values()), secrets, "a row")
        foreign = books.unsaid(row["tenant_id"], " ".join(str(row[name]) for name in _TOLD))
        for other in model.tenants.keys() - {row["tenant_id"]}:
            assert other not in foreign, ("a row names another tenant", other, row)
    assert_no_secret(town.logged.getvalue(), secrets, "the log")
    town.logged.seek(0)
    town.logged.truncate()


def assert_no_secret(text: str, secrets: list[str], where: str) -> None:
    """`text` holds none of `secrets`."""
    for secret in secrets:
        at = text.find(secret)
        assert at < 0, (f"{where} tells a secret", text[max(0, at - 100) : at + 20])


def assert_files_keep_secrets(town: Town, model: Model) -> None:
    """No byte of any file holds a key or a token."""
    for name, content in town.bytes_on_disk().items():
        for secret in model.secrets:
            at = content.find(secret.encode())
            assert at < 0, ("a file tells a secret", name, content[max(0, at - 100) : at + 20])
