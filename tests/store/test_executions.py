"""The audit log: written first, moved only forwards, final for good."""

from __future__ import annotations

from dataclasses import replace

import pytest
from inline_snapshot import snapshot

from sim_mcp.model.errors import Conflict, ErrorCode, InvalidInput
from sim_mcp.model.execution import TRANSITIONS, ExecutionError, ExecutionId, Status, Trigger
from sim_mcp.model.json import Json
from sim_mcp.store import ExecutionFilter, Outcome, Store
from tests.store.rows import ACME, GLOBEX, START, after, execution, opened_rows

pytestmark = pytest.mark.anyio

X1 = ExecutionId("x1")
ERROR = ExecutionError(
    code=ErrorCode.EXECUTION_ERROR, message="no", retryable=True, retry_after_s=2.5, block_name="agent1"
)
EVERY_PAIR = [(before, to) for before in Status for to in Status]


@pytest.mark.requirement("R27")
async def test_a_row_comes_back_as_it_was_written(store: Store) -> None:
    """Every field survives, whatever is in it."""
    row = replace(
        execution("x1", organization_id="org", run_id="run", job_id="job", key="key", value={"ä": [1, 2.5]}),
        output="",
        error=ERROR,
        pauses=[{"context_id": "c"}],
        duration_ms=0,
        attempts=2,
        started_at=after(0.000001),
        trace_id="trace",
        cancel_requested_at=after(3),
        refusals=7,
    )
    assert await store.executions.open(row, follow_up_at=after(60))
    assert await store.executions.get(ACME, None, X1) == row


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("half \ud800 pair", "half \ufffd pair"),
        ("\ud83d\ude00", "😀"),
        ({"\udfff": "\0"}, {"\ufffd": "\0"}),
        ("line\u2028\u0000end", "line\u2028\0end"),
        (2**70, 2**70),
        (0.1, 0.1),
        ((1, (2,)), [1, [2]]),
        (False, False),
        ([], []),
    ],
)
async def test_any_json_can_be_stored(store: Store, value: Json, kept: Json) -> None:
    """What cannot be text becomes U+FFFD; nothing else changes and nothing crashes."""
    await opened_rows(store, execution("x1", value=value))
    stored = await store.executions.get(ACME, None, X1)
    assert stored is not None
    assert stored.input == kept


async def test_foreign_text_is_made_storable_and_keys_are_refused(store: Store) -> None:
    """A tool name may hold anything; two ids must never become the same."""
    row = replace(execution("x1"), tool_name="a\ud800\0b", subject="\udc00")
    await opened_rows(store, row)
    stored = await store.executions.get(ACME, None, X1)
    assert stored is not None
    assert (stored.tool_name, stored.subject) == ("a\ufffd\ufffdb", "\ufffd")
    with pytest.raises(InvalidInput, match="not valid text"):
        await store.executions.get(ACME, None, "x\ud800")
    with pytest.raises(InvalidInput, match="not valid text"):
        await opened_rows(store, execution("x2", key="\ud800"))


async def test_json_nested_too_deeply_is_refused(store: Store) -> None:
    """It is an input fault, not a crash."""
    deep: Json = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InvalidInput, match="nested too deeply"):
        await opened_rows(store, execution("x1", value=deep))


async def test_a_taken_id_is_a_conflict(store: Store) -> None:
    """A row is never overwritten by another call, with an idempotency key or without."""
    row = execution("x1")
    await opened_rows(store, row)
    for claim in (None, store.claims.claim(row, "somebody's key", "what was asked")):
        with pytest.raises(Conflict):
            await store.executions.open(row, follow_up_at=START, claim=claim)
    with pytest.raises(Conflict):
        await store.executions.record_refusal(execution("x1", status=Status.FAILED), window_key=None)


@pytest.mark.requirement("R27")
@pytest.mark.parametrize(("before", "to"), EVERY_PAIR)
async def test_a_row_moves_only_as_the_table_allows(store: Store, before: Status, to: Status) -> None:
    """Each pair of statuses is exactly as possible as the model says, and a refused move changes nothing."""
    if before.is_final:
        await store.executions.record_refusal(execution("x1", status=before), window_key=None)
    else:
        await opened_rows(store, execution("x1", status=before))
    outcome = Outcome(output={"n": 1}, error=ERROR, run_id="r", job_id="j", pauses=["p"], duration_ms=5)
    untouched = await store.executions.get(ACME, None, X1)
    moved = await store.executions.transition(
        ACME, X1, to, outcome=outcome, at=after(9), follow_up_at=after(99)
    )
    row = await store.executions.get(ACME, None, X1)
    assert (moved is not None) == (to in TRANSITIONS[before])
    if moved is None:
        assert row == untouched
        return
    assert row is not None
    assert moved == row
    assert row.status is to
    assert (row.output, row.error, row.run_id, row.job_id, row.duration_ms) == ({"n": 1}, ERROR, "r", "j", 5)
    assert row.finished_at == (after(9) if to.is_final else None)
    assert row.pauses == (["p"] if to is Status.PAUSED else None)
    due = await store.executions.due(after(100), limit=9, per_tenant=9)
    assert [at for _, at in due] == ([] if to.is_final else [after(99)])


