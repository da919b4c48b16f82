"""Publishing what the store answered: wake-ups and activity tasks.

A wake-up goes to its worker's own queue while there is one, and to the shared queue when that queue
is gone. Whatever is lost here is made again from its row.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from orchestrator.ids import Namespace, TaskQueue, WorkflowId
from orchestrator.limits import INLINE_ENTRY_BYTES_MAX
from orchestrator.ports.broker import (
    ActivityQueue,
    Broker,
    Outgoing,
    Published,
    StickyQueue,
    WorkflowQueue,
)
from orchestrator.ports.store import Wake
from orchestrator.wire import codec
from orchestrator.wire.inbox import InboxEntry
from orchestrator.wire.tasks import ActivityTask, InlineEntry, WorkflowTask

Done = Callable[[bool], None]
"""Told whether the broker has the message."""


class Dispatcher:
    """Publishes the work of one namespace. Never waits; `done` is called once for each message."""

    def __init__(self, broker: Broker, namespace: Namespace) -> None:
        self._broker = broker
        self._namespace = namespace

    def wake(self, workflow_id: WorkflowId, wake: Wake, done: Done | None = None) -> None:
        """Publish a wake-up, first to its worker's own queue if it has one."""
        body = codec.encode(
            WorkflowTask(
                namespace=self._namespace,
                workflow_id=workflow_id,
                entry=_inline(wake.entry),
                first=wake.first,
            )
        )
        shared = WorkflowQueue(wake.task_queue)
        if wake.sticky is None:
            self._broker.publish(Outgoing(to=shared, body=body), _told(done))
            return

        def fall_back(outcome: Published) -> None:
            if outcome is Published.UNROUTABLE:
                self._broker.publish(Outgoing(to=shared, body=body), _told(done))
            elif done is not None:
                done(outcome is Published.CONFIRMED)

        own = StickyQueue(wake.sticky, wake.task_queue)
        self._broker.publish(Outgoing(to=own, body=body), fall_back)

    def repeat(
        self, workflow_id: WorkflowId, task_queue: TaskQueue, done: Done | None = None
    ) -> None:
        """Publish a wake-up again: to the shared queue, without entry, counted as an attempt."""
        body = codec.encode(
            WorkflowTask(namespace=self._namespace, workflow_id=workflow_id, repeat=True)
        )
        self._broker.publish(Outgoing(to=WorkflowQueue(task_queue), body=body), _told(done))

    def activity(self, task: ActivityTask, done: Done | None = None) -> None:
        """Publish an activity task."""
        to = ActivityQueue(TaskQueue(task.task_queue))
        self._broker.publish(Outgoing(to=to, body=codec.encode(task)), _told(done))


def _told(done: Done | None) -> Callable[[Published], None] | None:
    if done is None:
        return None
    return lambda outcome: done(outcome is Published.CONFIRMED)


def _inline(entry: InboxEntry | None) -> InlineEntry | None:
    if entry is None:
        return None
    data = codec.encode(entry.body)
    if len(data) > INLINE_ENTRY_BYTES_MAX:
        return None
    return InlineEntry(
        number=entry.number,
        mark=entry.mark,
        time_ms=entry.time_ms,
        type=entry.type,
        data=msgspec.Raw(data),
    )
