"""Several worker processes under one: started, watched, started again, stopped together.

Python uses one core a process, so a machine is filled by several. Children are programs of their
own, not forks of a process whose event loop and connections are alive. One that dies is started
again, at first after half a second; the work it had is taken over by the others meanwhile. A child
that cannot begin, because the module or the servers are wrong, ends them all: the mistake is shown
once instead of for ever.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

import orchestrator
from orchestrator.cli.exits import CommandError, ExitCode
from orchestrator.cli.worker_process import WorkerPlan
from orchestrator.exceptions import UnavailableError
from orchestrator.limits import CHILD_RESTART_MS, CHILD_STEADY_MS, HEALTH_ANSWER_MS
from orchestrator.telemetry.health import READY, ask_health
from orchestrator.telemetry.log import get_logger

_CANNOT_BEGIN = frozenset({ExitCode.USAGE, ExitCode.UNAVAILABLE})
_LOCALHOST = "127.0.0.1"
_ASK_MS = HEALTH_ANSWER_MS * 3 // 4
"""A child is asked for less time than whoever asks the supervisor waits."""


@dataclass
class _Child:
    """One place for a process. Its socket stays, whichever process answers on it."""

    number: int
    listening: socket.socket
    process: asyncio.subprocess.Process | None = None
    starts: int = 0
    restart_ms: int = CHILD_RESTART_MS[0]

    @property
    def port(self) -> int:
        return int(self.listening.getsockname()[1])


@dataclass
class Supervisor:
    """Runs `count` processes of `plan`; a service of `orchestrator.worker.process`."""

    plan: WorkerPlan
    count: int
    _children: list[_Child] = field(default_factory=list[_Child])
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Keep the processes running until `shutdown`; return when all have ended.

        Raises:
            CommandError: one could not begin, or did not end in good order.
        """
        try:
            self._children = [_Child(number, _listening()) for number in range(self.count)]
            async with asyncio.TaskGroup() as group:
                for child in self._children:
                    group.create_task(self._keep(child), name=f"worker process {child.number}")
        finally:
            for child in self._children:
                child.listening.close()
            self._ended.set()

    async def shutdown(self) -> None:
        """Ask all processes to end in good order, and wait for them."""
        self._stopping.set()
        self._signal(signal.SIGTERM)
        await self._ended.wait()

    def kill(self) -> None:
        """End all processes at once."""
        self._signal(signal.SIGKILL)

    async def problems(self) -> Sequence[str]:
        """What is wrong with the processes, each with its number; empty when all are ready."""
        if self._stopping.is_set():
            return ["the worker is ending"]
        answers = await asyncio.gather(*(self._ask(child) for child in self._children))
        return [problem for answer in answers for problem in answer]

    # Inside ---------------------------------------------------------------------------------------

    async def _keep(self, child: _Child) -> None:
        log = get_logger("supervisor").bind(child=child.number)
        while not self._stopping.is_set():
            begun = time.monotonic()
            process = await self._start(child)
            log.info("worker_process_started", child_pid=process.pid)
            code = await self._wait(process)
            child.process = None
            if self._stopping.is_set():
                self._judge_end(child, code)
                return
            log.warning("worker_process_ended", child_pid=process.pid, exit_code=code)
            if child.starts == 1 and code in _CANNOT_BEGIN:
                raise CommandError("a worker process could not begin", ExitCode(code))
            await self._pause(child, lived_ms=int((time.monotonic() - begun) * 1000))

    async def _start(self, child: _Child) -> asyncio.subprocess.Process:
        number = child.listening.fileno()
        plan = msgspec.structs.replace(self.plan, health_port=0, health_socket=number)
        # A group of its own: Ctrl-C at a terminal reaches the supervisor alone, which passes it on.
        process = await asyncio.create_subprocess_exec(
            *program(plan), stdin=asyncio.subprocess.PIPE, pass_fds=(number,), process_group=0
        )
        child.process, child.starts = process, child.starts + 1
        if process.stdin is not None:
            process.stdin.write(msgspec.json.encode(plan) + b"\n")
        if self._stopping.is_set():
            process.send_signal(signal.SIGTERM)  # Asked for while it was being started.
        return process

    async def _wait(self, process: asyncio.subprocess.Process) -> int:
        try:
            return await process.wait()
        except asyncio.CancelledError:
            # Another child could not begin. This one is not left behind.
            if process.returncode is None:
                process.terminate()
                await process.wait()
            raise

    async def _pause(self, child: _Child, *, lived_ms: int) -> None:
        first, most = CHILD_RESTART_MS
        if lived_ms >= CHILD_STEADY_MS:
            child.restart_ms = first
        try:
            async with asyncio.timeout(child.restart_ms / 1000):
                await self._stopping.wait()
        except TimeoutError:
            pass  # The pause is over.
        child.restart_ms = min(most, child.restart_ms * 2)

    def _judge_end(self, child: _Child, code: int) -> None:
        if code not in (0, -signal.SIGTERM):
            raise CommandError(
                f"worker process {child.number} ended with {code} instead of 0", ExitCode.FAILED
            )

    def _signal(self, number: signal.Signals) -> None:
        for child in self._children:
            if child.process is not None and child.process.returncode is None:
                child.process.send_signal(number)

    async def _ask(self, child: _Child) -> Sequence[str]:
        if child.process is None:
            return [f"worker process {child.number} is not running"]
        try:
            health = await ask_health(_LOCALHOST, child.port, READY, timeout_ms=_ASK_MS)
        except UnavailableError:
            return [f"worker process {child.number} does not answer"]
        return [f"worker process {child.number}: {problem}" for problem in health.problems]


def _listening() -> socket.socket:
    """A socket of this machine alone, on any free port."""
    listening = socket.socket()
    listening.bind((_LOCALHOST, 0))
    listening.listen()
    return listening


def program(plan: WorkerPlan) -> list[str]:
    """The words with which a child is started, with the very package that runs here.

    `-m` looks into the current folder first. Only where our own package came from there, too, may
    it: elsewhere a folder that happens to be called `orchestrator` would be run instead.
    """
    root = Path(str(orchestrator.__file__)).resolve().parents[1]
    safe = [] if root == Path.cwd().resolve() else ["-P"]
    debug = ["--debug"] if plan.debug else []
    return [sys.executable, *safe, "-m", "orchestrator.cli.worker_process", *debug]
