"""The ledger: rows of several processes, and what is left of one that was cut off."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator import activity
from orchestrator.converter import DataConverter
from orchestrator.testing import ActivityEnvironment
from orchestrator.testing.ledger import ActivityName, Begun, Effect, Ended, Ledger
from orchestrator.worker.activity_context import LocalContext, LocalOccurrence


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger, inside of an attempt."""
    info = replace(
        ActivityEnvironment.default_info(),
        activity_type="validate_and_pay",
        attempt=2,
        scheduled_event_id=5,
        workflow_id="order-1",
        workflow_run_id="run-1",
    )
    context = LocalContext(
        info,
        DataConverter.default.payload_converter,
        on_heartbeat=lambda *details: None,
        worker_shutdown=LocalOccurrence(),
        interruption=None,
    )
    token = activity.current_context.set(context)
    yield Ledger(tmp_path / "ledger.jsonl")
    activity.current_context.reset(token)


def test_an_attempt_leaves_its_begin_its_effects_and_its_end(ledger: Ledger) -> None:
    with ledger.attempt():
        ledger.effect("paid", subject="order-1", idempotency_key="order-1", amount=Decimal("12.50"))

    begun, effect, ended = ledger.read().rows

    assert isinstance(begun, Begun)
    assert isinstance(effect, Effect)
    assert isinstance(ended, Ended)
    assert begun.activity == ended.activity == ActivityName("order-1", "run-1", 5)
    assert (begun.attempt, begun.activity_type) == (2, "validate_and_pay")
    assert effect.amount == Decimal("12.50")
    assert ended.outcome == "completed"
    assert begun.time_us <= effect.time_us <= ended.time_us


def test_a_failure_is_told_and_goes_on(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="no such card"), ledger.attempt():
        raise ValueError("no such card")

    ended = ledger.read().rows[-1]

    assert isinstance(ended, Ended)
    assert (ended.outcome, ended.error) == ("failed", "ValueError: no such card")


async def test_a_cancelled_attempt_is_no_failed_one(ledger: Ledger) -> None:
    async def wait() -> None:
        with ledger.attempt():
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    ended = ledger.read().rows[-1]

    assert isinstance(ended, Ended)
    assert ended.outcome == "cancelled"


def test_half_a_row_spoils_no_other_and_is_counted(ledger: Ledger) -> None:
    with ledger.attempt():
        pass
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(whole[:-30])
    with ledger.attempt():
        pass

    found = ledger.read()

    assert [type(row) for row in found.rows] == [Begun, Begun, Ended]
    assert found.torn == 1


def test_a_ledger_that_nobody_wrote_is_empty(tmp_path: Path) -> None:
    assert Ledger(tmp_path / "absent").read().rows == ()


def _write(path: Path, process: int, rows: int) -> None:
    ledger = Ledger(path)
    for number in range(rows):
        row = Begun(
            time_us=number,
            pid=process,
            workflow_id="w" * 500,
            run_id="r",
            scheduled_event_id=number,
            activity_type="a",
            attempt=1,
        )
        ledger.append(row)


def test_rows_of_several_processes_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write, args=(path, n, 200)) for n in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(20)

    found = Ledger(path).read()

    assert found.torn == 0
    seen = sorted((row.pid, row.scheduled_event_id) for row in found.rows)
    assert seen == [(process, number) for process in range(3) for number in range(200)]
