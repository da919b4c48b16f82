"""What an attempt in another process shares with the worker: its cancellation, and its heartbeats.

The user makes a `SharedStateManager` and gives it to the worker together with a process pool. What
is shared lives in a server process of `multiprocessing`; every call of it may block for a moment,
so the worker makes them in a thread.
"""

from __future__ import annotations

import logging
import queue
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from multiprocessing.managers import SyncManager
from threading import Lock, Thread
from typing import Any, Protocol

from orchestrator.activity import ActivityCancellationDetails, Info, current_context
from orchestrator.converter import DataConverter, PayloadConverter
from orchestrator.definition.activity import ActivityDefinition
from orchestrator.definition.signature import AnyFunction
from orchestrator.limits import SHARED_HEARTBEATS_MAX
from orchestrator.metering import MetricMeter
from orchestrator.wire.failure import Failure
from orchestrator.wire.payload import Payload
from orchestrator.worker.calls import Ended, call_sync

OnSharedHeartbeat = Callable[[tuple[Payload, ...]], None]
"""Takes the details of a heartbeat, in a thread of the worker."""
SERVER_GONE = (EOFError, OSError, AssertionError)
"""What calls of shared state raise when its server process has ended; the last one is what
multiprocessing says of a manager that was shut down here."""
_log = logging.getLogger(__name__)


