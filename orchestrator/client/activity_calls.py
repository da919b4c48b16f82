"""What a client does with standalone activities: durable activities without a workflow.

An overload for each shape of function lets a checker know the result and compare a single argument.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar, Unpack, overload

from orchestrator.client.activity_descriptions import (
    ActivityExecution,
    ActivityExecutionStatus,
    activity_status_of,
)
from orchestrator.client.activity_handle import ActivityHandle
from orchestrator.client.activity_start import (
    ActivityStartOptions,
    StartActivityInput,
    activity_start_of,
    start_standalone,
)
from orchestrator.client.filters import ActivityFilter, activity_filter_of
from orchestrator.client.interceptors import OutboundInterceptor
from orchestrator.client.listing import rows_of
from orchestrator.converter import DataConverter
from orchestrator.definition.activity import activity_name
from orchestrator.definition.calls import ABSENT, one_or_all
from orchestrator.definition.signature import result_type as annotated_result
from orchestrator.wire.options import RunStatus
from orchestrator.wiring import Services

_Arg = TypeVar("_Arg")
_Result = TypeVar("_Result")


class StandaloneActivityCalls:
    """The part of a client that starts and finds activities without a workflow."""

    services: Services
    data_converter: DataConverter
    identity: str
    outbound: OutboundInterceptor | None

    @overload
    async def start_activity(
        self,
        activity: Callable[[], Awaitable[_Result]],
        **options: Unpack[ActivityStartOptions],
    ) -> ActivityHandle[_Result]: ...
    @overload
    async def start_activity(
        self,
        activity: Callable[[], _Result],
        **options: Unpack[ActivityStartOptions],
    ) -> ActivityHandle[_Result]: ...
    @overload
    async def start_activity(
        self,
        activity: Callable[[_Arg], Awaitable[_Result]],
        arg: _Arg,
        **options: Unpack[ActivityStartOptions],
    ) -> ActivityHandle[_Result]: ...
    @overload
    async def start_activity(
        self,
        activity: Callable[[_Arg], _Result],
        arg: _Arg,
        **options: Unpack[ActivityStartOptions],
    ) -> ActivityHandle[_Result]: ...
    @overload
    async def start_activity(
        self,
        activity: Callable[..., Awaitable[_Result]],
        *,
        args: Sequence[Any],  # Any: user's values
        **options: Unpack[ActivityStartOptions],
    ) -> ActivityHandle[_Result]: ...
    @overload
    async def start_activity(
        self,
        activity: Callable[..., _Result],
        *,
        args: Sequence[Any],  # Any: user's values
        **options: Unpack[ActivityStartOptions],
    ) -> ActivityHandle[_Result]: ...
    @overload
    async def start_activity(
        self,
        activity: str,
        arg: Any = ...,  # Any: user's value
        *,
        args: Sequence[Any] = ...,  # Any: user's values
        result_type: type[_Result],
        **options: Unpack[ActivityStartOptions],
    ) -> ActivityHandle[_Result]: ...
    @overload
    async def start_activity(
        self,
        activity: str,
        arg: Any = ...,  # Any: user's value
        *,
        args: Sequence[Any] = ...,  # Any: user's values
        result_type: None = ...,
        **options: Unpack[ActivityStartOptions],
    ) -> ActivityHandle[Any]: ...  # Any: nothing is known of the result
    async def start_activity(
        self,
        activity: Any,  # Any: a name or any decorated callable
        arg: Any = ABSENT,  # Any: user's value
        *,
        args: Sequence[Any] = (),  # Any: user's values
        result_type: Any = None,  # Any: annotations are of no common type
        **options: Unpack[ActivityStartOptions],
    ) -> ActivityHandle[Any]:  # Any: see the overloads
        """Start an activity without a workflow and return its handle; it exists once this returns.

        It is retried, timed out, cancelled, paused and rate limited as any activity is. Needs a
        worker of the task queue that has the activity, and none that has workflows.

        Raises:
            ActivityAlreadyStartedError: the policies refuse, because of an open or a closed one.
            RPCError: INVALID_ARGUMENT, neither close time-out is given, or a time cannot be one.
            TypeError: an option is unknown, or `id` or `task_queue` is missing.
            ValueError: the activity is not decorated.
            InvalidNameError: an id, type or queue cannot be one.
            ConversionError: an argument cannot be converted.
            UnavailableError: the store does not answer; repeat under the same `request_id`.
        """
        if result_type is None and not isinstance(activity, str):
            result_type = annotated_result(activity)
        given = StartActivityInput(
            activity=activity_name(activity),
            args=one_or_all(arg, args),
            options=options,
            headers={},
            ret_type=result_type,
        )
        if self.outbound is None:
            return await self.send_activity_start(given)
        handle: ActivityHandle[Any] = await self.outbound.start_activity(given)
        return handle  # Any: see the overloads

    async def send_activity_start(
        self, given: StartActivityInput
    ) -> ActivityHandle[Any]:  # Any: see the overloads
        """As `start_activity`, past all interceptors."""
        services, values = self.services, self.data_converter
        start = await activity_start_of(
            given, services=services, values=values, identity=self.identity
        )
        run_id = await start_standalone(services, start)
        return ActivityHandle(
            services,
            values,
            self.identity,
            given.id,
            run_id=run_id,
            result_type=given.ret_type,
            outbound=self.outbound,
        )

    @overload
    async def execute_activity(
        self,
        activity: Callable[[], Awaitable[_Result]],
        **options: Unpack[ActivityStartOptions],
    ) -> _Result: ...
    @overload
    async def execute_activity(
        self,
        activity: Callable[[], _Result],
        **options: Unpack[ActivityStartOptions],
    ) -> _Result: ...
    @overload
    async def execute_activity(
        self,
        activity: Callable[[_Arg], Awaitable[_Result]],
        arg: _Arg,
        **options: Unpack[ActivityStartOptions],
    ) -> _Result: ...
    @overload
    async def execute_activity(
        self,
        activity: Callable[[_Arg], _Result],
        arg: _Arg,
        **options: Unpack[ActivityStartOptions],
    ) -> _Result: ...
    @overload
    async def execute_activity(
        self,
        activity: Callable[..., Awaitable[_Result]],
        *,
        args: Sequence[Any],  # Any: user's values
        **options: Unpack[ActivityStartOptions],
    ) -> _Result: ...
    @overload
    async def execute_activity(
        self,
        activity: Callable[..., _Result],
        *,
        args: Sequence[Any],  # Any: user's values
        **options: Unpack[ActivityStartOptions],
    ) -> _Result: ...
    @overload
    async def execute_activity(
        self,
        activity: str,
        arg: Any = ...,  # Any: user's value
        *,
        args: Sequence[Any] = ...,  # Any: user's values
        result_type: type[_Result],
        **options: Unpack[ActivityStartOptions],
    ) -> _Result: ...
    @overload
    async def execute_activity(
        self,
        activity: str,
        arg: Any = ...,  # Any: user's value
        *,
        args: Sequence[Any] = ...,  # Any: user's values
        result_type: None = ...,
        **options: Unpack[ActivityStartOptions],
    ) -> Any: ...  # Any: nothing is known of the result
    async def execute_activity(
        self,
        activity: Any,  # Any: a name or any decorated callable
        arg: Any = ABSENT,  # Any: user's value
        *,
        args: Sequence[Any] = (),  # Any: user's values
        result_type: Any = None,  # Any: annotations are of no common type
        **options: Unpack[ActivityStartOptions],
    ) -> Any:  # Any: see the overloads
        """As `start_activity`, and wait for the result; raises what `ActivityHandle.result`
        does."""
        call: Any = self.start_activity  # Any: the overloads fit no forwarded call
        handle = await call(activity, arg, args=args, result_type=result_type, **options)
        return await handle.result()

    def get_activity_handle(
        self, activity_id: str, *, run_id: str | None = None, result_type: type | None = None
    ) -> ActivityHandle[Any]:  # Any: nothing is known of it
        """A handle without any I/O; `run_id` None means the newest of this id.

        Raises:
            InvalidNameError: an id cannot be one.
        """
        return ActivityHandle(
            self.services,
            self.data_converter,
            self.identity,
            activity_id,
            run_id=run_id,
            result_type=result_type,
            outbound=self.outbound,
        )

    async def list_activities(
        self, *, limit: int | None = None, **wanted: Unpack[ActivityFilter]
    ) -> AsyncIterator[ActivityExecution]:
        """Activities without a workflow that are open or within retention, newest start first;
        what is given must fit.

        Raises:
            InvalidNameError: a task queue cannot be one.
            InvalidSearchAttributeError: a value is not of its type, or is a text.
        """
        found = activity_filter_of(wanted)
        async for row in rows_of(self.services.store, found, limit=limit):
            yield ActivityExecution.of_row(row)

    async def count_activities(
        self, **wanted: Unpack[ActivityFilter]
    ) -> Mapping[ActivityExecutionStatus, int]:
        """How many activities without a workflow that fit there are of each status, open or within
        retention. Raises as `list_activities` does."""
        counts = await self.services.store.count_runs(activity_filter_of(wanted))
        return {
            activity_status_of(status): count
            for status, count in counts.items()
            if status is not RunStatus.CONTINUED_AS_NEW
        }
