"""A million records without a million pending children: a few at a time, each followed by the next.

A run starts children up to its window, and goes on as a new run after a while. Children outlive the
run that started them: they are abandoned by it, and report to whichever run has the id then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator import workflow


@dataclass
class Batch:
    """The records from `next` to `end`; those `running` have been begun and have not reported."""

    end: int
    window: int = 10
    next: int = 0
    done: int = 0
    running: list[int] = field(default_factory=list)


@workflow.defn
class SlidingWindow:
    """Processes all records of a batch."""

    @workflow.init
    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._running = set(batch.running)

    @workflow.run
    async def run(self, batch: Batch) -> int:
        """How many were processed."""
        for record in range(batch.next, min(batch.end, batch.next + STARTED_BY_ONE_RUN)):
            await workflow.wait_condition(lambda: len(self._running) < batch.window)
            await self._start(record)
            batch.next += 1
        if batch.next < batch.end:
            batch.running = sorted(self._running)
            workflow.continue_as_new(batch)
        await workflow.wait_condition(lambda: not self._running)
        return batch.done

    @workflow.signal
    def report(self, record: int) -> None:
        """A record is processed. It counts once, however often it is reported."""
        if record in self._running:
            self._running.remove(record)
            self._batch.done += 1

    async def _start(self, record: int) -> None:
        self._running.add(record)
        me = workflow.info().workflow_id
        await workflow.start_child_workflow(
            ProcessRecord.run,
            args=[me, record],
            id=f"{me}/{record}",
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
        )


@workflow.defn
class ProcessRecord:
    """Does one record and tells its batch."""

    @workflow.run
    async def run(self, batch_id: str, record: int) -> None:
        await workflow.sleep(0.1 * (record % 3 + 1))
        batch = workflow.get_external_workflow_handle_for(SlidingWindow.run, batch_id)
        await batch.signal(SlidingWindow.report, record)


STARTED_BY_ONE_RUN = 8
WORKFLOWS: list[type] = [SlidingWindow, ProcessRecord]
ACTIVITIES: list[Callable[..., object]] = []
