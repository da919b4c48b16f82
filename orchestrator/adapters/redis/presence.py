"""Signs of life and notices, through Redis's channels; and listings."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# redis-py leaves some of its types open.
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from random import Random
from typing import Any

import msgspec

from orchestrator.adapters.redis.answers import Part, number
from orchestrator.adapters.redis.connection import Connection
from orchestrator.adapters.redis.keys import Keys, read_member
from orchestrator.core.transition import AttemptName
from orchestrator.exceptions import UnavailableError
from orchestrator.ids import (
    ActivityKey,
    EventId,
    ProcessName,
    RunId,
    ShardId,
    TaskQueue,
    WorkflowId,
)
from orchestrator.limits import IDLE_POLL_MS, LIST_PAGE, PRESENCE_TTL_MS, STORE_TIMEOUT_MS
from orchestrator.ports.store import IndexRow
from orchestrator.wire.options import RunStatus

_Receiver = Callable[[bytes], None]
_cancel_decoder = msgspec.msgpack.Decoder(tuple[str, str, int, str, int])


class Subscription:
    """One receiver of one channel."""

    def __init__(self, owner: RedisPresence, channel: str, receiver: _Receiver) -> None:
        self._owner = owner
        self._channel = channel
        self._receiver = receiver

    async def close(self) -> None:
        """End it; again does nothing."""
        await self._owner.unsubscribe(self._channel, self._receiver)


class RedisPresence(Part):
    """Who lives, and who is told what. One connection listens for the whole process."""

    def __init__(self, connection: Connection, keys: Keys, random: Random) -> None:
        super().__init__(connection, keys, random)
        self._pubsub = connection.client.pubsub()
        self._receivers: dict[str, list[_Receiver]] = {}
        self._confirmed: dict[str, asyncio.Event] = {}
        self._reader: asyncio.Task[None] | None = None

    async def announce(self, process: ProcessName) -> None:
        """See `PresenceStore.announce`."""
        client = self._connection.client
        await self._connection.call(
            client.set(self._keys.presence(process), "1", px=PRESENCE_TTL_MS)
        )

    async def withdraw(self, process: ProcessName) -> None:
        """See `PresenceStore.withdraw`."""
        await self._connection.call(self._connection.client.delete(self._keys.presence(process)))
        channel = self._keys.process_channel(process)
        for receiver in tuple(self._receivers.get(channel, ())):
            await self.unsubscribe(channel, receiver)

    async def is_alive(self, process: ProcessName) -> bool:
        """See `PresenceStore.is_alive`."""
        client = self._connection.client
        channel = self._keys.process_channel(process)
        found: Any = await self._connection.call(  # Any: redis-py's own type
            client.pubsub_numsub(channel)
        )
        present: int = await self._connection.call(client.exists(self._keys.presence(process)))
        return bool(present) and any(count for _, count in found)

    async def listen(self, process: ProcessName, on_cancel: Callable[[AttemptName], None]) -> None:
        """See `PresenceStore.listen`."""

        def receive(data: bytes) -> None:
            workflow_id, run_id, event_id, key, attempt = _cancel_decoder.decode(data)
            on_cancel(
                AttemptName(
                    workflow_id=WorkflowId(workflow_id),
                    run_id=RunId(run_id),
                    event_id=EventId(event_id),
                    key=ActivityKey(key),
                    attempt=attempt,
                )
            )

        await self._subscribe(self._keys.process_channel(process), receive)

    async def watch(self, workflow_id: WorkflowId, on_notice: Callable[[], None]) -> Subscription:
        """See `PresenceStore.watch`."""
        wanted = workflow_id.encode()

        def receive(data: bytes) -> None:
            if data == wanted:
                on_notice()

        channel = self._keys.closes_channel(workflow_id)
        await self._subscribe(channel, receive)
        return Subscription(self, channel, receive)

    async def unsubscribe(self, channel: str, receiver: _Receiver) -> None:
        """Take a receiver off; the last one of a channel ends its subscription."""
        receivers = self._receivers.get(channel, [])
        if receiver in receivers:
            receivers.remove(receiver)
        if not receivers and self._receivers.pop(channel, None) is not None:
            del self._confirmed[channel]
            await self._connection.call(self._pubsub.unsubscribe(channel))

    async def stop_listening(self) -> None:
        """End all subscriptions."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
            self._reader = None
        await self._pubsub.aclose()

    async def _subscribe(self, channel: str, receiver: _Receiver) -> None:
        """Returns once the server has confirmed: nothing told from now on is missed."""
        self._receivers.setdefault(channel, []).append(receiver)
        confirmed = self._confirmed.setdefault(channel, asyncio.Event())
        if not confirmed.is_set():
            await self._connection.call(self._pubsub.subscribe(channel))
        if self._reader is None:
            self._reader = asyncio.create_task(self._read())
        try:
            async with asyncio.timeout(STORE_TIMEOUT_MS / 1000):
                await confirmed.wait()
        except TimeoutError as error:
            raise UnavailableError(f"no answer to a subscription to {channel}") from error

    async def _read(self) -> None:
        """Hand messages to their receivers; a lost connection is made anew by the next read."""
        while True:
            try:
                message: Any = await self._connection.call(  # Any: redis-py's own type
                    self._pubsub.get_message(timeout=IDLE_POLL_MS / 1000)
                )
            except UnavailableError:
                await asyncio.sleep(IDLE_POLL_MS / 1000)
                continue
            if message is None:
                continue
            channel = message["channel"].decode()
            if message["type"] == "subscribe" and channel in self._confirmed:
                self._confirmed[channel].set()
            if message["type"] == "message":
                for receiver in tuple(self._receivers.get(channel, ())):
                    receiver(message["data"])


class RedisVisibility(Part):
    """Listings."""

    async def list_runs(
        self, *, status: RunStatus | None = None
    ) -> AsyncIterator[Sequence[IndexRow]]:
        """See `VisibilityStore.list_runs`."""
        client = self._connection.client
        for shard in range(self._keys.shards):
            scored: dict[bytes, float] = {}
            for index in ("open", "closed"):
                key = self._keys.of_shard(ShardId(shard), index)
                found: Any = await self._connection.call(  # Any: redis-py's own type
                    client.zrange(key, 0, -1, withscores=True)
                )
                scored.update(found)
            members = sorted(scored, key=lambda name: -scored[name])
            for position in range(0, len(members), LIST_PAGE):
                page = [await self._row(m) for m in members[position : position + LIST_PAGE]]
                yield tuple(row for row in page if row is not None and status in (None, row.status))

    async def _row(self, member: bytes) -> IndexRow | None:
        workflow_id, run_id = read_member(member.decode())
        record = await self._hash(self._keys.of_run("run", workflow_id, run_id))
        if not record:
            return None
        return IndexRow(
            workflow_id=workflow_id,
            run_id=run_id,
            workflow_type=record["workflow_type"],
            task_queue=TaskQueue(record["task_queue"]),
            status=RunStatus(record["status"]),
            started_at_ms=int(record["started_at_ms"]),
            closed_at_ms=number(record.get("closed_at_ms")),
        )
