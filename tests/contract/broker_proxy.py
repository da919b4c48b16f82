"""A way to a server that can be cut, or go quiet."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from yarl import URL


class Proxy:
    """Passes bytes on between `url` and a server; `cut` drops all connections at once, `stall`
    keeps what clients send until `flow`, `refuse` ends it."""

    def __init__(self, server_url: str) -> None:
        self._server = URL(server_url)
        self._listener: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.url = server_url

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port = self._listener.sockets[0].getsockname()[1]
        self.url = str(self._server.with_host("127.0.0.1").with_port(port))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._listener is not None:
            self._listener.close()
        self.flow()
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def stall(self) -> None:
        """Let the server hear nothing more, as one that does not read."""
        self._flowing.clear()

    def flow(self) -> None:
        """Let the server hear what was kept, and what follows."""
        self._flowing.set()

    def cut(self) -> None:
        """Drop all connections, as a network does: without a word."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def refuse(self) -> None:
        """Drop all connections, and take no further ones."""
        if self._listener is not None:
            self._listener.close()
        self.cut()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(self._server.host, self._server.port)
        self._writers |= {writer, up_writer}
        always = asyncio.Event()
        always.set()
        for pump in (
            _pump(reader, up_writer, self._flowing),
            _pump(up_reader, writer, always),
        ):
            task = asyncio.get_running_loop().create_task(pump)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def _pump(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, flowing: asyncio.Event
) -> None:
    try:
        while data := await source.read(65536):
            await flowing.wait()
            target.write(data)
            await target.drain()
    except OSError:
        pass  # Cut.
    finally:
        target.close()
