"""Signs of life and notices, through Redis's channels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

import msgspec

from orchestrator.adapters.redis.answers import Part
from orchestrator.adapters.redis.connection import Connection
from orchestrator.adapters.redis.keys import Keys, notice_of_updates
from orchestrator.adapters.redis.listener import Listener, Receiver
from orchestrator.core.transition import AttemptName
from orchestrator.exceptions import UnavailableError
from orchestrator.ids import (
    ActivityKey,
    EventId,
    ProcessName,
    RunId,
    WorkflowId,
)
from orchestrator.limits import PRESENCE_TTL_MS, RETENTION_MS

_cancel_decoder = msgspec.msgpack.Decoder(tuple[str, str, int, str, int])


class Subscription:
    """One receiver of one channel."""

    def __init__(self, listener: Listener, channel: str, receiver: Receiver) -> None:
        self._listener = listener
        self._channel = channel
        self._receiver = receiver

    async def close(self) -> None:
        """End it; again does nothing."""
        self._listener.remove(self._channel, self._receiver)


class RedisPresence(Part):
    """Who lives, and who is told what. One connection listens for the whole process."""

    def __init__(
        self,
        connection: Connection,
        keys: Keys,
        random: Random,
        on_time: Callable[[int], None] | None = None,
        *,
        retention_ms: int = RETENTION_MS,
    ) -> None:
        super().__init__(connection, keys, random, on_time, retention_ms=retention_ms)
        self._listener = Listener(connection)
        self._own: list[tuple[str, Receiver]] = []

    async def announce(self, process: ProcessName) -> None:
        """See `PresenceStore.announce`."""
        key = self._keys.presence(process)
        await self._connection.command("SET", key, "1", "PX", PRESENCE_TTL_MS)

    async def withdraw(self, process: ProcessName) -> None:
        """See `PresenceStore.withdraw`."""
        channel = self._keys.process_channel(process)
        for name, receiver in self._own:
            if name == channel:
                self._listener.remove(name, receiver)
        await self._connection.command("DEL", self._keys.presence(process))

    async def is_alive(self, process: ProcessName) -> bool:
        """See `PresenceStore.is_alive`. A server that came back has lost its subscribers, who are
        on their way, and perhaps let signs of life run out meanwhile: then only such a sign counts,
        and its absence is no answer yet."""
        listening, present = await asyncio.gather(
            self._connection.command("PUBSUB", "NUMSUB", self._keys.process_channel(process)),
            self._connection.command("EXISTS", self._keys.presence(process)),
        )
        if present and not self._connection.is_settled:
            return True
        if not self._connection.is_settled:
            raise UnavailableError("Redis came back just now, and signs of life with it: ask again")
        return bool(present) and listening[1] > 0

    async def listen(self, process: ProcessName, on_cancel: Callable[[AttemptName], None]) -> None:
        """See `PresenceStore.listen`."""

        def receive(data: bytes | None) -> None:
            if data is None:
                return  # What was missed comes with the next heartbeat.
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

        channel = self._keys.process_channel(process)
        await self._listener.add(channel, receive)
        self._own.append((channel, receive))

    async def watch(
        self, workflow_id: WorkflowId, on_notice: Callable[[], None], *, updates: bool = False
    ) -> Subscription:
        """See `PresenceStore.watch`. A notice that may have been missed is given once more."""
        wanted = {workflow_id.encode()}
        if updates:
            wanted.add(notice_of_updates(workflow_id).encode())

        def receive(data: bytes | None) -> None:
            if data is None or data in wanted:
                on_notice()

        channel = self._keys.closes_channel(workflow_id)
        await self._listener.add(channel, receive)
        return Subscription(self._listener, channel, receive)
