"""What is in flight of one run's local activities, and the part of its task that waits for them.

The run says what it waits for; this follows: begins what is new, stops what nobody waits for any
more. Ends are taken one at a time, each where the code is quiet.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from orchestrator.core.transition import Transition
from orchestrator.limits import LOCAL_PROGRESS_MS
from orchestrator.ports.clock import Clock
from orchestrator.replay.facts import RunFacts, TaskFailure
from orchestrator.replay.local_activities import LocalActivities, LocalActivity
from orchestrator.wire.commands import RecordMarker
from orchestrator.wire.events import WorkflowTaskFailureCause
from orchestrator.wire.failure import ApplicationFailure, Failure
from orchestrator.worker.activations import Activations, OpenTask
from orchestrator.worker.local_attempts import LocalAttempts, Stop
from orchestrator.worker.run_cache import CachedRun

Look: TypeAlias = Callable[[], Awaitable[bool]]
"""Reads head and inbox of the run in work; whether there is something to do before waiting on."""


@dataclass(slots=True)
class _Flight:
    request: LocalActivity
    stop: Stop
    task: asyncio.Task[RecordMarker]


class LocalWork:
    """Owns a task for each local activity of one run that is in flight."""

    def __init__(self, attempts: LocalAttempts, clock: Clock, facts: RunFacts) -> None:
        self._attempts = attempts
        self._clock = clock
        self._facts = facts
        self._flights: dict[str, _Flight] = {}
        self._ends: deque[tuple[str, asyncio.Task[RecordMarker]]] = deque()
        self._news = asyncio.Event()

    def follow(self, local: LocalActivities) -> TaskFailure | None:
        """Begin and stop what the run says; a failure when this worker lacks an activity."""
        wanted = {request.activity_id: (request, stop) for request, stop in local.to_run}
        for identity, flight in list(self._flights.items()):
            if identity not in wanted or wanted[identity][0] is not flight.request:
                del self._flights[identity]
                self._leave(flight, abandon=identity in local.abandoned)
        for identity, (request, shall_stop) in wanted.items():
            if not self._attempts.knows(request.activity_type):
                return _unknown(request.activity_type)
            if identity not in self._flights:
                self._begin(request)
            if shall_stop:
                self._flights[identity].stop.ask()
        return None

    async def next_end(self, *, timeout_ms: int) -> RecordMarker | None:
        """Wait for an end; it stays the next one until it is taken. None: the time is over."""
        while True:
            while self._ends:
                identity, task = self._ends[0]
                flight = self._flights.get(identity)
                if flight is not None and flight.task is task:
                    return task.result()
                self._ends.popleft()
            self._news.clear()
            due_ms = self._clock.now_ms() + timeout_ms
            await self._clock.wait(self._news, timeout_ms=timeout_ms)
            timeout_ms = max(0, due_ms - self._clock.now_ms())
            if not self._ends:
                return None

    def take_end(self) -> None:
        """The next end is the run's now."""
        identity, _ = self._ends.popleft()
        del self._flights[identity]

    def end(self, local: LocalActivities) -> None:
        """The run waits for nothing more: what it has not abandoned is asked to end."""
        for identity, flight in self._flights.items():
            self._leave(flight, abandon=identity in local.abandoned)
        self._flights.clear()
        self._ends.clear()

    def drop(self) -> None:
        """Cancel what is in flight: the run is thrown away."""
        for flight in self._flights.values():
            flight.task.cancel()
        self._flights.clear()
        self._ends.clear()

    def _begin(self, request: LocalActivity) -> None:
        stop = Stop()
        task = asyncio.get_running_loop().create_task(
            self._attempts.run(self._facts, request, stop),
            name=f"local activity {request.activity_type}",
        )
        self._flights[request.activity_id] = _Flight(request, stop, task)

        def ended(task: asyncio.Task[RecordMarker]) -> None:
            if not task.cancelled():
                self._ends.append((request.activity_id, task))
                self._news.set()

        task.add_done_callback(ended)

    def _leave(self, flight: _Flight, *, abandon: bool) -> None:
        """Nobody waits for it: it is asked to end, or goes on unobserved."""
        if not abandon:
            flight.stop.ask()
        self._attempts.keep(flight.task)


class LocalTasks:
    """The waiting part of workflow tasks with local activities, for one worker."""

    def __init__(self, attempts: LocalAttempts, activations: Activations, clock: Clock) -> None:
        self._attempts = attempts
        self._activations = activations
        self._clock = clock

    def begin(self, run: CachedRun) -> LocalWork:
        """Nothing is in flight yet."""
        return LocalWork(self._attempts, self._clock, run.run.facts)

    async def wait(
        self, work: LocalWork, run: CachedRun, opened: OpenTask, look: Look
    ) -> tuple[Transition, ...] | TaskFailure | None:
        """Let the run's local activities end, one by one, until none is running, the code has
        ended, or there is something to write after a while. What the task is then decided to be;
        None: nothing has ended, and `look` has found that others, or news, have moved the run."""
        until_ms = self._clock.now_ms() + LOCAL_PROGRESS_MS
        while True:
            if opened.closes:
                work.end(run.run.local)
                return self._activations.decide(run, opened)
            failure = work.follow(run.run.local)
            if failure is not None:
                return failure
            left_ms = until_ms - self._clock.now_ms()
            if not run.run.local.to_run or (left_ms <= 0 and opened.has_news):
                return self._activations.decide(run, opened)
            if left_ms <= 0:
                if await look():
                    return None
                until_ms = self._clock.now_ms() + LOCAL_PROGRESS_MS
                continue
            ended = await work.next_end(timeout_ms=left_ms)
            if ended is None:
                continue
            if not opened.has_room_for(ended):
                return self._activations.decide(run, opened)
            work.take_end()
            failure = await self._activations.end_local(run, opened, ended)
            if failure is not None:
                return failure


def _unknown(activity_type: str) -> TaskFailure:
    message = (
        f"local activity {activity_type!r} is not registered on this worker: local activities run "
        "where their workflow runs; register it there, or call it as an activity"
    )
    return TaskFailure(
        cause=WorkflowTaskFailureCause.WORKFLOW_CODE,
        failure=Failure(message=message, detail=ApplicationFailure(error_type="NotFoundError")),
    )
