"""Health over HTTP: what is asked badly is refused, and never ends the server."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from orchestrator.exceptions import UnavailableError
from orchestrator.telemetry.health import READY, HealthServer, ask_health
from orchestrator.testing.environment import WorkflowEnvironment
from orchestrator.testing.servers import free_port
from orchestrator.worker import Worker
from tests.engine.client.workflows import Ordering

PORT_OF_NOBODY = 1


@asynccontextmanager
async def serving(*problems: str, error: Exception | None = None) -> AsyncIterator[int]:
    async def check() -> Sequence[str]:
        if error is not None:
            raise error
        return problems

    port = free_port()
    server = HealthServer(check)
    await server.start(host="127.0.0.1", port=port)
    try:
        yield port
    finally:
        await server.stop()


async def ask(port: int, request: bytes) -> tuple[str, dict[str, Any]]:  # Any: JSON
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return head.decode().partition("\r\n")[0], json.loads(body) if body else {}


async def test_a_process_that_is_ready_says_ok() -> None:
    async with serving() as port:
        for path in (b"/readyz", b"/healthz", b"/readyz?verbose=1"):
            status, body = await ask(port, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (status, body) == ("HTTP/1.1 200 OK", {"status": "ok", "problems": []})


async def test_a_process_that_is_not_ready_says_why_and_is_alive() -> None:
    async with serving("Redis is away") as port:
        status, body = await ask(port, b"GET /readyz HTTP/1.0\r\n\r\n")
        assert status == "HTTP/1.1 503 Service Unavailable"
        assert body == {"status": "unavailable", "problems": ["Redis is away"]}
        status, _ = await ask(port, b"GET /healthz HTTP/1.0\r\n\r\n")
        assert status == "HTTP/1.1 200 OK"


async def test_a_check_that_fails_is_a_problem() -> None:
    async with serving(error=ZeroDivisionError("oops")) as port:
        health = await ask_health("127.0.0.1", port, READY, timeout_ms=1000)
        assert health.problems == ["the check failed: ZeroDivisionError: oops"]


async def test_head_gets_no_body_and_other_methods_and_paths_are_refused() -> None:
    async with serving("no") as port:
        assert await ask(port, b"HEAD /readyz HTTP/1.0\r\n\r\n") == (
            "HTTP/1.1 503 Service Unavailable",
            {},
        )
        status, _ = await ask(port, b"POST /readyz HTTP/1.0\r\n\r\n")
        assert status == "HTTP/1.1 405 Method Not Allowed"
        status, body = await ask(port, b"GET / HTTP/1.0\r\n\r\n")
        assert status == "HTTP/1.1 404 Not Found"
        assert body["problems"] == ["ask /healthz or /readyz"]


@pytest.mark.parametrize("request_", [b"", b"\xff" * 20_000, b"GET /readyz HTTP/1.1\r\n"])
async def test_whoever_speaks_something_else_is_hung_up_on(request_: bytes) -> None:
    async with serving() as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_)
        writer.close()
        status, _ = await ask(port, b"GET /readyz HTTP/1.0\r\n\r\n")
        assert status == "HTTP/1.1 200 OK"


async def test_a_port_that_is_taken_is_told() -> None:
    async with serving() as port:
        with pytest.raises(UnavailableError, match="choose another --health-port"):
            await HealthServer(asyncio.sleep).start(host="127.0.0.1", port=port)  # type: ignore[arg-type]  # never asked


async def test_a_port_where_nobody_answers_is_told() -> None:
    with pytest.raises(UnavailableError, match="nobody answers at"):
        await ask_health("127.0.0.1", PORT_OF_NOBODY, READY, timeout_ms=1000)


async def test_a_port_where_something_else_answers_is_told() -> None:
    async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n<html>")
        writer.close()

    async with await asyncio.start_server(hello, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(UnavailableError, match="answered by something else"):
            await ask_health("127.0.0.1", port, READY, timeout_ms=1000)


async def test_a_process_that_is_blocked_is_told() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(UnavailableError, match="blocked or stopped"):
            await ask_health("127.0.0.1", silent.getsockname()[1], READY, timeout_ms=50)


async def test_a_worker_tells_whether_it_can_take_tasks() -> None:
    async with await WorkflowEnvironment.start_local() as environment:
        worker = Worker(environment.client, task_queue="q", workflows=[Ordering])
        assert await worker.problems() == ["it has not begun"]
        async with worker:
            assert await worker.problems() == []
        assert await worker.problems() == ["the worker is ending"]