async def test_what_an_answer_does_not_repeat_is_kept(store: Store) -> None:
    """Ids, duration and due time stay when a transition brings none."""
    await opened_rows(store, execution("x1", run_id="r", job_id="j"), follow_up_at=after(5))
    assert await store.executions.transition(ACME, X1, Status.PAUSED, outcome=Outcome(), at=START)
    row = await store.executions.get(ACME, None, X1)
    assert row is not None
    assert (row.run_id, row.job_id, row.status) == ("r", "j", Status.PAUSED)
    assert [at for _, at in await store.executions.due(after(5), limit=1, per_tenant=1)] == [after(5)]


async def test_an_unfinished_row_is_updated_without_moving(store: Store) -> None:
    """Only what is given is written; a final row takes nothing."""
    await opened_rows(store, execution("x1", run_id="r"))
    given = Outcome(job_id="j", pauses=["p"], error=ERROR)
    assert await store.executions.update(ACME, X1, outcome=given)
    assert await store.executions.update(ACME, X1, outcome=Outcome(), follow_up_at=after(7))
    assert await store.executions.update(ACME, X1)
    row = await store.executions.get(ACME, None, X1)
    expected = replace(execution("x1", run_id="r"), job_id="j", pauses=["p"], error=ERROR)
    assert row == expected
    assert [at for _, at in await store.executions.due(after(7), limit=1, per_tenant=1)] == [after(7)]
    assert await store.executions.transition(ACME, X1, Status.CANCELLED, at=START)
    assert not await store.executions.update(ACME, X1, outcome=Outcome(job_id="late"))
    assert not await store.executions.update(ACME, X1)
    assert not await store.executions.update(GLOBEX, X1)


async def test_of_each_attempt_number_one_caller_wins(store: Store) -> None:
    """Two that take up the same row cannot both send it; it started when its last attempt did."""
    await opened_rows(store, execution("x1", status=Status.QUEUED, job_id="old"))

    async def begin(run_id: str, attempt: int, at: float) -> bool:
        return await store.executions.begin_attempt(
            ACME, X1, run_id=run_id, attempt=attempt, started_at=after(at), follow_up_at=after(at + 30)
        )

    assert [await begin("r1", 1, 1), await begin("r1b", 1, 2), await begin("r2", 2, 3)] == [True, False, True]
    row = await store.executions.get(ACME, None, X1)
    assert row is not None
    assert (row.run_id, row.attempts, row.started_at, row.job_id) == ("r2", 2, after(3), None)
    await store.executions.transition(ACME, X1, Status.PAUSED, at=after(4))
    assert not await begin("r3", 3, 5)
    assert await store.executions.count_since(ACME, after(3)) == 1
    assert await store.executions.count_since(ACME, after(3.5)) == 0
    assert await store.executions.count_since(GLOBEX, START) == 0
    assert await store.executions.count_unfinished(ACME) == 1
    assert await store.executions.count_unfinished(GLOBEX) == 0


async def test_a_cancel_is_noted_once_and_not_on_final_rows(store: Store) -> None:
    """The first request's time stays."""
    await opened_rows(store, execution("x1"))
    assert await store.executions.request_cancel(ACME, X1, after(1))
    assert await store.executions.request_cancel(ACME, X1, after(2))
    assert not await store.executions.request_cancel(GLOBEX, X1, after(2))
    row = await store.executions.get(ACME, None, X1)
    assert row is not None
    assert row.cancel_requested_at == after(1)
    await store.executions.transition(ACME, X1, Status.FAILED, at=after(3))
    assert not await store.executions.request_cancel(ACME, X1, after(4))


async def test_a_flood_of_refusals_is_one_row_with_a_count(store: Store) -> None:
    """Complete and bounded; without a window each refusal is its own row."""
    for second, name in enumerate(("x1", "x2", "x3")):
        refused = execution(name, status=Status.FAILED, created_at=after(second))
        assert await store.executions.record_refusal(refused, window_key="w") == "x1"
    foreign = execution("x9", tenant_id=GLOBEX, status=Status.FAILED)
    assert await store.executions.record_refusal(foreign, window_key="w") == "x9"
    assert (
        await store.executions.record_refusal(execution("x4", status=Status.FAILED), window_key=None) == "x4"
    )
    row = await store.executions.get(ACME, None, "x1")
    assert row is not None
    assert (row.refusals, row.created_at, row.finished_at) == (3, START, after(2))
    assert (await store.executions.page(ACME, None)).total == 2
    with pytest.raises(ValueError, match="settled"):
        await store.executions.record_refusal(execution("x5"), window_key=None)


