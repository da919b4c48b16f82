"""Random lives of runs: results, failures, timers, signals, a cancel; several at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any, get_type_hints

from hypothesis import strategies as st

from orchestrator.definition.workflow import WorkflowDefinition
from orchestrator.wire import inbox
from orchestrator.wire.inbox import InboxBody
from tests.replay.driver import Driven

STEPS_MAX = 14
_ENDS = (
    inbox.ChildCompleted,
    inbox.ChildCompleted,
    inbox.ChildFailed,
    inbox.ChildCanceled,
    inbox.ChildTimedOut,
    inbox.ChildTerminated,
)


def play(
    driven: Driven,
    random: Random,
    *,
    result_of: Callable[[str], Any],
    signals: Callable[[], list[InboxBody]],
) -> None:
    """Give a run news of all kinds until it ends or has had enough.

    `result_of(activity type)` is what a completed activity returned; `signals()` may come with any
    task.
    """
    asked_to_cancel = False
    for _ in range(STEPS_MAX):
        news: list[InboxBody] = []
        for pending in list(driven.state.activities.values()):
            identity = pending.scheduled.activity_id
            fate = random.random()
            if pending.cancel_requested and fate < 0.5:
                news.append(driven.canceled(identity))
            elif fate < 0.4:
                result = result_of(pending.scheduled.activity_type)
                news.append(driven.completed(identity, result))
            elif fate < 0.5:
                news.append(driven.failed(identity))
        timers = sorted(driven.state.timers.values(), key=lambda timer: timer.fire_at_ms)
        due = timers[: random.randint(0, 2)]
        news.extend(driven.fired(timer.started.timer_id) for timer in due)
        news.extend(_of_others(driven, random))
        news.extend(signals())
        if random.random() < 0.1 and not asked_to_cancel:
            asked_to_cancel = True
            news.append(driven.cancel_asked("enough"))
        random.shuffle(news)
        driven.step(*news)
        if not driven.is_open:
            return


def _of_others(driven: Driven, random: Random) -> list[InboxBody]:
    """News of children, and answers to what was sent to other workflows; some come late."""
    news: list[InboxBody] = []
    for event_id, child in driven.state.children.items():
        fate = random.random()
        if child.run_id is None and fate < 0.4:
            news.append(driven.child(event_id, inbox.ChildStarted))
        elif child.run_id is None and fate < 0.5:
            news.append(driven.child(event_id, inbox.ChildStartFailed))
        elif fate < 0.8:
            news.append(driven.child_ended(event_id, random.choice(_ENDS)))
    for event_id in driven.state.externals:
        if random.random() < 0.6:
            news.append(driven.answered(event_id, found=random.random() < 0.8))
    return news


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Values of an annotated type, as they could come in life: amounts of money, short times."""
    if hint is timedelta:
        return st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=2))
    if hint is Decimal:
        return st.decimals(min_value=0, max_value=10_000, places=2)
    if hint is str:
        return st.text(st.characters(codec="utf-8"), max_size=10)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = get_type_hints(hint)
        fields = {field.name: values_of(hints[field.name]) for field in dataclasses.fields(hint)}
        return st.builds(hint, **fields)
    return st.from_type(hint)


def arguments_of(definition: WorkflowDefinition) -> st.SearchStrategy[tuple[Any, ...]]:
    """Arguments of a workflow's run method."""
    return st.tuples(*map(values_of, definition.arg_types or ()))


def signals_of(
    driven: Driven, definition: WorkflowDefinition
) -> st.SearchStrategy[list[InboxBody]]:
    """None or one of the signals that the class has handlers for."""
    kinds = [
        st.tuples(*map(values_of, found.signature.arg_types or ())).map(
            lambda args, name=name: driven.signaled(name, *args)
        )
        for name, found in definition.signals.items()
        if name is not None
    ]
    return st.lists(st.one_of(kinds), max_size=1) if kinds else st.just([])
