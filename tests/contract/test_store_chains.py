"""Runs that follow runs: what holds them back, what wakes them, and what they inherit."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.transition import Append, Close, ForcedClose
from orchestrator.ids import EventId, OperationId, RunId, ShardId
from orchestrator.ports.store import Appended, Closed, Committed, NotOpen, Refused, Repeat
from orchestrator.wire.events import WorkflowExecutionTimedOut
from orchestrator.wire.inbox import CancelReceived, FirstTask, SignalReceived
from orchestrator.wire.options import RunStatus
from tests.contract.store_carriers import (
    Carrier,
    W,
    commit_of,
    new_run,
    signal,
    start_of,
    sync,
)

SHARD = ShardId(0)
HOUR_MS = 3_600_000
CANCEL = Append(workflow_id=W, body=CancelReceived(), operation_id=OperationId("c"))


def backoff(run_id: str = "run-2") -> Any:
    return new_run(run_id, first_task_delay_ms=HOUR_MS, is_backoff=True)


def retry(**fields: Any) -> Close:
    return Close(status=RunStatus.FAILED, successor=backoff(), keep_inbox=True, **fields)


async def bodies(carrier: Carrier) -> list[type]:
    return [type(entry.body) for entry in (await sync(carrier.store)).unread]


async def appended(carrier: Carrier, append: Append) -> Appended:
    answer = await carrier.store.append(append)
    assert isinstance(answer, Appended)
    return answer


async def test_a_signal_ends_a_start_delay_and_not_a_back_off(carrier: Carrier) -> None:
    await carrier.store.start(start_of(first_task_delay_ms=HOUR_MS, is_backoff=True))
    assert (await appended(carrier, signal())).wake is None
    assert (await sync(carrier.store)).held_back
    await carrier.advance(HOUR_MS)
    repeat = await carrier.store.repeat_wakeup(W)
    assert isinstance(repeat, Repeat)
    assert repeat.first
    assert await bodies(carrier) == [FirstTask, SignalReceived]


async def test_a_request_to_cancel_ends_a_back_off(carrier: Carrier) -> None:
    await carrier.store.start(start_of(first_task_delay_ms=HOUR_MS, is_backoff=True))
    assert (await appended(carrier, signal())).wake is None
    assert (await appended(carrier, CANCEL)).wake is not None
    assert await bodies(carrier) == [FirstTask, SignalReceived, CancelReceived]
    assert await carrier.broken() == []


async def test_a_run_that_waits_is_not_handed_back(carrier: Carrier) -> None:
    await carrier.store.start(start_of(first_task_delay_ms=HOUR_MS, is_backoff=True))
    await carrier.store.hand_back(W, delay_ms=1)
    await carrier.advance(1_000)
    assert await carrier.store.repeat_wakeup(W) is None
    assert (await carrier.store.due([SHARD], limit=10))[0].wakeups == ()


async def test_the_end_of_a_run_that_is_tried_again_must_have_seen_every_signal(
    carrier: Carrier,
) -> None:
    await carrier.store.start(start_of())
    synced = await sync(carrier.store)
    await carrier.store.append(signal())
    refused = await carrier.store.commit(commit_of(synced, "t1", close=retry()))
    assert isinstance(refused, Refused)
    assert refused.unseen == 1
    assert (await sync(carrier.store)).head.run_id == "run-1"


async def test_a_successor_gets_what_a_forced_end_has_not_seen(carrier: Carrier) -> None:
    await carrier.store.start(start_of())
    synced = await sync(carrier.store)
    await carrier.store.append(signal())
    await carrier.store.append(CANCEL)
    transition = commit_of(synced, "t1", close=retry(forced=True))
    for _ in range(2):
        answer = await carrier.store.commit(transition)
        assert isinstance(answer, Committed)
        assert answer.woken is None
    await carrier.advance(HOUR_MS)
    assert await carrier.store.repeat_wakeup(W) is not None
    assert await bodies(carrier) == [SignalReceived, CancelReceived, FirstTask]
    assert await carrier.broken() == []


def timed_out(**fields: Any) -> ForcedClose:
    return ForcedClose(
        workflow_id=W,
        event=WorkflowExecutionTimedOut(new_execution_run_id="run-2"),
        status=RunStatus.TIMED_OUT,
        run_id=RunId("run-1"),
        successor=backoff(),
        due_only=True,
        **fields,
    )


async def test_a_time_out_hands_what_is_unread_to_the_run_that_follows(carrier: Carrier) -> None:
    await carrier.store.start(start_of(run_timeout_ms=5_000))
    await carrier.store.append(CANCEL)
    await carrier.advance(5_000)
    for _ in range(2):
        closed = await carrier.store.force_close(timed_out(expected_last_event_id=EventId(1)))
        assert isinstance(closed, Closed)
    await carrier.advance(HOUR_MS)
    assert await carrier.store.repeat_wakeup(W) is not None
    assert CancelReceived in await bodies(carrier)
    assert await carrier.broken() == []


@pytest.mark.parametrize("expected", [1, 3])
async def test_a_time_out_that_was_decided_on_another_history_is_refused(
    carrier: Carrier, expected: int
) -> None:
    await carrier.store.start(start_of(run_timeout_ms=5_000))
    assert isinstance(
        await carrier.store.commit(commit_of(await sync(carrier.store), "t1")), Committed
    )
    await carrier.advance(5_000)
    refused = await carrier.store.force_close(timed_out(expected_last_event_id=EventId(expected)))
    assert isinstance(refused, NotOpen)
    assert refused.status is RunStatus.RUNNING
    assert (await sync(carrier.store)).head.run_id == "run-1"
