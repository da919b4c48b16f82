"""Where an activity's function runs: on the worker's loop, in a thread, or in another process.

A `Job` is one call under way. It can be cancelled at any time and always ends with an `Ended`,
whatever the user's code does; only a pool that is broken or closed raises.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import ParamSpec, Protocol, TypeVar

from orchestrator.activity import ActivityCancellationDetails, ActivityContext, current_context
from orchestrator.converter import DataConverter
from orchestrator.definition.activity import ActivityDefinition
from orchestrator.exceptions import CancelledError as AttemptCancelledError
from orchestrator.exceptions import OrchestratorError
from orchestrator.wire.payload import Payload
from orchestrator.worker.activity_context import LocalContext
from orchestrator.worker.calls import Ended, call_async, call_sync, ended_by
from orchestrator.worker.interruption import Interruption
from orchestrator.worker.shared_state import (
    SERVER_GONE,
    OnSharedHeartbeat,
    ProcessJob,
    SharedAttempt,
    SharedEvent,
    SharedStateManager,
    run_in_process,
)

_P = ParamSpec("_P")
_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class PoolUnusableError(OrchestratorError):
    """The worker's executor is broken or closed: it runs no further activity."""


@dataclass(frozen=True)
class Call:
    """What is called."""

    definition: ActivityDefinition
    payloads: Sequence[Payload]
    values: DataConverter

    def run(self) -> Ended:
        """Call it here, in this thread."""
        return call_sync(self.definition, self.payloads, self.values)


class Job(Protocol):
    """A call under way. Belongs to the loop on which it was made."""

    def cancel(self, details: ActivityCancellationDetails) -> None:
        """Have the code see a cancellation; it may ignore it."""
        ...

    async def ended(self) -> Ended:
        """Wait for the end of the call; being cancelled leaves the call alone.

        Raises:
            PoolUnusableError: the pool broke under it.
        """
        ...


class AsyncJob:
    """Runs on the loop, in a task of its own."""

    def __init__(self, call: Call, context: ActivityContext) -> None:
        self._values = call.values
        variables = copy_context()
        variables.run(current_context.set, context)
        self._task = asyncio.get_running_loop().create_task(
            call_async(call.definition, call.payloads, call.values),
            name=f"activity {call.definition.name}",
            context=variables,
        )

    def cancel(self, details: ActivityCancellationDetails) -> None:
        """See `Job.cancel`: as asyncio's CancelledError."""
        self._task.cancel()

    async def ended(self) -> Ended:
        """See `Job.ended`."""
        await asyncio.wait((self._task,))
        if self._task.cancelled():  # before its first step
            return ended_by(asyncio.CancelledError(), self._values)
        return self._task.result()


class ThreadJob:
    """Runs in a thread of the worker's executor."""

    def __init__(
        self,
        call: Call,
        context: LocalContext,
        executor: Executor,
    ) -> None:
        """Raises PoolUnusableError."""
        self._values = call.values
        interruption = self._interruption = context.interruption
        variables = copy_context()
        variables.run(current_context.set, context)
        self._future = _submit(executor, variables.run, _run_in_thread, call, interruption)
        self._wrapped = asyncio.wrap_future(self._future)

    def cancel(self, details: ActivityCancellationDetails) -> None:
        """See `Job.cancel`: not begun, it does not begin; else by an exception in the thread."""
        if not self._future.cancel() and self._interruption is not None:
            self._interruption.ask()

    async def ended(self) -> Ended:
        """See `Job.ended`."""
        return await _ended(self._wrapped, self._values)


class PoolProcessJob:
    """Runs in a process of the worker's executor."""

    def __init__(
        self, shared: SharedStateManager, attempt: SharedAttempt, future: Future[Ended], call: Call
    ) -> None:
        """Made by `start`."""
        self._shared = shared
        self._attempt = attempt
        self._future = future
        self._wrapped = asyncio.wrap_future(future)
        self._values = call.values
        self._telling: asyncio.Future[None] | None = None

    @classmethod
    async def start(
        cls,
        call: Call,
        context: ActivityContext,
        executor: Executor,
        shared: SharedStateManager,
        worker_shutdown: SharedEvent,
        on_heartbeat: OnSharedHeartbeat,
    ) -> PoolProcessJob:
        """Share the attempt's state and call. Raises PoolUnusableError."""
        token = context.info.task_token
        attempt = await asyncio.to_thread(shared.begin, token, on_heartbeat)
        job = ProcessJob(
            function=call.definition.function,
            payloads=tuple(call.payloads),
            values=call.values,
            info=context.info,
            attempt=attempt,
            worker_shutdown=worker_shutdown,
        )
        try:
            future = _submit(executor, run_in_process, job)
        except PoolUnusableError:
            await asyncio.to_thread(shared.end, token)
            raise
        return cls(shared, attempt, future, call)

    def cancel(self, details: ActivityCancellationDetails) -> None:
        """See `Job.cancel`: not begun, it does not begin; else it is told, and looks by itself."""
        if not self._future.cancel():
            loop = asyncio.get_running_loop()
            self._telling = loop.run_in_executor(None, self._shared.cancel, self._attempt, details)

    async def ended(self) -> Ended:
        """See `Job.ended`."""
        try:
            ended = await _ended(self._wrapped, self._values)
        except PoolUnusableError:
            await self._forget()
            raise
        await self._forget()
        return ended

    async def _forget(self) -> None:
        """The server of the shared state may be gone: then there is nothing to forget."""
        if self._telling is not None:
            await asyncio.wait((self._telling,))
        try:
            await asyncio.to_thread(self._shared.end, self._attempt.token)
        except SERVER_GONE as error:
            _log.warning("shared_state_gone error=%r", error)


def is_thread_pool(executor: Executor) -> bool:
    """Whether `executor` calls in threads of this process; of any other the worker assumes that
    what it calls must be pickled."""
    return isinstance(executor, ThreadPoolExecutor)


def _run_in_thread(call: Call, interruption: Interruption | None) -> Ended:
    if interruption is None:
        return call.run()
    try:
        return interruption.run(call.run)
    except (
        AttemptCancelledError
    ) as error:  # it hit before user code had begun or after it had ended
        return ended_by(error, call.values)


def _submit(
    executor: Executor, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
) -> Future[_T]:
    try:
        return executor.submit(function, *args, **kwargs)
    except RuntimeError as error:  # broken, or shut down
        raise PoolUnusableError(
            f"the executor of sync activities takes no work: {error}"
        ) from error


async def _ended(future: asyncio.Future[Ended], values: DataConverter) -> Ended:
    await asyncio.wait((future,))
    try:
        return future.result()
    except (asyncio.CancelledError, CancelledError):  # it was still waiting for its turn
        return ended_by(asyncio.CancelledError(), values)
    except BrokenExecutor as error:
        raise PoolUnusableError(f"the executor of sync activities broke: {error}") from error
    except Exception as error:  # the boundary of the pool: what could not be pickled, for example
        return ended_by(error, values)
