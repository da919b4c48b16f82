"""Which repeats a queue is given."""

from __future__ import annotations

from orchestrator.engine.redrive import to_publish
from orchestrator.ids import TaskQueue, WorkflowId
from orchestrator.ports.store import Repeat


def repeat(name: str, *, first: bool = False, waiting_ms: int = 2_000) -> tuple[WorkflowId, Repeat]:
    return WorkflowId(name), Repeat(
        task_queue=TaskQueue("q"), first=first, waiting_ms=waiting_ms, now_ms=0
    )


def names(rows: list[tuple[WorkflowId, Repeat]]) -> list[str]:
    return [workflow_id for workflow_id, _ in rows]


def test_an_empty_queue_gets_every_due_wake_up() -> None:
    assert names(to_publish([repeat("a"), repeat("b")], ready=0)) == ["a", "b"]


def test_a_queue_gets_only_what_exceeds_the_messages_it_holds() -> None:
    assert names(to_publish([repeat("a"), repeat("b"), repeat("c")], ready=2)) == ["a"]
    assert to_publish([repeat("a")], ready=5) == []


def test_what_was_held_back_until_now_is_always_published() -> None:
    assert names(to_publish([repeat("a"), repeat("b", first=True)], ready=100)) == ["b"]


def test_what_has_waited_for_a_minute_is_published_whatever_the_queue_holds() -> None:
    assert names(to_publish([repeat("a", waiting_ms=60_000)], ready=100)) == ["a"]