@pytest.mark.requirement("R29")
async def test_purging_takes_only_old_final_rows(store: Store) -> None:
    """In small batches, the oldest first; an unfinished row stays however old it is."""
    for second in range(4):
        refused = execution(f"x{second}", status=Status.FAILED, created_at=after(second))
        await store.executions.record_refusal(refused, window_key=None)
    await opened_rows(store, execution("open"))
    gone: list[int] = []
    while old := await store.retention.old_executions(after(3), limit=2):
        gone.append(await store.retention.forget(old))
    assert gone == [2, 1]
    still_open = await store.executions.get(ACME, None, "open")
    assert still_open is not None
    assert await store.retention.forget([still_open]) == 0
    left = await store.executions.page(ACME, None)
    assert [row.id for row in left.executions] == ["x3", "open"]


async def test_a_row_is_found_by_each_of_its_ids(store: Store) -> None:
    """Ours first, then SIM's run id, then SIM's job id."""
    await opened_rows(
        store,
        execution("x1", run_id="run-1", job_id="job-1"),
        execution("x2", run_id="x1"),
        execution("x3", tenant_id=GLOBEX, run_id="run-3"),
    )
    found = [await store.executions.find(ACME, None, name) for name in ("x1", "run-1", "job-1", "run-3")]
    assert [row.id if row else None for row in found] == ["x1", "x1", "x1", None]


@pytest.mark.requirement("R13")
async def test_an_organisation_sees_its_own_rows_and_the_shared_ones(store: Store) -> None:
    """The tenant itself sees everything; another organisation's row is like an unknown one."""
    await opened_rows(
        store,
        execution("own", organization_id="a", run_id="r-own"),
        execution("other", organization_id="b", run_id="r-other"),
        execution("shared"),
    )
    page = await store.executions.page(ACME, "a")
    assert ({row.id for row in page.executions}, page.total) == ({"own", "shared"}, 2)
    assert (await store.executions.page(ACME, None)).total == 3
    assert await store.executions.get(ACME, "a", "other") is None
    assert await store.executions.find(ACME, "a", "r-other") is None
    assert await store.executions.find(ACME, "a", "r-own") is not None


@pytest.mark.requirement("R28", "R53")
async def test_filters_narrow_pages_and_totals(store: Store) -> None:
    """Each filter alone and all of them together; `since` is included and `until` is not."""
    await opened_rows(
        store,
        execution("a", created_at=after(1), workflow_id="w1"),
        execution("b", created_at=after(2), workflow_id="w2", triggered_by=Trigger.EVENT),
        execution("c", created_at=after(3), workflow_id="w1", status=Status.QUEUED),
    )
    matching = [
        ExecutionFilter(workflow_id=execution().workflow_id),
        ExecutionFilter(status=Status.QUEUED),
        ExecutionFilter(triggered_by=Trigger.EVENT),
        ExecutionFilter(since=after(2)),
        ExecutionFilter(until=after(2)),
        ExecutionFilter(since=after(1), until=after(3), status=Status.PROCESSING),
    ]
    pages = [await store.executions.page(ACME, None, one) for one in matching]
    found = [("".join(row.id for row in page.executions), page.total) for page in pages]
    assert found == snapshot([("", 0), ("c", 1), ("b", 1), ("cb", 2), ("a", 1), ("ba", 2)])


@pytest.mark.requirement("R53")
async def test_pages_follow_each_other_while_rows_arrive(store: Store) -> None:
    """By cursor nothing is repeated and nothing skipped; equal times are told apart by id."""
    await opened_rows(store, *[execution(f"x{number}", created_at=after(number // 3)) for number in range(8)])
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await store.executions.page(ACME, None, limit=3, cursor=cursor)
        seen += [row.id for row in page.executions]
        await opened_rows(store, execution(f"late{len(seen)}", created_at=after(100)))
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == ["x7", "x6", "x5", "x4", "x3", "x2", "x1", "x0"]
    by_offset = await store.executions.page(ACME, None, limit=2, offset=4)
    assert [row.id for row in by_offset.executions] == ["x6", "x5"]


@pytest.mark.requirement("R53")
@pytest.mark.parametrize(
    "arguments",
    [
        {"limit": 0},
        {"limit": 101},
        {"offset": -1},
        {"offset": 2**63},
        {"cursor": ""},
        {"cursor": "not base64!"},
        {"cursor": "ä"},
        {"cursor": "W10"},
        {"cursor": "A" * 5000},
        {"cursor": "WzFlOTksIngiXQ"},
        {"cursor": "WzEsIngiXQ", "offset": 1},
    ],
)
async def test_a_page_that_cannot_be_is_refused(store: Store, arguments: dict[str, int | str]) -> None:
    """Every bad limit, offset and cursor is the caller's fault, told as such."""
    limit, offset, cursor = (arguments.get(name) for name in ("limit", "offset", "cursor"))
    with pytest.raises(InvalidInput):
        await store.executions.page(
            ACME,
            None,
            limit=limit if isinstance(limit, int) else 20,
            offset=offset if isinstance(offset, int) else 0,
            cursor=cursor if isinstance(cursor, str) else None,
        )
