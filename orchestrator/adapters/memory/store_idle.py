"""What an environment of tests must know before it may skip time: what runs, and what is next."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.adapters.memory.store_state import MemoryState
from orchestrator.ids import TaskQueue
from orchestrator.ports.store import AttemptState, DueKind
from orchestrator.wire.options import RunStatus

_IDLE = frozenset({DueKind.RETENTION, DueKind.CHILD_WATCH})


class MemoryIdle:
    """Looks at the whole store; part of no port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    def runs_attempts(self) -> bool:
        """Whether a process that listens runs an attempt: its time is real time. An attempt that
        was left to those outside runs in no process."""
        return any(
            attempt.record.state is AttemptState.RUNNING
            and not attempt.record.detached
            and attempt.record.holder in self._state.listeners
            for record in self._state.runs.values()
            if record.status is RunStatus.RUNNING
            for attempt in record.attempts.values()
        )

    def next_due_ms(self, *, waits: Callable[[TaskQueue], bool]) -> int | None:
        """When the next row is due; None when nothing will happen by itself.

        Retention is no reason to skip a week, nor is the watch of a child, which no memory loses,
        nor the repeat of a wake-up whose queue still holds one (`waits`): nobody takes it. Nor is
        the next try of a run that has a problem: it would fail a thousand times in a second, and
        time would run away from the test.
        """
        due = [ms for (kind, *_), ms in self._state.timers.items() if kind not in _IDLE]
        due += [
            workflow.row.due_at_ms
            for workflow in self._state.workflows.values()
            if workflow.row is not None
            and workflow.head.problem is None
            and not waits(workflow.head.task_queue)
        ]
        return min(due, default=None)