class SharedEvent(Protocol):
    """A `threading.Event` that several processes see; can be pickled for a pool's process."""

    def set(self) -> None: ...

    def is_set(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> bool: ...


class _SharedQueue(Protocol):
    """A queue that several processes see."""

    def put(self, item: object) -> None: ...

    def put_nowait(self, item: object) -> None: ...

    def get(self) -> Any: ...  # Any: what `put` was given


@dataclass(frozen=True)
class SharedAttempt:
    """One attempt as both sides see it; travels to the pool's process."""

    token: bytes
    cancelled: SharedEvent
    details: dict[bytes, ActivityCancellationDetails]
    heartbeats: _SharedQueue


class SharedStateManager(ABC):
    """Shares state with the processes of a pool. All methods may block; call them in a thread."""

    @staticmethod
    def create_from_multiprocessing(
        manager: SyncManager, queue_poller_executor: Executor | None = None
    ) -> SharedStateManager:
        """State in `multiprocessing.Manager()`, which the caller ends after the worker.

        Args:
            manager: Holds the state.
            queue_poller_executor: Where heartbeats are waited for; default: a thread of its own.
        """
        return _MultiprocessingStateManager(manager, queue_poller_executor)

    @abstractmethod
    def new_event(self) -> SharedEvent:
        """An event that the pool's processes see."""

    @abstractmethod
    def begin(self, token: bytes, on_heartbeat: OnSharedHeartbeat) -> SharedAttempt:
        """Share an attempt; `on_heartbeat` is told of its heartbeats until `end`."""

    @abstractmethod
    def cancel(self, attempt: SharedAttempt, details: ActivityCancellationDetails) -> None:
        """Let an attempt see that it shall end."""

    @abstractmethod
    def end(self, token: bytes) -> None:
        """Forget an attempt."""


class _MultiprocessingStateManager(SharedStateManager):
    """One queue and one table for all attempts, an event for each. The thread that reads the queue
    lives as long as there are attempts."""

    def __init__(self, manager: SyncManager, executor: Executor | None) -> None:
        self._manager = manager
        self._executor = executor
        self._heartbeats: _SharedQueue = manager.Queue(SHARED_HEARTBEATS_MAX)
        self._details: Any = manager.dict()  # Any: a proxy of a dict, with its methods
        self._receivers: dict[bytes, OnSharedHeartbeat] = {}
        self._lock = Lock()
        self._is_reading = False

    def new_event(self) -> SharedEvent:
        return self._manager.Event()

    def begin(self, token: bytes, on_heartbeat: OnSharedHeartbeat) -> SharedAttempt:
        attempt = SharedAttempt(token, self.new_event(), self._details, self._heartbeats)
        with self._lock:
            self._receivers[token] = on_heartbeat
            start, self._is_reading = not self._is_reading, True
        if start and self._executor is not None:
            self._executor.submit(self._read)
        elif start:
            # A daemon: a read that nobody will answer any more must not keep the program alive.
            Thread(target=self._read, name="orchestrator-heartbeats", daemon=True).start()
        return attempt

    def cancel(self, attempt: SharedAttempt, details: ActivityCancellationDetails) -> None:
        self._details[attempt.token] = details
        attempt.cancelled.set()

    def end(self, token: bytes) -> None:
        with self._lock:
            self._receivers.pop(token, None)
            is_last = not self._receivers
        self._details.pop(token, None)
        if is_last:
            self._heartbeats.put(None)  # Wakes the reader, so that it can end.

    def _read(self) -> None:
        while True:
            beat: tuple[bytes, tuple[Payload, ...]] | None = None
            is_gone = False
            try:
                beat = self._heartbeats.get()
            except SERVER_GONE as error:
                _log.warning("heartbeats_of_processes_lost error=%r", error)
                is_gone = True
            with self._lock:
                if is_gone or (beat is None and not self._receivers):
                    self._is_reading = False
                    return
                receive = None if beat is None else self._receivers.get(beat[0])
            if beat is not None and receive is not None:
                receive(beat[1])


@dataclass(frozen=True)
class ProcessJob:
    """One call for a process of the pool: everything it needs travels there."""

    function: AnyFunction
    payloads: Sequence[Payload]
    values: DataConverter
    info: Info
    attempt: SharedAttempt
    worker_shutdown: SharedEvent


def run_in_process(job: ProcessJob) -> Ended:
    """Call in this process of the pool. Only payloads and failures travel back: what user code
    returns or raises need not be picklable, and cannot break the pool."""
    context = ProcessContext(job)
    token = current_context.set(context)
    try:
        ended = call_sync(ActivityDefinition.of(job.function), job.payloads, job.values)
    finally:
        current_context.reset(token)
    outcome = ended.outcome
    if ended.by_cancellation and context.heartbeat_failure is not None:
        return Ended(context.heartbeat_failure)
    return Ended(outcome, ended.by_cancellation, context.last_details)


class _ProcessOccurrence:
    """A shared event; implements `orchestrator.activity.Occurrence`."""

    def __init__(self, event: SharedEvent) -> None:
        self._event = event

    def is_set(self) -> bool:
        """Whether it has happened."""
        return self._event.is_set()

    async def wait(self) -> None:
        """Not for code in another process, which has no event loop of ours."""
        raise RuntimeError("in a process pool wait with the function that ends in _sync")

    def wait_sync(self, timeout_s: float | None) -> None:
        """Block until it has happened or the time is over."""
        self._event.wait(timeout_s)


class ProcessContext:
    """The context of an attempt inside of the pool's process; implements `ActivityContext`."""

    def __init__(self, job: ProcessJob) -> None:
        self.info = job.info
        self.client = None
        self.cancelled = _ProcessOccurrence(job.attempt.cancelled)
        self.worker_shutdown = _ProcessOccurrence(job.worker_shutdown)
        self.last_details: tuple[Payload, ...] | None = None
        self.heartbeat_failure: Failure | None = None
        self._values = job.values
        self._attempt = job.attempt

    @property
    def metric_meter(self) -> MetricMeter:
        """An exporter lives in the worker's process.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("there is no metric meter in the process of a pool: use threads")

    @property
    def payload_converter(self) -> PayloadConverter:
        """The converter of the worker's client."""
        return self._values.payload_converter

    def heartbeat(self, *details: object) -> None:
        """Convert here and send. The queue is full: the next one, or the end, brings the news."""
        try:
            self.last_details = tuple(self._values.to_payloads(details))
        except Exception as error:  # the boundary of converters, which users may write
            self.heartbeat_failure = self._values.to_failure(error)
            self._attempt.cancelled.set()
            return
        try:
            self._attempt.heartbeats.put_nowait((self._attempt.token, self.last_details))
        except queue.Full:
            pass

    def cancellation_details(self) -> ActivityCancellationDetails | None:
        """Why it was asked to end."""
        return self._attempt.details.get(self._attempt.token)

    def shield(self) -> AbstractContextManager[None]:
        """Nothing is raised here from outside."""
        return nullcontext()
