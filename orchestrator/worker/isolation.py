"""Tries a run in a process of its own, when it seems to take its workers down.

A run whose task was begun several times without any trace may end its process: by `os._exit`, by a
crash in native code, by its hunger for memory. The child process replays it and lets it see its
next news; it decides nothing and writes nowhere. If it survives, the run may be tried in the worker
again; if not, the run is parked with the reason that is found here, made for a person to act upon.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

import orchestrator
from orchestrator.converter import DataConverter
from orchestrator.core.decide import activation_time_ms
from orchestrator.core.fold import fold
from orchestrator.core.history_size import bytes_at_end, bytes_of, suggests_continue_as_new
from orchestrator.core.intake import intake
from orchestrator.core.state import started_of
from orchestrator.definition.registry import Registry
from orchestrator.definition.workflow import WorkflowDefinition
from orchestrator.exceptions import ConversionError
from orchestrator.ids import Namespace, WorkflowId
from orchestrator.limits import (
    ISOLATION_END_MS,
    ISOLATION_OUTPUT_BYTES,
    WORKFLOW_TASK_TIMEOUT_MS,
)
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import Store
from orchestrator.relay.certainty import until_known
from orchestrator.replay.facts import Activation, RunFacts
from orchestrator.replay.interceptors import WorkflowInboundInterceptor
from orchestrator.replay.partition import partition
from orchestrator.telemetry.log import get_logger
from orchestrator.worker.border import Border
from orchestrator.worker.isolation_order import (
    Bounds,
    ClassName,
    Order,
    Word,
    is_importable,
    main_module,
    to_step,
)

_log = get_logger(__name__)
_CHILD = "orchestrator.worker.isolation_child"
_DUMPED = re.compile(r'^  File "(.+)", line (\d+) in (.+)$', re.MULTILINE)
"""A line of a stack as `faulthandler` writes it, innermost first."""
_NOT_USERS = tuple(f"{Path(each).parent}{os.sep}" for each in (orchestrator.__file__, os.__file__))
_KILLED = "SIGKILL: by the system for its hunger for memory, most likely"


class Isolation:
    """Tries runs of one worker: called with a workflow id, it answers why the run must not be begun
    here again, or None."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        namespace: Namespace,
        registry: Registry,
        data_converter: DataConverter,
        interceptors: Sequence[type[WorkflowInboundInterceptor]] = (),
        bounds: Bounds | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._namespace = namespace
        self._registry = registry
        self._data_converter = data_converter
        self._interceptors = interceptors
        self._bounds = Bounds() if bounds is None else bounds

    async def __call__(self, workflow_id: WorkflowId) -> str | None:
        """Why the newest run of `workflow_id` does not survive; None: it does, or is not here.

        Raises:
            MalformedMessageError: an event or entry is of a kind that this release does not know.
            UnavailableError: the store does not answer.
            OSError: no process can be made.
        """
        synced = await until_known(
            lambda: self._store.sync(
                workflow_id, task_timeout_ms=WORKFLOW_TASK_TIMEOUT_MS, count_attempt=False
            ),
            self._clock,
        )
        if synced is None:
            return None
        run_id = synced.head.run_id
        pages = self._store.history(workflow_id, run_id)
        history = [event async for page in pages for event in page]
        if not history:
            return None
        state = fold(workflow_id, run_id, history)
        definition = self._registry.workflow(started_of(state).workflow_type)
        if definition is None:
            return None
        cut, news = partition(history), intake(state, synced.unread)
        events = (*cut.pending, *news.events)
        size = bytes_at_end(history) + bytes_of(news.events)
        last = state.last_event_id
        following = Activation(
            time_ms=activation_time_ms(state, news, estimate_ms=self._clock.now_ms()),
            events=events,
            updates=tuple(news.updates.values()),
            history_length=last + 2,
            history_bytes=size,
            continue_as_new_suggested=suggests_continue_as_new(state, history_bytes=size),
        )
        activations = [*cut.activations, *([following] if events or news.updates else [])]
        border = Border(self._data_converter)
        try:
            started = await border.unseal(started_of(state))
            opened = [await border.unseal_activation(one) for one in activations]
        except ConversionError:
            return None  # The worker will say so, as of any task that cannot be read.
        facts = RunFacts(
            namespace=self._namespace,
            workflow_id=workflow_id,
            run_id=run_id,
            started=started,
            start_time_ms=history[0].time_ms,
        )
        return await isolate(
            definition,
            facts,
            opened,
            data_converter=self._data_converter,
            interceptors=self._interceptors,
            bounds=self._bounds,
        )


