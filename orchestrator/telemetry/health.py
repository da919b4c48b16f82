"""Whether a process is well, over HTTP: `/healthz` and `/readyz`, for containers and people.

`/healthz` says that the process is there and its event loop turns: answering is the proof.
`/readyz` asks both servers anew and says in words what is missing. The few lines of HTTP are
written here, because a health check needs one line of a request and no framework.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from orchestrator.exceptions import UnavailableError
from orchestrator.limits import HEALTH_ANSWER_MS, HEALTH_REQUEST_BYTES_MAX, HEALTH_REQUESTS_MAX

Check = Callable[[], Awaitable[Sequence[str]]]
"""Tells what is wrong, one sentence each; nothing means ready."""
LIVE, READY = "/healthz", "/readyz"


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every answer."""

    status: str
    """`ok` or `unavailable`."""
    problems: Sequence[str] = ()


class HealthServer:
    """Answers on one port until stopped."""

    def __init__(self, check: Check) -> None:
        """`check` is asked for each request to `/readyz`."""
        self._check = check
        self._server: asyncio.Server | None = None
        self._open = 0

    async def start(self, *, host: str, port: int) -> None:
        """Listen.

        Raises:
            UnavailableError: the port cannot be had.
        """
        try:
            self._server = await asyncio.start_server(
                self._serve, host, port, limit=HEALTH_REQUEST_BYTES_MAX
            )
        except OSError as error:
            raise UnavailableError(
                f"cannot answer health checks on {host}:{port}: {error.strerror or error}; "
                "choose another --health-port"
            ) from error

    async def start_on(self, listening: socket.socket) -> None:
        """Answer on a socket that somebody else has bound."""
        self._server = await asyncio.start_server(
            self._serve, sock=listening, limit=HEALTH_REQUEST_BYTES_MAX
        )

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            async with asyncio.timeout(HEALTH_ANSWER_MS / 1000):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await self._answer(head.partition(b"\r\n")[0]))
                await writer.drain()
        except (TimeoutError, OSError, ValueError, EOFError, asyncio.LimitOverrunError):
            pass  # Whoever asked has gone, is slow, or speaks something else.
        finally:
            self._open -= 1
            writer.close()

    async def _answer(self, line: bytes) -> bytes:
        method, _, rest = line.decode("latin-1").partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if method not in ("GET", "HEAD"):
            return _response("405 Method Not Allowed", _unavailable("only GET is answered"))
        if self._open > HEALTH_REQUESTS_MAX:
            return _response("503 Service Unavailable", _unavailable("too many health checks"))
        if path not in (LIVE, READY):
            return _response("404 Not Found", _unavailable(f"ask {LIVE} or {READY}"))
        problems = await self._problems() if path == READY else ()
        health = Health(status="unavailable" if problems else "ok", problems=problems)
        return _response("503 Service Unavailable" if problems else "200 OK", health, method)

    async def _problems(self) -> Sequence[str]:
        try:
            return await self._check()
        except Exception as error:  # the boundary of a check: what it cannot tell is a problem
            return (f"the check failed: {type(error).__name__}: {error}",)


async def ask_health(host: str, port: int, path: str, *, timeout_ms: int) -> Health:
    """The answer of a process's health port.

    Raises:
        UnavailableError: nobody answers there in time, or not with a `Health`.
    """
    where = f"http://{host}:{port}{path}"
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
                await writer.drain()
                answer = await reader.read(HEALTH_REQUEST_BYTES_MAX)
                while more := await reader.read(HEALTH_REQUEST_BYTES_MAX):
                    answer += more[: HEALTH_REQUEST_BYTES_MAX - len(answer)]
            finally:
                writer.close()
    except TimeoutError as error:
        raise UnavailableError(
            f"{where} did not answer within {timeout_ms} ms: the process is blocked or stopped"
        ) from error
    except OSError as error:
        raise UnavailableError(
            f"nobody answers at {where}: {error.strerror or error}; is a worker running with "
            f"--health-port {port}?"
        ) from error
    try:
        return msgspec.json.decode(answer.partition(b"\r\n\r\n")[2], type=Health)
    except msgspec.DecodeError as error:
        raise UnavailableError(f"{where} is answered by something else: {error}") from error


def _unavailable(problem: str) -> Health:
    return Health(status="unavailable", problems=(problem,))


def _response(status: str, health: Health, method: str = "GET") -> bytes:
    body = msgspec.json.encode(health) + b"\n"
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (b"" if method == "HEAD" else body)
