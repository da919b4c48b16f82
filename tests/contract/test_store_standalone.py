"""Standalone activities: runs that are one activity. What every store does with them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from orchestrator.core.attempts import canceled, completed, failed
from orchestrator.core.standalone import StandaloneOptions, cancel_of, standalone_start_of
from orchestrator.core.transition import (
    AttemptName,
    BeginAttempt,
    FinishAttempt,
    ForcedClose,
    Heartbeat,
    Redispatch,
    StartRun,
)
from orchestrator.ids import (
    ActivityKey,
    AttemptToken,
    EventId,
    ProcessName,
    RunId,
    RunKind,
    ShardId,
    standalone_workflow_id,
)
from orchestrator.ports.store import (
    Attached,
    AttemptRecord,
    AttemptState,
    Beaten,
    Begun,
    CancelAsked,
    Closed,
    Finished,
    Gone,
    NotOpen,
    Redispatched,
    RetryAt,
    Started,
    StartRefused,
)
from orchestrator.ports.visibility import RunFilter
from orchestrator.wire.events import WorkflowExecutionTerminated
from orchestrator.wire.failure import ApplicationFailure, Failure
from orchestrator.wire.inbox import AttemptStarted
from orchestrator.wire.options import Conflict, RetryOptions, Reuse, RunStatus
from orchestrator.wire.search_attributes import IndexedValueType, SearchAttribute
from tests.contract.store_carriers import BEGIN_MS, Carrier

A = standalone_workflow_id("charge")
RUN = RunId("r1")
TWO = EventId(2)
FAILURE = Failure(message="no", detail=ApplicationFailure(error_type="E"))
STARTED = AttemptStarted(attempt=1, time_ms=BEGIN_MS, identity="p1")


def wish(**fields: Any) -> StartRun:
    given = {
        "activity_id": "charge",
        "activity_type": "charge",
        "task_queue": "q",
        "request_id": RUN,
        "start_to_close_timeout_ms": 60_000,
        **fields,
    }
    return standalone_start_of(StandaloneOptions(**given), key=ActivityKey("k"), now_ms=BEGIN_MS)


def named(attempt: int = 1, run_id: str = RUN) -> AttemptName:
    return AttemptName(
        workflow_id=A,
        run_id=RunId(run_id),
        event_id=TWO,
        key=ActivityKey("k"),
        attempt=attempt,
    )


def begin(token: str = "t") -> BeginAttempt:
    return BeginAttempt(
        name=named(), token=AttemptToken(token), holder=ProcessName("p1"), due_in_ms=60_000
    )


def done(token: str = "t") -> FinishAttempt:
    return completed(named(), AttemptToken(token), STARTED, None)


async def started(carrier: Carrier, **fields: Any) -> Started:
    answer = await carrier.store.start(wish(**fields))
    assert isinstance(answer, Started)
    return answer


async def record(carrier: Carrier) -> AttemptRecord:
    found = await carrier.store.record(A, RUN, TWO)
    assert found is not None
    return found


async def types(carrier: Carrier) -> list[str]:
    return [e.type async for page in carrier.store.history(A, RUN) for e in page]


async def due(carrier: Carrier) -> list[tuple[str, int]]:
    (found,) = await carrier.store.due([ShardId(0)], limit=100)
    assert not found.wakeups
    rows = [(row.kind.value, row.due_at_ms - BEGIN_MS) for row in found.timers]
    return rows + ([("later", found.next_due_ms - BEGIN_MS)] if found.next_due_ms else [])


async def test_a_start_schedules_the_activity_and_calls_no_workflow_worker(
    carrier: Carrier,
) -> None:
    answer = await started(carrier)
    assert (answer.new, answer.wake) == (True, None)
    assert await types(carrier) == ["WorkflowExecutionStarted", "ActivityTaskScheduled"]
    found = await record(carrier)
    assert (found.state, found.attempt, found.key) == (AttemptState.SCHEDULED, 1, "k")
    assert found.scheduled_at_ms == answer.now_ms == BEGIN_MS
    assert [kind for kind, _ in await due(carrier)] == ["later"]
    assert await carrier.store.sync(A, task_timeout_ms=1, count_attempt=False) is not None


async def test_the_same_request_again_finds_what_it_made(carrier: Carrier) -> None:
    await started(carrier)
    again = await started(carrier)
    assert (again.new, again.run_id) == (False, RUN)
    assert await types(carrier) == ["WorkflowExecutionStarted", "ActivityTaskScheduled"]


async def test_policies_are_those_of_any_run(carrier: Carrier) -> None:
    await started(carrier)
    refused = await carrier.store.start(wish(request_id="r2"))
    assert isinstance(refused, StartRefused)
    assert (refused.run_id, refused.workflow_type) == (RUN, "charge")
    used = await carrier.store.start(wish(request_id="r2", conflict=Conflict.USE_EXISTING))
    assert isinstance(used, Attached)
    await carrier.store.begin(begin())
    await carrier.store.finish(done())
    for reuse in (Reuse.REJECT_DUPLICATE, Reuse.ALLOW_DUPLICATE_FAILED_ONLY):
        assert isinstance(
            await carrier.store.start(wish(request_id="r2", reuse=reuse)), StartRefused
        )
    assert isinstance(await carrier.store.start(wish(request_id="r2")), Started)


async def test_a_delayed_start_backs_off_before_its_first_attempt(carrier: Carrier) -> None:
    await started(carrier, start_delay_ms=5_000, schedule_to_close_timeout_ms=9_000)
    found = await record(carrier)
    assert (found.state, found.attempt) == (AttemptState.BACKING_OFF, 0)
    assert found.deadline_ms == BEGIN_MS + 14_000
    assert await due(carrier) == [("later", 5_000)]
    assert isinstance(await carrier.store.begin(begin()), Gone)
    await carrier.advance(5_000)
    assert await due(carrier) == [("activity", 5_000)]
    answer = await carrier.store.redispatch(
        Redispatch(name=named(0), token=None, attempt=1, due_in_ms=1_000)
    )
    assert isinstance(answer, Redispatched)
    assert (answer.record.state, answer.record.attempt) == (AttemptState.SCHEDULED, 1)
    assert isinstance(await carrier.store.begin(begin()), Begun)


async def test_the_end_of_an_attempt_closes_the_run_and_calls_nobody(carrier: Carrier) -> None:
    await started(carrier)
    assert isinstance(await carrier.store.begin(begin()), Begun)
    await carrier.advance(100)
    answer = await carrier.store.finish(done())
    assert isinstance(answer, Finished)
    assert answer.wake is None
    assert await types(carrier) == [
        "WorkflowExecutionStarted",
        "ActivityTaskScheduled",
        "ActivityTaskStarted",
        "WorkflowExecutionCompleted",
    ]
    view = await carrier.store.run(A)
    assert view is not None
    assert (view.status, view.closed_at_ms) == (RunStatus.COMPLETED, BEGIN_MS + 100)
    assert view.closing is not None
    assert view.history_length == view.closing.event_id == 4
    assert await carrier.store.records(A, RUN) == ()
    rows = await due(carrier)
    assert len(rows) == 1, "its retention, and nothing else"


async def test_the_same_end_again_has_the_same_answer_and_another_one_is_late(
    carrier: Carrier,
) -> None:
    await started(carrier)
    await carrier.store.begin(begin())
    first = await carrier.store.finish(done())
    assert await carrier.store.finish(done()) == first
    late = failed(named(), AttemptToken("u"), STARTED, FAILURE, RetryOptions(maximum_attempts=1))
    assert isinstance(await carrier.store.finish(late), Gone)
    assert isinstance(await carrier.store.begin(begin()), Gone)
    assert len(await types(carrier)) == 4


async def test_an_end_whose_begin_was_lost_is_taken(carrier: Carrier) -> None:
    await started(carrier)
    assert isinstance(await carrier.store.finish(done()), Finished)


async def test_a_failed_attempt_is_tried_again_and_the_last_one_closes(carrier: Carrier) -> None:
    await started(carrier)
    await carrier.store.begin(begin())
    policy = RetryOptions(maximum_attempts=2)
    token = AttemptToken("t")
    again = await carrier.store.finish(failed(named(), token, STARTED, FAILURE, policy))
    assert isinstance(again, RetryAt)
    assert (await record(carrier)).state is AttemptState.BACKING_OFF
    await carrier.advance(1_000)
    await carrier.store.redispatch(Redispatch(name=named(), token=None, attempt=2, due_in_ms=1_000))
    second = replace(begin("u"), name=named(2))
    assert isinstance(await carrier.store.begin(second), Begun)
    last = failed(named(2), AttemptToken("u"), replace(STARTED, attempt=2), FAILURE, policy)
    assert isinstance(await carrier.store.finish(last), Finished)
    view = await carrier.store.run(A)
    assert view is not None
    assert view.status is RunStatus.FAILED


@pytest.mark.parametrize("delay_ms", [0, 5_000])
async def test_a_cancel_ends_at_once_what_nobody_runs(carrier: Carrier, delay_ms: int) -> None:
    await started(carrier, start_delay_ms=delay_ms)
    cancel = cancel_of(A, RUN, reason="no", identity="me")
    answer = await carrier.store.cancel_standalone(cancel)
    assert isinstance(answer, CancelAsked)
    assert answer.closed
    assert await types(carrier) == [
        "WorkflowExecutionStarted",
        "ActivityTaskScheduled",
        "WorkflowExecutionCancelRequested",
        "WorkflowExecutionCanceled",
    ]
    again = await carrier.store.cancel_standalone(cancel)
    assert isinstance(again, NotOpen)
    assert again.status is RunStatus.CANCELED
    assert isinstance(await carrier.store.begin(begin()), Gone)


async def test_a_cancel_marks_what_runs_once_and_then_no_retry_is_made(carrier: Carrier) -> None:
    await started(carrier)
    await carrier.store.begin(begin())
    cancel = cancel_of(A, RUN, reason="no", identity="me")
    for _ in range(2):
        answer = await carrier.store.cancel_standalone(cancel)
        assert isinstance(answer, CancelAsked)
        assert not answer.closed
    assert (await record(carrier)).cancel_requested
    assert (await types(carrier)).count("WorkflowExecutionCancelRequested") == 1
    beat = Heartbeat(name=named(), token=AttemptToken("t"), details=None, due_in_ms=None)
    told = await carrier.store.heartbeat(beat)
    assert isinstance(told, Beaten)
    assert told.cancel_requested
    end = failed(named(), AttemptToken("t"), STARTED, FAILURE, RetryOptions())
    assert isinstance(await carrier.store.finish(end), Finished)
    view = await carrier.store.run(A)
    assert view is not None
    assert view.status is RunStatus.FAILED
    assert view.history_length == 5


async def test_an_attempt_that_ends_by_its_cancel_closes_as_cancelled(carrier: Carrier) -> None:
    await started(carrier)
    await carrier.store.begin(begin())
    await carrier.store.cancel_standalone(cancel_of(A, RUN, reason="", identity="me"))
    await carrier.store.finish(canceled(named(), AttemptToken("t"), STARTED))
    view = await carrier.store.run(A)
    assert view is not None
    assert view.status is RunStatus.CANCELED


async def test_a_cancel_of_what_is_not_there_says_so(carrier: Carrier) -> None:
    cancel = cancel_of(A, RUN, reason="", identity="me")
    assert isinstance(await carrier.store.cancel_standalone(cancel), NotOpen)
    await started(carrier)
    other = await carrier.store.cancel_standalone(replace(cancel, run_id=RunId("r9")))
    assert isinstance(other, NotOpen)
    assert other.status is None


async def test_a_terminated_activity_has_no_attempts(carrier: Carrier) -> None:
    await started(carrier)
    await carrier.store.begin(begin())
    close = ForcedClose(
        workflow_id=A, event=WorkflowExecutionTerminated(), status=RunStatus.TERMINATED
    )
    assert isinstance(await carrier.store.force_close(close), Closed)
    assert isinstance(await carrier.store.finish(done()), Gone)
    (row,) = (await carrier.store.due([ShardId(0)], limit=9))[0].timers
    assert row.kind.value == "after_close"
    await carrier.store.after_close_done(row, retention_ms=1_000)
    assert await due(carrier) == [("later", 1_000)]


async def test_retention_takes_all_of_it(carrier: Carrier) -> None:
    city = {"City": SearchAttribute(type=IndexedValueType.KEYWORD, value="Rome")}
    await started(carrier, search_attributes=city)
    await carrier.store.finish(done())
    await carrier.advance(10**11)
    (row,) = (await carrier.store.due([ShardId(0)], limit=9))[0].timers
    assert await carrier.store.delete_run(row)
    assert await carrier.store.run(A) is None
    page = await carrier.store.list_page(RunFilter(kind=RunKind.ACTIVITY), limit=9)
    assert page.rows == ()
    assert await due(carrier) == []


async def test_activities_and_workflows_are_listed_apart(carrier: Carrier) -> None:
    await started(carrier)
    mine, theirs = RunFilter(kind=RunKind.ACTIVITY), RunFilter()
    page = await carrier.store.list_page(mine, limit=9)
    assert [(row.workflow_id, row.workflow_type) for row in page.rows] == [(A, "charge")]
    assert (await carrier.store.list_page(theirs, limit=9)).rows == ()
    assert (await carrier.store.count_runs(mine))[RunStatus.RUNNING] == 1
    assert sum((await carrier.store.count_runs()).values()) == 0
