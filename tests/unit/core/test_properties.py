"""What is known of a run beside its progress: its search attributes and memo, as they are now."""

from __future__ import annotations

from orchestrator.core.fold import fold
from orchestrator.wire import events as e
from orchestrator.wire.commands import (
    Command,
    ModifyWorkflowProperties,
    UpsertSearchAttributes,
)
from orchestrator.wire.inbox import FirstTask
from orchestrator.wire.payload import Payload
from orchestrator.wire.search_attributes import IndexedValueType, SearchAttribute
from tests.unit.core.histories import (
    RUN,
    WORKFLOW,
    activate,
    entry,
    started_event,
)

CITY = SearchAttribute(type=IndexedValueType.KEYWORD, value="Rome")
PRICE = SearchAttribute(type=IndexedValueType.DOUBLE, value=1.5)
ONE, TWO = Payload.of_json(b"1"), Payload.of_json(b"2")


def test_changes_are_laid_over_what_the_run_was_started_with() -> None:
    first = started_event(search_attributes={"City": CITY}, memo={"a": ONE, "b": ONE})
    state = fold(WORKFLOW, RUN, [first])
    commands: list[Command] = [
        UpsertSearchAttributes(search_attributes={"City": None, "Price": PRICE}),
        ModifyWorkflowProperties(upserted_memo={"a": None, "c": TWO}),
    ]
    (transition,) = activate(state, [entry(1, FirstTask(run_id=RUN))], commands)
    assert state.search_attributes == {"Price": PRICE}
    assert state.memo == {"b": ONE, "c": TWO}
    assert isinstance(first.attributes, e.WorkflowExecutionStarted)
    assert first.attributes.memo == {"a": ONE, "b": ONE}
    assert fold(WORKFLOW, RUN, [first, *transition.events]) == state
