"""What waiting code sees, and what is asked, when its run is cancelled: every awaitable, every
cancellation type, at every moment."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from orchestrator import workflow
from orchestrator.exceptions import ActivityError, ChildWorkflowError
from orchestrator.wire.inbox import ExternalCancelRequested, InboxBody
from orchestrator.workflow import ActivityCancellationType, ChildWorkflowCancellationType
from tests.replay.driver import Driven, kinds, workflow_of
from tests.replay.test_relations import answered, begun, canceled, returned

CLOSE = timedelta(seconds=5)


async def _begin(what: str, kind: str) -> asyncio.Future[Any]:  # Any: a result of any type
    if what == "timer":
        return asyncio.create_task(asyncio.sleep(60, "done"))
    if what == "activity":
        return workflow.start_activity(
            "pay",
            start_to_close_timeout=CLOSE,
            cancellation_type=ActivityCancellationType[kind],
        )
    return await workflow.start_child_workflow(
        "Pack", id="pack", cancellation_type=ChildWorkflowCancellationType[kind]
    )


@workflow_of
async def cancelled(self, what: str, kind: str, shielded: bool) -> str:
    waited = await _begin(what, kind)
    try:
        saw = f"the result {await (asyncio.shield(waited) if shielded else waited)!r}"
    except (ActivityError, ChildWorkflowError) as error:
        saw = f"{type(error).__name__} of {type(error.cause).__name__}"
    except asyncio.CancelledError:
        saw = "CancelledError"
    if shielded:
        saw += f", then {await waited!r}"
    return saw


@workflow_of
async def cancelled_unsent(self, what: str, kind: str) -> str:
    waited = asyncio.create_task(_wait(what, kind))
    for _ in range(3):
        await asyncio.sleep(0)  # It has begun, and its command has not left.
    waited.cancel()
    try:
        return f"the result {await waited!r}"
    except (ActivityError, ChildWorkflowError) as error:
        return f"{type(error).__name__} of {type(error.cause).__name__}"
    except asyncio.CancelledError:
        return "CancelledError"


async def _wait(what: str, kind: str) -> Any:  # Any: a result of any type
    return await (await _begin(what, kind))


class Waits:
    """One thing that is waited for, with the news of it."""

    def __init__(self, what: str, kind: str, *, shielded: bool = False) -> None:
        self.what = what
        self.driven = Driven(cancelled, what, kind, shielded)
        self.driven.step()
        if what == "child":
            self.driven.step(begun(self.driven))

    def completed(self) -> InboxBody:
        if self.what == "timer":
            return self.driven.fired(1)
        if self.what == "activity":
            return self.driven.completed("pay", "done")
        return returned(self.driven, "done")

    def ended_as_cancelled(self) -> InboxBody:
        return self.driven.canceled("pay") if self.what == "activity" else canceled(self.driven)

    def request_arrived(self) -> InboxBody:
        return answered(self.driven, ExternalCancelRequested)


TIMER = "CancelledError"
ACTIVITY, CHILD = "ActivityError of CancelledError", "ChildWorkflowError of CancelledError"
CANCEL_ACTIVITY = ["RequestCancelActivityTask 1"]
CANCEL_CHILD = ["RequestCancelExternalWorkflowExecution"]
# What is waited for, its cancellation type, what is asked, the news that end the wait ("": none are
# needed), and what the code sees then.
TABLE: list[tuple[str, str, list[str], str, str]] = [
    ("timer", "", ["CancelTimer 1"], "", TIMER),
    ("activity", "TRY_CANCEL", CANCEL_ACTIVITY, "", ACTIVITY),
    ("activity", "ABANDON", [], "", ACTIVITY),
    ("activity", "WAIT_CANCELLATION_COMPLETED", CANCEL_ACTIVITY, "ended_as_cancelled", ACTIVITY),
    ("child", "TRY_CANCEL", CANCEL_CHILD, "", CHILD),
    ("child", "ABANDON", [], "", CHILD),
    ("child", "WAIT_CANCELLATION_REQUESTED", CANCEL_CHILD, "request_arrived", CHILD),
    ("child", "WAIT_CANCELLATION_COMPLETED", CANCEL_CHILD, "ended_as_cancelled", CHILD),
]
COMPLETE = ["CompleteWorkflowExecution"]


@pytest.mark.parametrize(("what", "kind", "asks", "ended_by", "sees"), TABLE)
@pytest.mark.parametrize(
    "moment",
    [
        "while it runs",
        "shielded",
        "with its completion before",
        "with its completion behind",
        "and it completes all the same",
        "before it was sent",
    ],
)
def test_a_cancel_asks_and_ends_the_wait_as_the_type_says(
    what: str, kind: str, asks: list[str], ended_by: str, sees: str, moment: str
) -> None:
    if moment == "before it was sent":
        driven = Driven(cancelled_unsent, what, kind)
        assert kinds(driven.step()) == COMPLETE, "as if it had never been asked for"
        assert driven.result() == sees
        driven.check_replays()
        return
    waits = Waits(what, kind, shielded=moment == "shielded")
    driven = waits.driven
    match moment:
        case "while it runs":
            asked = driven.step(driven.cancel_asked())
            assert kinds(asked) == asks + ([] if ended_by else COMPLETE)
            if ended_by:
                assert kinds(driven.step(getattr(waits, ended_by)())) == COMPLETE
        case "shielded":
            assert driven.step(driven.cancel_asked()) == ()
            driven.step(waits.completed())
            sees = "CancelledError, then 'done'"
        case "with its completion before":
            asked = driven.step(waits.completed(), driven.cancel_asked())
            assert kinds(asked) == COMPLETE
            sees = "CancelledError"  # The cancel is not lost, and there is nothing left to ask.
        case "with its completion behind":
            asked = driven.step(driven.cancel_asked(), waits.completed())
            assert kinds(asked) == COMPLETE
            sees = "CancelledError"
        case _:
            driven.step(driven.cancel_asked())
            if ended_by:
                driven.step(waits.completed())
                sees = "the result 'done'"
    assert driven.result() == sees
    driven.check_replays()
