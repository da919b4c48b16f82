"""Reads of runs and histories in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from orchestrator.adapters.redis import answers
from orchestrator.adapters.redis.answers import Part
from orchestrator.ids import EventId, OperationId, RunId, TaskQueue, UpdateId, WorkflowId
from orchestrator.limits import HISTORY_PAGE_EVENTS
from orchestrator.ports.store import Ending, RunView, UpdateView
from orchestrator.wire.codec import (
    memo_decoder,
    search_attributes_decoder,
    update_reply_decoder,
)
from orchestrator.wire.events import CLOSING_TYPES, HistoryEvent
from orchestrator.wire.options import RunStatus


class RedisReads(Part):
    """What is read of a run."""

    async def run(self, workflow_id: WorkflowId, run_id: RunId | None = None) -> RunView | None:
        """See `RunStore.run`."""
        target = run_id or await self._newest(workflow_id)
        if target is None:
            return None
        # Read in this order: a record that says closed was written with its closing event.
        head, record, ending = await asyncio.gather(
            self._hash(self._keys.for_script(workflow_id, RunId(""))[3]),
            self._hash(self._keys.of_run("run", workflow_id, target)),
            self.ending(workflow_id, target),
        )
        if "run_id" not in head or not record or "refused_for" in record:
            return None
        status = RunStatus(record["status"])
        last_event_id = int(record.get("last_event_id", head["last_event_id"]))
        closed = status is not RunStatus.RUNNING
        return RunView(
            workflow_id=workflow_id,
            run_id=target,
            first_run_id=RunId(record["first_run_id"]),
            workflow_type=record["workflow_type"],
            task_queue=TaskQueue(record["task_queue"]),
            status=status,
            started_at_ms=int(record["started_at_ms"]),
            closed_at_ms=answers.number(record.get("closed_at_ms")),
            history_length=last_event_id,
            newest_run_id=RunId(head["run_id"]),
            sticky=head.get("sticky") if target == head["run_id"] else None,
            closing=ending.closing if closed and ending is not None else None,
            problem=None if closed else head.get("problem"),
            memo=memo_decoder.decode(record["memo"].encode()) if "memo" in record else None,
            search_attributes=search_attributes_decoder.decode(
                record.get("search_attributes", "{}").encode()
            ),
        )

    async def ending(self, workflow_id: WorkflowId, run_id: RunId | None = None) -> Ending | None:
        """See `RunStore.ending`. An event that does not close is not decoded."""
        target = run_id or await self._newest(workflow_id)
        if target is None:
            return None
        key = self._keys.of_run("history", workflow_id, target)
        found: list[tuple[bytes, list[bytes]]] = await self._connection.read(
            "XREVRANGE", key, "+", "-", "COUNT", 1
        )
        if not found:
            return None
        ((entry_id, flat),) = found
        closes = flat[1].decode() in CLOSING_TYPES
        return Ending(run_id=target, closing=answers.event(entry_id, flat) if closes else None)

    async def history(
        self, workflow_id: WorkflowId, run_id: RunId, *, after: int = 0
    ) -> AsyncIterator[Sequence[HistoryEvent]]:
        """See `RunStore.history`."""
        position = after
        while page := await self._events(workflow_id, run_id, position + 1, "+"):
            yield page
            position = page[-1].event_id
            if len(page) < HISTORY_PAGE_EVENTS:
                return

    async def update(
        self,
        workflow_id: WorkflowId,
        run_id: RunId | None,
        update_id: UpdateId,
        *,
        operation_id: OperationId | None = None,
    ) -> UpdateView | None:
        """See `RunStore.update`."""
        target = run_id or await self._newest(workflow_id)
        if target is None:
            return None
        read, keys = self._connection.read, self._keys
        # Read in this order: a record that says closed was written after the last stage.
        status, stage = await asyncio.gather(
            read("HGET", keys.of_run("run", workflow_id, target), "status"),
            read("HGET", keys.updates(workflow_id, target), update_id),
        )
        if status is None:
            return None
        reply: bytes | None = None
        if stage is None and operation_id is not None:
            reply = await read("GET", keys.reply(workflow_id, operation_id))
        accepted, _, completed = (stage or b"").decode().partition(" ")
        return UpdateView(
            run_id=target,
            status=RunStatus(status.decode()),
            accepted_event_id=EventId(int(accepted)) if accepted else None,
            completed=await self.event(workflow_id, target, int(completed)) if completed else None,
            reply=None if reply is None else update_reply_decoder.decode(reply),
        )

    async def event(
        self, workflow_id: WorkflowId, run_id: RunId, event_id: int
    ) -> HistoryEvent | None:
        """See `RunStore.event`."""
        page = await self._events(workflow_id, run_id, event_id, f"{event_id}-0")
        return page[0] if page else None

    async def _events(
        self, workflow_id: WorkflowId, run_id: RunId, first: int, last: str
    ) -> tuple[HistoryEvent, ...]:
        key = self._keys.of_run("history", workflow_id, run_id)
        found: list[tuple[bytes, list[bytes]]] = await self._connection.read(
            "XRANGE", key, f"{first}-0", last, "COUNT", HISTORY_PAGE_EVENTS
        )
        return tuple(answers.event(entry_id, flat) for entry_id, flat in found)

    async def _newest(self, workflow_id: WorkflowId) -> RunId | None:
        current = self._keys.for_script(workflow_id, RunId(""))[3]
        found: bytes | None = await self._connection.read("HGET", current, "run_id")
        return None if found is None else RunId(found.decode())
