"""The program `orchestrator` as a process of its own, with its logs read while it runs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 20

SHOP = '''
"""An app whose activities end when a file says so."""
import asyncio, time
from datetime import timedelta
from pathlib import Path
from orchestrator import activity, workflow

@activity.defn
async def greet(name: str) -> str:
    return f"Hello, {name}!"

@activity.defn
async def wait_for_file(name: str) -> str:
    Path(name + ".begun").touch()
    while not Path(name).exists():
        await asyncio.sleep(0.02)
    Path(name + ".ended").touch()
    return "found"

@activity.defn
def block_for_ever(name: str) -> None:
    Path(name + ".begun").touch()
    time.sleep(3600)

@activity.defn
async def block_the_loop(name: str) -> None:
    Path(name + ".begun").touch()
    time.sleep(60)

@workflow.defn
class Greeting:
    @workflow.run
    async def run(self, name: str) -> str:
        return await workflow.execute_activity(
            greet, name, start_to_close_timeout=timedelta(seconds=10))

@workflow.defn
class Waiting:
    def __init__(self) -> None:
        self.notes: list = []

    @workflow.run
    async def run(self, name: str, kind: str = "file") -> str:
        if kind == "signal":
            await workflow.wait_condition(lambda: bool(self.notes))
            return self.notes[0]
        if kind == "failure":
            raise workflow_failure("out of salad")
        steps = {"block": block_for_ever, "loop": block_the_loop}
        step = steps.get(kind, wait_for_file)
        return await workflow.execute_activity(
            step, name, start_to_close_timeout=timedelta(seconds=60))

    @workflow.signal
    def note(self, text: str) -> None:
        self.notes.append(text)

    @workflow.query
    def noted(self) -> list:
        return self.notes

def workflow_failure(text: str) -> Exception:
    from orchestrator.exceptions import ApplicationError
    return ApplicationError(text, type="SoldOut")

task_queue = "shop"
workflows = [Greeting, Waiting]
activities = [greet, wait_for_file, block_for_ever, block_the_loop]
'''


class Program:
    """`python -m orchestrator …`, killed at the end if it still runs."""

    def __init__(self, *arguments: str, folder: Path, environment: Mapping[str, str]) -> None:
        self._arguments = arguments
        self._folder = folder
        self._environment = {
            **{key: value for key, value in os.environ.items() if "ORCHESTRATOR" not in key},
            "PYTHONPATH": str(ROOT),
            **environment,
        }
        self.out = ""
        self.err = ""
        self.logs: list[dict[str, Any]] = []  # Any: fields of any kind
        self._process: asyncio.subprocess.Process | None = None
        self._readers: list[asyncio.Task[None]] = []
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "orchestrator",
            *self._arguments,
            cwd=self._folder,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self._readers = [asyncio.create_task(self._read_out()), asyncio.create_task(self._read())]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        for reader in self._readers:
            reader.cancel()
        if error is not None:
            print(self.out, self.err)

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    async def signal_until_ended(self, number: int) -> None:
        """Repeat the signal, as an impatient user does.

        The system hands a signal that comes right behind another one to any thread. A main thread
        that has gone back to sleep by then sees it only with the next.
        """
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.process.returncode is None:
                self.signal(number)
                await asyncio.sleep(0.05)

    async def code(self, seconds: float = PATIENCE_SECONDS) -> int:
        """The exit code, when it has ended and all it wrote was read."""
        async with asyncio.timeout(seconds):
            code = await self.process.wait()
            await asyncio.wait(self._readers)
        return code

    async def logged(self, event: str, count: int = 1) -> list[dict[str, Any]]:  # Any: as above
        """The first `count` log records of `event`, waited for."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(found := [one for one in self.logs if one["event"] == event]) < count:
                self._news.clear()
                await self._news.wait()
        return found[:count]

    async def _read_out(self) -> None:
        assert self.process.stdout is not None
        self.out = (await self.process.stdout.read()).decode()

    async def _read(self) -> None:
        assert self.process.stderr is not None
        while line := (await self.process.stderr.readline()).decode():
            self.err += line
            if line.startswith("{"):
                self.logs.append(json.loads(line))
                self._news.set()


async def run(*arguments: str, folder: Path, environment: Mapping[str, str]) -> Program:
    """A program that has ended."""
    async with Program(*arguments, folder=folder, environment=environment) as program:
        await program.code()
    return program


async def until(condition: Callable[[], bool]) -> None:
    """Look until `condition` holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110  # files and processes tell nobody
            await asyncio.sleep(0.02)


def lives(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