async def isolate(
    definition: WorkflowDefinition,
    facts: RunFacts,
    activations: Sequence[Activation],
    *,
    data_converter: DataConverter,
    interceptors: Sequence[type[WorkflowInboundInterceptor]] = (),
    bounds: Bounds,
) -> str | None:
    """Run `activations` in a child process; None when it survives them, else why not.

    `interceptors` stand around the code there too, save for classes that are made at run time,
    which no other process has. A task that fails in an ordinary way has survived. Cancelling this
    ends the child.

    Raises:
        OSError: no process can be made.
    """
    found = [each for each in interceptors if is_importable(each)]
    if missing := [each.__qualname__ for each in interceptors if each not in found]:
        _log.warning("interceptors_left_out", interceptors=missing, workflow_id=facts.workflow_id)
    try:
        order = Order(
            workflow=ClassName.of(definition.cls),
            payload_converter=ClassName.of(data_converter.payload_converter_class),
            failure_converter=ClassName.of(data_converter.failure_converter_class),
            interceptors=tuple(map(ClassName.of, found)),
            main=main_module(),
            paths=tuple(sys.path),
            facts=facts,
            steps=tuple(map(to_step, activations)),
            bounds=bounds,
        )
    except ValueError as error:
        return f"it cannot be tried in a process of its own: {error}"
    return await _Child(bounds).run(msgspec.json.encode(order))


class _Child:
    """One child process, from its start to its end."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._output = b""
        self._errors = b""
        self._in_time = True

    async def run(self, order: bytes) -> str | None:
        """Start the child, give it the order, wait for its end; the verdict."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            _CHILD,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            # So that it finds this package wherever this process has found it.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._give(process, order))
                group.create_task(self._take_output(process))
                group.create_task(self._take_errors(process))
                group.create_task(self._wait(process))
        finally:
            if process.returncode is None:
                _kill(process)
                await process.wait()
        return self._verdict(process.returncode or 0)

    async def _give(self, process: asyncio.subprocess.Process, order: bytes) -> None:
        stream = process.stdin
        if stream is None:
            raise AssertionError("standard input was asked for")
        with contextlib.suppress(ConnectionError):  # It may have ended before it read all.
            stream.write(order)
            await stream.drain()
        stream.close()

    async def _take_output(self, process: asyncio.subprocess.Process) -> None:
        self._output = await _tail(process.stdout)

    async def _take_errors(self, process: asyncio.subprocess.Process) -> None:
        self._errors = await _tail(process.stderr)

    async def _wait(self, process: asyncio.subprocess.Process) -> None:
        """Wait for the end, or make one: an abort first, which writes the stack."""
        try:
            async with asyncio.timeout(self._bounds.timeout_ms / 1000):
                await process.wait()
        except TimeoutError:
            self._in_time = False
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGABRT)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ISOLATION_END_MS / 1000):
                    await process.wait()
        _kill(process)

    def _verdict(self, code: int) -> str | None:
        doing = "its process began"
        for line in self._output.splitlines():
            try:
                word = msgspec.json.decode(line, type=Word)
            except msgspec.MsgspecError:
                continue
            if word.ended:
                return f"{word.verdict}, while {doing}"
            if word.verdict is not None:
                return word.verdict or None
            doing = word.doing
        return f"{self._end(code)}, while {doing}"

    def _end(self, code: int) -> str:
        where = _innermost(self._errors.decode(errors="replace"))
        if not self._in_time:
            return f"over {self._bounds.timeout_ms / 1000:g} s{where}"
        if code >= 0:
            return f"ended its process with exit code {code}{where}"
        if code == -signal.SIGKILL:
            return f"killed by signal {-code} ({_KILLED})"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = "unknown"
        return f"killed by signal {-code} ({name}){where}"


def _kill(process: asyncio.subprocess.Process) -> None:
    """End the child and whatever it has started: they are a session of their own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


async def _tail(stream: asyncio.StreamReader | None) -> bytes:
    """The last bytes of a stream, read to its end."""
    if stream is None:
        raise AssertionError("output was asked for")
    kept = b""
    while piece := await stream.read(ISOLATION_OUTPUT_BYTES):
        kept = (kept + piece)[-ISOLATION_OUTPUT_BYTES:]
    return kept


def _innermost(dump: str) -> str:
    """The innermost line of user code in the last stack that was dumped."""
    stack = dump.rpartition("(most recent call first)")[2]
    lines = [match.groups() for match in _DUMPED.finditer(stack)]
    own = [each for each in lines if not each[0].startswith(_NOT_USERS)] or lines
    return f" at {own[0][0]}:{own[0][1]} in {own[0][2]}" if own else ""
