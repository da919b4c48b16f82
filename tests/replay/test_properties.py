"""Memo, search attributes and details that workflow code sets: seen at once, and on replay."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator import workflow
from orchestrator.common import (
    Priority,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
)
from orchestrator.exceptions import ApplicationError
from orchestrator.limits import SEARCH_ENTRIES_MAX
from orchestrator.replay.facts import TaskFailure
from orchestrator.wire import events as e
from orchestrator.wire import options
from orchestrator.wire import relation_events as r
from orchestrator.wire.search_attributes import IndexedValueType, SearchAttribute
from tests.replay.driver import CONVERTER, Driven, kinds, workflow_of

CITY = SearchAttributeKey.for_keyword("City")
PRICE = SearchAttributeKey.for_float("Price")
COUNT = SearchAttributeKey.for_int("Count")
PAID = SearchAttributeKey.for_bool("Paid")
DUE = SearchAttributeKey.for_datetime("Due")
TAGS = SearchAttributeKey.for_keyword_list("Tags")
NOTE = SearchAttributeKey.for_text("Note")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROME = {"City": SearchAttribute(type=IndexedValueType.KEYWORD, value="Rome")}


@workflow_of
async def upserts(self) -> list[Any]:
    workflow.upsert_search_attributes(
        [
            PRICE.value_set(9.5),
            COUNT.value_set(3),
            PAID.value_set(True),
            DUE.value_set(NOON),
            TAGS.value_set(["a", "b"]),
            NOTE.value_set("as you like it"),
            CITY.value_unset(),
        ]
    )
    found = workflow.info().typed_search_attributes
    seen = [found[key] for key in (PRICE, COUNT, PAID, DUE, TAGS, NOTE)]
    await asyncio.sleep(1)
    return [*seen, found.get(CITY), CITY in found, len(found)]


def test_each_type_of_search_attribute_is_set_and_removed_and_seen_at_once() -> None:
    driven = Driven(upserts, search_attributes=ROME)
    assert kinds(driven.step())[0] == "UpsertSearchAttributes"
    driven.step(driven.fired(1))
    noon = "2026-03-01T12:00:00Z"
    assert driven.result() == [9.5, 3, True, noon, ["a", "b"], "as you like it", None, False, 6]
    assert driven.state.search_attributes["Due"].value == "2026-03-01T12:00:00+00:00"
    assert "City" not in driven.state.search_attributes
    driven.check_replays()


@workflow_of
async def sees_what_it_was_started_with(self) -> list[Any]:
    info = workflow.info()
    return [info.typed_search_attributes[CITY], list(info.search_attributes["City"])]


def test_attributes_of_the_start_are_known() -> None:
    driven = Driven(sees_what_it_was_started_with, search_attributes=ROME)
    driven.step()
    assert driven.result() == ["Rome", ["Rome"]]
    driven.check_replays()


@workflow_of
async def upserts_nothing(self) -> None:
    workflow.upsert_search_attributes([])
    workflow.upsert_memo({})


def test_no_change_leaves_no_trace() -> None:
    driven = Driven(upserts_nothing)
    assert kinds(driven.step()) == ["CompleteWorkflowExecution"]
    driven.check_replays()


WRONG = {
    "type": lambda: COUNT.value_set("three"),  # type: ignore[arg-type]  # what a user may do
    "bool": lambda: COUNT.value_set(True),
    "naive": lambda: DUE.value_set(datetime(2026, 1, 1)),
    "nan": lambda: PRICE.value_set(float("nan")),
    "huge": lambda: COUNT.value_set(1 << 64),
    "long": lambda: CITY.value_set("x" * 3000),
    "list": lambda: TAGS.value_set([1]),  # type: ignore[list-item]  # what a user may do
    "object": lambda: CITY.value_set(object()),  # type: ignore[arg-type]  # what a user may do
    "surrogate": lambda: CITY.value_set("\ud800"),
    "reserved": lambda: SearchAttributeKey.for_keyword("TemporalChangeVersion").value_set("x"),
    "built-in": lambda: SearchAttributeKey.for_keyword("WorkflowType").value_set("x"),
    "nameless": lambda: SearchAttributeKey.for_keyword("").value_set("x"),
    "many": lambda: TAGS.value_set([str(n) for n in range(SEARCH_ENTRIES_MAX + 1)]),
}


@workflow_of
async def upserts_wrongly(self, how: str) -> None:
    workflow.upsert_search_attributes([WRONG[how]()])


@pytest.mark.parametrize("how", WRONG)
def test_a_value_that_cannot_be_looked_up_fails_the_task_and_names_the_attribute(how: str) -> None:
    driven = Driven(upserts_wrongly, how)
    answer = driven.attempt()
    assert isinstance(answer, TaskFailure)
    assert "search attribute" in answer.failure.message
    assert driven.run.evict()


@workflow_of
async def notes(self) -> list[Any]:
    workflow.upsert_memo({"a": None, "b": 2, "c": {"d": 3}})
    seen = [workflow.memo(), workflow.memo_value("b", type_hint=int)]
    await asyncio.sleep(1)
    workflow.upsert_memo({"b": None})
    return [*seen, sorted(workflow.info().raw_memo), workflow.memo_value("b", "none")]


def test_notes_are_changed_and_removed_and_seen_at_once() -> None:
    (one,) = CONVERTER.to_payloads([1])
    driven = Driven(notes, memo={"a": one, "z": one})
    driven.step()
    driven.step(driven.fired(1))
    assert driven.result() == [{"z": 1, "b": 2, "c": {"d": 3}}, 2, ["c", "z"], "none"]
    assert sorted(driven.state.memo) == ["c", "z"]
    driven.check_replays()


@workflow.defn
class Details:
    @workflow.run
    async def run(self) -> str:
        workflow.set_current_details("**cooking**")
        await asyncio.sleep(1)
        return workflow.get_current_details()

    @workflow.signal
    def poke(self) -> None: ...

    @workflow.query
    def spoil(self) -> None:
        workflow.set_current_details("cold")


def test_details_are_kept_by_the_code_and_told_by_a_query() -> None:
    driven = Driven(Details)
    assert kinds(driven.step()) == ["StartTimer 1"]
    answer = driven.run.query("__temporal_workflow_metadata", [])
    (metadata,) = CONVERTER.from_payloads([answer])  # type: ignore[list-item]  # it is a Payload
    assert metadata["currentDetails"] == "**cooking**"
    assert metadata["definition"]["type"] == "Details"
    assert metadata["definition"]["signalDefinitions"] == [{"name": "poke"}]
    driven.step(driven.fired(1))
    assert driven.result() == "**cooking**"
    driven.check_replays()


def test_a_query_must_not_set_details() -> None:
    driven = Driven(Details)
    driven.step()
    assert "must not change the workflow" in str(driven.run.query("spoil", []))
    assert driven.run.evict()


@workflow_of
async def continues(self) -> None:
    workflow.upsert_memo({"b": 2})
    workflow.upsert_search_attributes([COUNT.value_set(3)])
    workflow.patched("p")
    workflow.continue_as_new()


def test_a_successor_inherits_notes_and_attributes_as_they_are_but_no_patches() -> None:
    (one,) = CONVERTER.to_payloads([1])
    driven = Driven(
        continues,
        memo={"a": one},
        search_attributes=ROME,
        static_summary="s",
        static_details="d",
        priority=options.Priority(priority_key=1),
        cron_schedule="@daily",
    )
    driven.step()
    assert driven.successor is not None
    started = driven.successor.started
    assert sorted(started.memo) == ["a", "b"]
    assert sorted(started.search_attributes) == ["City", "Count"]
    assert (started.static_summary, started.static_details) == ("s", "d")
    assert started.priority.priority_key == 1
    assert (started.cron_schedule, started.initiator) == ("@daily", options.RunInitiator.WORKFLOW)
    driven.check_replays()


@workflow_of
async def continues_with_others(self) -> None:
    workflow.continue_as_new(
        memo={"b": 2},
        search_attributes=TypedSearchAttributes([SearchAttributePair(COUNT, 3)]),
        backoff_start_interval=timedelta(minutes=5),
    )


def test_what_continue_as_new_gives_replaces_what_would_be_inherited() -> None:
    (one,) = CONVERTER.to_payloads([1])
    driven = Driven(continues_with_others, memo={"a": one}, search_attributes=ROME)
    driven.step()
    assert driven.successor is not None
    started = driven.successor.started
    assert list(started.memo) == ["b"]
    assert list(started.search_attributes) == ["Count"]
    assert started.first_task_backoff_ms == 300_000
    driven.check_replays()


@workflow_of
async def looks_back(self) -> list[Any]:
    failure = workflow.get_last_failure()
    return [
        workflow.has_last_completion_result(),
        workflow.get_last_completion_result(),
        None if failure is None else str(failure),
        workflow.info().cron_schedule,
        workflow.info().priority.priority_key,
    ]


def test_code_knows_what_earlier_runs_have_left() -> None:
    (result,) = CONVERTER.to_payloads([{"n": 1}])
    failure = CONVERTER.to_failure(ApplicationError("no", type="T"))
    driven = Driven(
        looks_back,
        last_completion_result=result,
        continued_failure=failure,
        cron_schedule="@daily",
        priority=options.Priority(priority_key=2),
    )
    driven.step()
    assert driven.result() == [True, {"n": 1}, "T: no", "@daily", 2]
    driven.check_replays()


def test_the_first_run_of_all_has_nothing_to_look_back_at() -> None:
    driven = Driven(looks_back)
    driven.step()
    assert driven.result() == [False, None, None, None, None]
    driven.check_replays()


def test_a_name_is_given_once_and_found_by_its_whole_key() -> None:
    pairs = TypedSearchAttributes([SearchAttributePair(CITY, "Rome")])
    assert pairs[CITY] == "Rome"
    assert SearchAttributeKey.for_int("City") not in pairs
    assert pairs.updated(SearchAttributePair(CITY, "Oslo"))[CITY] == "Oslo"
    with pytest.raises(KeyError):
        pairs[COUNT]
    with pytest.raises(ValueError, match="given twice"):
        TypedSearchAttributes([SearchAttributePair(CITY, "a"), SearchAttributePair(CITY, "b")])


@pytest.mark.parametrize(
    "wrong", [{"priority_key": 6}, {"fairness_key": "x" * 65}, {"fairness_weight": 0.0}]
)
def test_a_priority_has_bounds(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Priority(**wrong)


def test_an_upsert_is_an_event_of_its_own() -> None:
    driven = Driven(continues)
    driven.step()
    types = [event.type for event in driven.history[3:]]
    assert types == [
        "WorkflowTaskCompleted",
        "WorkflowPropertiesModified",
        "UpsertWorkflowSearchAttributes",
        "MarkerRecorded",
        "UpsertWorkflowSearchAttributes",
        "WorkflowExecutionContinuedAsNew",
    ]
    completed = driven.history[3].attributes
    assert isinstance(completed, e.WorkflowTaskCompleted)
    assert completed.patches == ("p",)
    assert driven.run.evict()


@workflow_of
async def prefers(self) -> None:
    own = Priority(priority_key=1)
    for priority in (None, own):
        workflow.start_activity(
            "pay", start_to_close_timeout=timedelta(seconds=5), priority=priority
        )
    await workflow.start_child_workflow(
        "Child",
        id="c",
        priority=own,
        cron_schedule="@daily",
        static_summary="s",
        static_details="d",
        search_attributes=TypedSearchAttributes([SearchAttributePair(COUNT, 3)]),
    )


def test_what_a_run_starts_inherits_its_priority_part_by_part() -> None:
    asked = options.Priority(priority_key=4, fairness_key="shop")
    driven = Driven(prefers, priority=asked)
    driven.step()
    first, second, child = (event.attributes for event in driven.history[-3:])
    assert isinstance(first, e.ActivityTaskScheduled)
    assert isinstance(second, e.ActivityTaskScheduled)
    assert first.priority == asked
    assert second.priority == options.Priority(priority_key=1, fairness_key="shop")
    assert isinstance(child, r.StartChildWorkflowExecutionInitiated)
    assert child.priority == second.priority
    assert (child.cron_schedule, child.static_summary, child.static_details) == ("@daily", "s", "d")
    assert list(child.search_attributes) == ["Count"]
    driven.check_replays()
