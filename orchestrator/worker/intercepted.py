"""One call of an activity with interceptors around it.

The chain runs on the worker's event loop; at its end stands the function, called here, in a thread
or in another process. What the chain returns is the result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from orchestrator.activity import (
    ActivityCancellationDetails,
    CompleteAsyncError,
    Info,
    current_context,
)
from orchestrator.exceptions import CancelledError
from orchestrator.wire.payload import Header, Payload
from orchestrator.worker.activity_context import LocalContext
from orchestrator.worker.calls import Ended, decode_arguments, ended_by, returned
from orchestrator.worker.executors import Call, Job, PoolUnusableError, is_thread_pool
from orchestrator.worker.interceptors import (
    ActivityInboundInterceptor,
    ActivityOutboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

StartSync: TypeAlias = Callable[[Call], Awaitable[Job]]
"""Begins a call of a sync function where such run."""


def _none_yet() -> list[tuple[Any, BaseException | None]]:  # Any: a user's value
    return []


class InterceptedJob:
    """Implements `executors.Job`."""

    def __init__(
        self,
        call: Call,
        context: LocalContext,
        interceptors: Sequence[Interceptor],
        start_sync: StartSync,
        header: Header,
        executor: Executor | None,
    ) -> None:
        """Begin the call. `executor` is where sync functions run."""
        self._call = call
        self._header = header
        self._executor = None if call.definition.is_async else executor
        self._end = _InboundEnd(call, start_sync)
        self._interceptors = interceptors
        self._context = context
        variables = copy_context()
        variables.run(current_context.set, context)
        self._task = asyncio.get_running_loop().create_task(
            self._run(), name=f"activity {call.definition.name}", context=variables
        )

    def cancel(self, details: ActivityCancellationDetails) -> None:
        """See `Job.cancel`: whoever runs now, the function elsewhere or the chain, sees it."""
        if self._end.job is not None:
            self._end.job.cancel(details)
        else:
            self._task.cancel()

    async def ended(self) -> Ended:
        """See `Job.ended`."""
        await asyncio.wait((self._task,))
        if self._task.cancelled():  # before its first step
            return ended_by(asyncio.CancelledError(), self._call.values)
        return self._task.result()

    async def _run(self) -> Ended:
        call = self._call
        try:
            arguments = decode_arguments(call.definition, call.payloads, call.values)
            given = ExecuteActivityInput(
                fn=call.definition.function,
                args=arguments,
                executor=self._executor,
                headers=dict(self._header),
            )
            inbound: ActivityInboundInterceptor = self._end
            for one in reversed(self._interceptors):
                inbound = one.intercept_activity(inbound)
            inbound.init(_OutboundEnd(self._context))
            self._context.outbound = self._end.outbound
            result = await inbound.execute_activity(given)
        except (GeneratorExit, PoolUnusableError):
            raise
        except (
            BaseException
        ) as error:  # the boundary of user code: even SystemExit ends an attempt only
            ended = ended_by(error, call.values)
        else:
            ended = returned(result, call.values)
        return replace(ended, last_details=self._end.last_details)


class _InboundEnd(ActivityInboundInterceptor):
    """Calls the function."""

    def __init__(self, call: Call, start_sync: StartSync) -> None:
        # No `next`: this is the end of the chain.
        self._call = call
        self._start_sync = start_sync
        self.outbound: ActivityOutboundInterceptor | None = None
        self.job: Job | None = None
        self.last_details: tuple[Payload, ...] | None = None

    def init(self, outbound: ActivityOutboundInterceptor) -> None:
        self.outbound = outbound

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # Any: its result
        if self._call.definition.is_async:
            return await input.fn(*input.args)
        values = self._call.values
        if input.executor is not None and not is_thread_pool(input.executor):
            payloads = tuple(values.to_payloads(input.args))
            return self._value_of(await self._ended(replace(self._call, payloads=payloads)))
        direct = _DirectCall(self._call.definition, (), values, input.fn, input.args)
        ended = await self._ended(direct)
        if not direct.outcome:
            return self._value_of(ended)
        value, error = direct.outcome[0]
        if error is not None:
            raise error
        return value

    async def _ended(self, call: Call) -> Ended:
        self.job = await self._start_sync(call)
        try:
            ended = await self.job.ended()
        finally:
            self.job = None
        self.last_details = ended.last_details
        return ended

    def _value_of(self, ended: Ended) -> Any:  # Any: the function's result
        """What was told of a call in another process, or of one that was never begun."""
        outcome, values = ended.outcome, self._call.values
        if outcome is None:
            raise CompleteAsyncError
        if isinstance(outcome, Payload):
            hint = self._call.definition.ret_type
            return values.from_payloads([outcome], None if hint is None else [hint])[0]
        error = values.from_failure(outcome)
        if ended.by_cancellation and not isinstance(error, CancelledError):
            raise asyncio.CancelledError from error
        raise error


@dataclass(frozen=True)
class _DirectCall(Call):
    """A call in a thread of this process: value and exception come back as they are."""

    function: Callable[..., Any]  # Any: a user function of any signature
    args: Sequence[Any]  # Any: user's values
    outcome: list[tuple[Any, BaseException | None]] = field(default_factory=_none_yet)  # Any: value

    def run(self) -> Ended:
        try:
            self.outcome.append((self.function(*self.args), None))
        except BaseException as error:  # the boundary of user code, as in `call_sync`
            self.outcome.append((None, error))
            return ended_by(error, self.values)
        return Ended(None)


class _OutboundEnd(ActivityOutboundInterceptor):
    """Tells the attempt."""

    def __init__(self, context: LocalContext) -> None:
        # No `next`: this is the end of the chain.
        self._context = context

    def info(self) -> Info:
        return self._context.own_info

    def heartbeat(self, *details: Any) -> None:  # Any: user's values
        self._context.own_heartbeat(*details)
