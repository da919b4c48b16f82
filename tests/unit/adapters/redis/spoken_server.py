"""A server that speaks Redis's protocol and answers what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

import hiredis

INFO = b"redis_version:7.0.15\r\nmaxmemory_policy:noeviction\r\nrun_id:one\r\nmaster_replid:r1\r\n"
Answer = Callable[[list[bytes]], bytes | None]
"""The reply to a command; None: none for now."""


def bulk(content: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(content), content)


class SpokenServer:
    """Answers by `answer`, which a test may set; the handshake by itself, with `info`."""

    def __init__(self) -> None:
        self.info = INFO
        self.answer: Answer = lambda command: b"+OK\r\n"
        self.reads: list[list[list[bytes]]] = []
        """The commands that came together, by read."""
        self._came = asyncio.Event()
        self._listener: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[object]] = set()
        self.url = ""

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}/0"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._listener is not None:
            self._listener.close()
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def commands(self) -> list[list[bytes]]:
        """All commands that came, without the handshake's."""
        return [command for read in self.reads for command in read]

    async def holds(self, count: int) -> None:
        """Wait until `count` commands have come."""
        async with asyncio.timeout(5):
            while len(self.commands) < count:
                self._came.clear()
                await self._came.wait()

    def say(self, reply: bytes) -> None:
        """Send a reply that was held back, to the newest connection."""
        self._writers[-1].write(reply)

    def cut(self) -> None:
        """Drop all connections."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        parser = hiredis.Reader()
        while data := await _read(reader):
            parser.feed(data)
            read: list[list[bytes]] = []
            while (command := parser.gets()) is not False:
                reply = self._handshake(command)
                if reply is None:
                    read.append(command)
                    reply = self.answer(command)
                if reply is not None:
                    writer.write(reply)
            if read:
                self.reads.append(read)
                self._came.set()

    def _handshake(self, command: list[bytes]) -> bytes | None:
        match command[0].upper():
            case b"INFO":
                return bulk(self.info)
            case b"CLIENT" | b"SELECT":
                return b"+OK\r\n"
            case b"SCRIPT" if command[1].upper() == b"EXISTS":
                return b"*%d\r\n" % len(command[2:]) + b":1\r\n" * len(command[2:])
            case _:
                return None


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(1 << 20)
    except ConnectionError:
        return b""
