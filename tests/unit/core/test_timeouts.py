"""Which clock comes first, when an activity's row is armed."""

from __future__ import annotations

import pytest

from orchestrator.core.attempts import AttemptFacts, RunFacts, task_of
from orchestrator.core.timeouts import (
    beaten_due_in_ms,
    dispatch_due_in_ms,
    first_due_at_ms,
    running_due_in_ms,
)
from orchestrator.ids import ActivityKey, EventId, Namespace
from orchestrator.limits import ASK_HOLDER_MS, DISPATCH_REPEATS_MS
from orchestrator.wire.events import ActivityTaskScheduled
from orchestrator.wire.tasks import ActivityTask
from tests.unit.core.histories import RUN, T0, WORKFLOW

LONG_MS = 3_600_000
"""More than a delivery is held for."""


def scheduled(**times_ms: int) -> ActivityTaskScheduled:
    return ActivityTaskScheduled(
        activity_id="1", activity_type="pay", task_queue="orders", **times_ms
    )


def task(**times_ms: int) -> ActivityTask:
    run = RunFacts(
        namespace=Namespace("default"),
        workflow_id=WORKFLOW,
        run_id=RUN,
        workflow_type="Order",
        task_queue="orders",
    )
    facts = AttemptFacts(
        event_id=EventId(5),
        key=ActivityKey("k"),
        attempt=1,
        scheduled_at_ms=T0,
        attempt_scheduled_at_ms=T0,
    )
    return task_of(run, scheduled(**times_ms), facts)


@pytest.mark.parametrize(
    ("times_ms", "due_in_ms"),
    [
        ({"start_to_close_timeout_ms": 10}, DISPATCH_REPEATS_MS[0]),
        ({"schedule_to_start_timeout_ms": 30, "schedule_to_close_timeout_ms": 20}, 20),
        ({"schedule_to_start_timeout_ms": 30, "schedule_to_close_timeout_ms": LONG_MS}, 30),
    ],
)
def test_a_fresh_activity_is_looked_at_for_its_dispatch_or_its_nearest_deadline(
    times_ms: dict[str, int], due_in_ms: int
) -> None:
    assert first_due_at_ms(scheduled(**times_ms), now_ms=T0) == T0 + due_in_ms


def test_a_task_that_nobody_begins_is_published_ever_more_slowly() -> None:
    waits = [
        dispatch_due_in_ms(scheduled(), waited_ms=LONG_MS, repeats=repeats)
        for repeats in range(len(DISPATCH_REPEATS_MS) + 1)
    ]
    assert waits == [*DISPATCH_REPEATS_MS, DISPATCH_REPEATS_MS[-1]]


@pytest.mark.parametrize(("waited_ms", "due_in_ms"), [(0, 1_500), (1_200, 300), (9_000, 0)])
def test_schedule_to_start_is_looked_at_on_time_however_long_it_waited(
    waited_ms: int, due_in_ms: int
) -> None:
    waiting = scheduled(schedule_to_start_timeout_ms=1_500)
    assert dispatch_due_in_ms(waiting, waited_ms=waited_ms, repeats=0) == due_in_ms


@pytest.mark.parametrize(
    ("times_ms", "running_ms", "begun_in_ms", "beaten_in_ms"),
    [
        ({"start_to_close_timeout_ms": 9_000}, 4_000, 9_000, 5_000),
        ({"start_to_close_timeout_ms": 9_000}, 9_500, 9_000, 0),
        ({"start_to_close_timeout_ms": 9_000, "heartbeat_timeout_ms": 600}, 4_000, 600, 600),
        ({"start_to_close_timeout_ms": 9_000, "heartbeat_timeout_ms": 600}, 8_900, 600, 100),
        ({"start_to_close_timeout_ms": LONG_MS}, 4_000, ASK_HOLDER_MS, ASK_HOLDER_MS),
        ({"schedule_to_close_timeout_ms": 9_000}, 4_000, None, None),
    ],
)
def test_a_running_attempt_is_looked_at_for_its_nearest_clock_and_a_heartbeat_moves_its_own(
    times_ms: dict[str, int],
    running_ms: int,
    begun_in_ms: int | None,
    beaten_in_ms: int | None,
) -> None:
    assert running_due_in_ms(task(**times_ms)) == begun_in_ms
    assert beaten_due_in_ms(task(**times_ms), running_ms=running_ms) == beaten_in_ms
