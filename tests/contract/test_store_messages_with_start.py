"""A signal or update that goes with a start: one write, whichever run answers it."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.transition import Close, StartMessage, UpdateStage
from orchestrator.ids import EventId, OperationId, RunId, UpdateId
from orchestrator.limits import INBOX_ENTRIES_MAX
from orchestrator.ports.store import Attached, Committed, Full, Started, StartRefused
from orchestrator.wire.events import WorkflowExecutionTerminated
from orchestrator.wire.inbox import FirstTask, SignalReceived, UpdateReceived
from orchestrator.wire.options import RunStatus
from tests.contract.store_carriers import Carrier, W, commit_of, signal, start_of, sync

SIGNAL = StartMessage(
    body=SignalReceived(signal_name="approve"), operation_id=OperationId("operation-1")
)
UPDATE = StartMessage(
    body=UpdateReceived(update_id="u1", update_name="add", operation_id="operation-1"),
    operation_id=OperationId("operation-1"),
)
ACCEPTED = UpdateStage(update_id=UpdateId("u1"), accepted_event_id=EventId(2))
COMPLETED = UpdateStage(
    update_id=UpdateId("u1"), accepted_event_id=EventId(2), completed_event_id=EventId(2)
)
BOTH = pytest.mark.parametrize("message", [SIGNAL, UPDATE], ids=["signal", "update"])


async def bodies(carrier: Carrier) -> list[type]:
    return [type(entry.body) for entry in (await sync(carrier.store)).unread]


async def commit(carrier: Carrier, token: str = "t1", **fields: Any) -> None:
    answer = await carrier.store.commit(commit_of(await sync(carrier.store), token, **fields))
    assert isinstance(answer, Committed)


@BOTH
async def test_a_new_run_has_its_message_beside_its_first_task(
    carrier: Carrier, message: StartMessage
) -> None:
    started = await carrier.store.start(start_of(message=message))
    assert isinstance(started, Started)
    assert started.wake is not None
    assert (started.wake.entry, started.wake.first) == (None, None)
    synced = await sync(carrier.store)
    assert [type(entry.body) for entry in synced.unread] == [FirstTask, type(message.body)]
    assert synced.head.message_last == 2
    again = await carrier.store.start(start_of(message=message))
    assert isinstance(again, Started)
    assert not again.new
    assert len(await bodies(carrier)) == 2


@BOTH
async def test_a_run_that_is_held_back_stays_so_with_its_message(
    carrier: Carrier, message: StartMessage
) -> None:
    started = await carrier.store.start(start_of(message=message, first_task_delay_ms=60_000))
    assert isinstance(started, Started)
    assert started.wake is None
    assert (await sync(carrier.store)).held_back


@BOTH
async def test_an_open_run_that_is_used_gets_the_message_once(
    carrier: Carrier, message: StartMessage
) -> None:
    await carrier.store.start(start_of())
    await commit(carrier)
    for expected in (True, False):
        attached = await carrier.store.start(start_of("run-2", attach=True, message=message))
        assert isinstance(attached, Attached)
        assert attached.run_id == "run-1"
        assert (attached.wake is not None) is expected
        if expected:
            assert attached.wake is not None
            assert attached.wake.entry is not None
            assert attached.wake.entry.body == message.body
    assert await bodies(carrier) == [type(message.body)]
    assert await carrier.store.run(W, RunId("run-2")) is None


@BOTH
async def test_an_open_run_that_refuses_a_start_gets_no_message(
    carrier: Carrier, message: StartMessage
) -> None:
    await carrier.store.start(start_of())
    await commit(carrier)
    refused = await carrier.store.start(start_of("run-2", message=message))
    assert isinstance(refused, StartRefused)
    assert await bodies(carrier) == []


@BOTH
async def test_an_open_run_that_is_replaced_leaves_the_message_to_its_successor(
    carrier: Carrier, message: StartMessage
) -> None:
    await carrier.store.start(start_of())
    await carrier.store.append(signal())
    terminate = WorkflowExecutionTerminated(reason="replaced")
    started = await carrier.store.start(start_of("run-2", terminate=terminate, message=message))
    assert isinstance(started, Started)
    synced = await sync(carrier.store)
    assert synced.head.run_id == "run-2"
    assert [type(entry.body) for entry in synced.unread] == [FirstTask, type(message.body)]
    old = await carrier.store.run(W, RunId("run-1"))
    assert old is not None
    assert old.status is RunStatus.TERMINATED


@BOTH
async def test_a_run_that_has_too_much_unread_takes_no_message_with_a_start(
    carrier: Carrier, message: StartMessage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("memory.store_runs", "redis.answers"):
        monkeypatch.setattr(f"orchestrator.adapters.{place}.INBOX_ENTRIES_MAX", 1)
    await carrier.store.start(start_of())
    answer = await carrier.store.start(start_of("run-2", attach=True, message=message))
    assert isinstance(answer, Full)
    assert answer.unread == 1 < INBOX_ENTRIES_MAX


@pytest.mark.parametrize("policy", ["attach", "fail", "terminate"])
@pytest.mark.parametrize("stage", [ACCEPTED, COMPLETED], ids=["accepted", "completed"])
async def test_an_update_that_an_open_run_knows_is_found_whatever_the_policy(
    carrier: Carrier, stage: UpdateStage, policy: str
) -> None:
    await carrier.store.start(start_of())
    await commit(carrier, updates=(stage,))
    fields: dict[str, Any] = {  # Any: fields of StartRun
        "attach": {"attach": True},
        "fail": {},
        "terminate": {"terminate": WorkflowExecutionTerminated(reason="replaced")},
    }[policy]
    attached = await carrier.store.start(start_of("run-2", message=UPDATE, **fields))
    assert isinstance(attached, Attached)
    assert (attached.run_id, attached.wake) == ("run-1", None)
    assert await bodies(carrier) == []


@pytest.mark.parametrize(("stage", "found"), [(ACCEPTED, False), (COMPLETED, True)])
async def test_of_a_closed_run_only_completed_updates_are_found(
    carrier: Carrier, stage: UpdateStage, found: bool
) -> None:
    await carrier.store.start(start_of())
    close = Close(status=RunStatus.COMPLETED, nothing_left=True)
    await commit(carrier, updates=(stage,), close=close)
    answer = await carrier.store.start(start_of("run-2", message=UPDATE))
    assert isinstance(answer, Attached if found else Started)
    assert answer.run_id == ("run-1" if found else "run-2")


async def test_another_update_of_a_closed_run_starts_a_new_one_unless_that_is_refused(
    carrier: Carrier,
) -> None:
    await carrier.store.start(start_of())
    close = Close(status=RunStatus.COMPLETED, nothing_left=True)
    await commit(carrier, close=close)
    refused = await carrier.store.start(start_of("run-2", message=UPDATE, after_completed=False))
    assert isinstance(refused, StartRefused)
    started = await carrier.store.start(start_of("run-2", message=UPDATE))
    assert isinstance(started, Started)
    assert await bodies(carrier) == [FirstTask, UpdateReceived]
