"""The connection that hears what Redis publishes, for a whole process.

Subscriptions outlive the connection: it comes back by itself, subscribes anew and then tells every
receiver that something may have been missed. A channel is given up a while after its last receiver,
so that waiting clients that come and go do not subscribe again and again.
"""

# pyright: reportUnknownMemberType=false
# redis-py leaves some of its types open.
from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, TypeAlias

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from orchestrator.adapters.redis.connection import Connection
from orchestrator.adapters.redis.lane import Socket, packed
from orchestrator.exceptions import OrchestratorError, UnavailableError
from orchestrator.limits import (
    IDLE_POLL_MS,
    LISTEN_PING_MS,
    STORE_TIMEOUT_MS,
    UNLISTEN_AFTER_MS,
)

Receiver: TypeAlias = Callable[[bytes | None], None]
"""Called with what was published; with None when something may have been missed."""
_log = logging.getLogger(__name__)


class _Channel:
    """Who hears a channel, and who waits until Redis has confirmed that we do."""

    def __init__(self) -> None:
        self.receivers: list[Receiver] = []
        self.is_confirmed = False
        self.was_confirmed = False
        self.waiting: list[asyncio.Future[None]] = []

    def end_waiting(self, error: Exception | None) -> None:
        """Tell who waits: confirmed, or why not."""
        waiting, self.waiting = self.waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(None) if error is None else one.set_exception(error)


class Listener:
    """Subscriptions of one process. Connected while somebody has ever listened."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channels: dict[str, _Channel] = {}
        self._to_write: list[bytes] = []
        self._news = asyncio.Event()
        self._heard = True
        self._task: asyncio.Task[None] | None = None

    async def add(self, name: str, receiver: Receiver) -> None:
        """Hear the channel `name`. On return nothing told from now on is missed, save while the
        connection is lost.

        Raises:
            UnavailableError: no confirmation within 5 s; the receiver is not added.
        """
        channel = self._channels.get(name)
        if channel is None:
            channel = self._channels[name] = _Channel()
            self._send("SUBSCRIBE", name)
        channel.receivers.append(receiver)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._keep())
        if channel.is_confirmed:
            return
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        channel.waiting.append(confirmed)
        try:
            async with asyncio.timeout(STORE_TIMEOUT_MS / 1000):
                await confirmed
        except BaseException as error:  # also when cancelled: nobody would ever remove it
            self.remove(name, receiver)
            if isinstance(error, TimeoutError):
                text = f"Redis at {self._connection.shown_url}: no answer to a subscription"
                raise UnavailableError(text) from error
            raise

    def remove(self, name: str, receiver: Receiver) -> None:
        """Take a receiver off; again does nothing. The channel is given up later."""
        channel = self._channels.get(name)
        if channel is None or receiver not in channel.receivers:
            return
        channel.receivers.remove(receiver)
        if not channel.receivers:
            asyncio.get_running_loop().call_later(UNLISTEN_AFTER_MS / 1000, self._tidy, name)

    async def close(self) -> None:
        """End all subscriptions. Never fails."""
        self._channels.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    def _tidy(self, name: str) -> None:
        channel = self._channels.get(name)
        if channel is not None and not channel.receivers:
            del self._channels[name]
            self._send("UNSUBSCRIBE", name)

    def _send(self, *parts: str) -> None:
        self._to_write.append(packed(parts))
        self._news.set()

    async def _keep(self) -> None:
        """Stay connected until closed."""
        while True:
            try:
                socket = await self._connection.listening()
            except OrchestratorError as error:
                for channel in self._channels.values():
                    channel.end_waiting(error)
                await asyncio.sleep(IDLE_POLL_MS / 1000)
                continue
            try:
                await self._serve(socket)
            finally:
                await socket.disconnect(nowait=True)

    async def _serve(self, socket: Socket) -> None:
        """Hear until the line is lost."""
        self._to_write.clear()
        if self._channels:
            self._send("SUBSCRIBE", *self._channels)
        self._heard = True
        tasks = [
            asyncio.get_running_loop().create_task(do(socket)) for do in (self._write, self._read)
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            for channel in self._channels.values():
                channel.is_confirmed = False
        for result in results:
            if isinstance(result, RedisError | OSError):
                _log.warning("listener_lost error=%s", result)
            elif isinstance(result, Exception):
                context = {"message": "listening to Redis failed", "exception": result}
                asyncio.get_running_loop().call_exception_handler(context)

    async def _write(self, socket: Socket) -> None:
        """Write what is to be written; ask for a sign of life when nothing was heard for long."""
        while True:
            try:
                async with asyncio.timeout(LISTEN_PING_MS / 1000):
                    await self._news.wait()
            except TimeoutError:
                if not self._heard:
                    raise RedisConnectionError("no sign of life") from None
                self._heard = False
                self._send("PING")
            self._news.clear()
            to_write, self._to_write = self._to_write, []
            if to_write:
                self._connection.counters.add("redis_writes")
                await socket.send_packed_command(b"".join(to_write), check_health=False)

    async def _read(self, socket: Socket) -> None:
        while True:
            # Any: what Redis sends: kind, channel, content; a plain PONG while nothing is heard.
            message: list[Any] | bytes = await socket.read_response()
            self._heard = True
            if not isinstance(message, list) or len(message) < 3 or message[1] is None:
                continue
            channel = self._channels.get(message[1].decode())
            if channel is None:
                continue
            if message[0] == b"message":
                _tell(channel, message[2])
            elif message[0] == b"subscribe":
                if channel.was_confirmed:
                    _tell(channel, None)
                channel.is_confirmed = channel.was_confirmed = True
                channel.end_waiting(None)


def _tell(channel: _Channel, content: bytes | None) -> None:
    for receiver in tuple(channel.receivers):
        try:
            receiver(content)
        except Exception as error:  # the boundary to foreign callbacks
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a receiver of a notice failed", "exception": error}
            )
