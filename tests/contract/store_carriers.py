"""What the contract suite of the store needs from each implementation, and data to feed it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

import redis.asyncio

from orchestrator.adapters.memory.store import MemoryStore
from orchestrator.adapters.redis import acl
from orchestrator.adapters.redis.store import RedisStore
from orchestrator.core.transition import (
    ActivityToSchedule,
    Append,
    AttemptName,
    NewRun,
    StartRun,
    Transition,
)
from orchestrator.ids import (
    ActivityKey,
    CommitToken,
    EventId,
    Mark,
    Namespace,
    OperationId,
    RunId,
    ShardId,
    WorkflowId,
)
from orchestrator.ports.store import Store, Synced
from orchestrator.wire.events import HistoryEvent, TimerStarted, WorkflowExecutionStarted
from orchestrator.wire.inbox import SignalReceived

W = WorkflowId("order:1")
BEGIN_MS = 4_000_000_000_000
"""Ahead of every real clock, so that the store's time moves only when a test moves it."""


class Carrier(Protocol):
    """A store whose time is the test's."""

    store: Store

    async def advance(self, ms: int) -> None:
        """Move the store's time on."""
        ...

    async def broken(self) -> list[str]:
        """Workflow ids that break the invariant of inbox and row."""
        ...

    async def close(self) -> None:
        """Disconnect."""
        ...


@dataclass
class MemoryCarrier:
    """The memory store on a clock of ours."""

    now: int = BEGIN_MS

    def __post_init__(self) -> None:
        self.memory = MemoryStore(now_ms=lambda: self.now, random=Random(7), shards=1)
        self.store: Store = self.memory

    async def advance(self, ms: int) -> None:
        self.now += ms

    async def close(self) -> None:
        await self.store.close()

    async def broken(self) -> list[str]:
        return [
            workflow_id
            for workflow_id, workflow in self.memory._state.workflows.items()
            if (bool(workflow.inbox) or workflow.head.unfinished) != (workflow.row is not None)
        ]


class RedisCarrier:
    """The Redis store, whose clock guard is set ahead of the server's time."""

    def __init__(self, url: str, namespace: str) -> None:
        self.redis = RedisStore(url, namespace=Namespace(namespace), shards=1, settling_ms=0)
        self.store: Store = self.redis
        self.client = redis.asyncio.Redis.from_url(url)
        self._url = url
        self._user: str | None = None
        self._now = BEGIN_MS

    async def log_in_as_worker(self) -> None:
        """From now on the store has the rights of the documented worker and no others."""
        namespace = self.redis._keys.namespace
        self._user = f"worker-of-{namespace}"
        rules = acl.rules("worker", namespace)
        await self.client.acl_setuser(self._user, enabled=True, passwords=["+secret"])
        await self.client.execute_command("ACL", "SETUSER", self._user, *rules)
        url = self._url.replace("://", f"://{self._user}:secret@")
        self.store = self.redis = RedisStore(url, namespace=namespace, shards=1, settling_ms=0)

    async def close(self) -> None:
        await self.store.close()
        if self._user is not None:
            await self.client.acl_deluser(self._user)
        await self.client.aclose()

    async def advance(self, ms: int) -> None:
        self._now += ms
        client, keys = self.client, self.redis._keys
        await client.set(keys.for_shard_script(ShardId(0))[0], self._now)

    async def broken(self) -> list[str]:
        client, keys = self.client, self.redis._keys
        prefix = keys.of_shard(ShardId(0), "current:")
        broken: list[str] = []
        async for key in client.scan_iter(match=prefix + "*"):
            workflow_id = key.decode().removeprefix(prefix)
            current, inbox = keys.for_script(WorkflowId(workflow_id), RunId(""))[3:5]
            row = await client.zscore(keys.of_shard(ShardId(0), "wakeups"), workflow_id)
            busy = await client.xlen(inbox) > 0 or await client.hexists(current, "unfinished")
            named = await client.hexists(current, "row")
            if busy != (row is not None) or named != (row is not None):
                broken.append(workflow_id)
        return broken


def new_run(run_id: str = "run-1", **fields: Any) -> NewRun:  # Any: fields of NewRun
    return NewRun(
        run_id=RunId(run_id),
        started=WorkflowExecutionStarted(workflow_type="Order", task_queue="orders"),
        **fields,
    )


def start_of(run_id: str = "run-1", **fields: Any) -> StartRun:  # Any: fields of both
    run_fields = {
        name: fields.pop(name)
        for name in ("run_timeout_ms", "first_task_delay_ms", "is_backoff")
        if name in fields
    }
    return StartRun(workflow_id=W, run=new_run(run_id, **run_fields), **fields)


def signal(operation_id: str | None = None, **fields: Any) -> Append:  # Any: fields of Append
    return Append(
        workflow_id=W,
        body=SignalReceived(signal_name="approve"),
        operation_id=None if operation_id is None else OperationId(operation_id),
        message=True,
        **fields,
    )


async def sync(store: Store) -> Synced:
    synced = await store.sync(W, task_timeout_ms=10_000, count_attempt=False)
    assert synced is not None
    return synced


def timer_events(first: int, count: int) -> tuple[HistoryEvent, ...]:
    return tuple(
        HistoryEvent(
            event_id=first + index,
            time_ms=BEGIN_MS,
            attributes=TimerStarted(timer_id=str(index), start_to_fire_ms=5),
        )
        for index in range(count)
    )


def commit_of(synced: Synced, new_token: str, **fields: Any) -> Transition:  # Any: its fields
    """A commit of all that `synced` showed, with one event."""
    head, unread = synced.head, synced.unread
    defaults: dict[str, Any] = {  # Any: fields of Transition
        "workflow_id": W,
        "run_id": head.run_id,
        "token": head.token,
        "new_token": CommitToken(new_token),
        "first_event_id": EventId(head.last_event_id + 1),
        "events": timer_events(head.last_event_id + 1, 1),
        "consumed_to": unread[-1].number if unread else head.consumed,
        "consumed_mark": Mark(unread[-1].mark) if unread else None,
    }
    return Transition(**{**defaults, **fields})


def activity(event_id: int = 2, **fields: Any) -> ActivityToSchedule:  # Any: its fields
    defaults: dict[str, Any] = {  # Any: as above
        "event_id": EventId(event_id),
        "key": ActivityKey("key-1"),
        "scheduled_at_ms": BEGIN_MS,
        "due_at_ms": BEGIN_MS + 2_000,
    }
    return ActivityToSchedule(**{**defaults, **fields})


def attempt(number: int = 1, *, key: str = "key-1", run_id: str = "run-1") -> AttemptName:
    return AttemptName(
        workflow_id=W,
        run_id=RunId(run_id),
        event_id=EventId(2),
        key=ActivityKey(key),
        attempt=number,
    )
