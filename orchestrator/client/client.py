"""A client: starts workflows and finds them.

A start is one script and one message; the run exists once the script has answered, and its wake-up
is made again when the message is lost.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, Unpack, overload

from orchestrator.client.activity_method_calls import StandaloneMethodCalls
from orchestrator.client.activity_operations import ActivityIds
from orchestrator.client.async_activities import AsyncActivityHandle
from orchestrator.client.descriptions import WorkflowExecution, WorkflowExecutionStatus, status_of
from orchestrator.client.filters import WorkflowFilter, filter_of
from orchestrator.client.handle import WorkflowHandle
from orchestrator.client.interceptors import Interceptor, StartWorkflowInput
from orchestrator.client.listing import rows_of
from orchestrator.client.options import WorkflowStartOptions, target_of
from orchestrator.client.outbound import chain_of
from orchestrator.client.plugins import ClientConfig, Plugin, configured
from orchestrator.client.starting import start_run
from orchestrator.client.with_start import UpdateWithStartCalls
from orchestrator.config import load_settings
from orchestrator.converter import DataConverter
from orchestrator.core.task_token import TaskToken
from orchestrator.definition.calls import ABSENT, one_or_all
from orchestrator.ids import RunId, check_text, check_workflow_id, standalone_workflow_id
from orchestrator.limits import NAME_BYTES_MAX
from orchestrator.metering import MetricMeter
from orchestrator.wiring import Services, services_of

_Self = TypeVar("_Self")
_Param = TypeVar("_Param")
_Params = ParamSpec("_Params")
_Result = TypeVar("_Result")


class Client(UpdateWithStartCalls, StandaloneMethodCalls):
    """A connection to both servers, for one event loop. Use it as `async with`, or `close` it."""

    def __init__(
        self,
        services: Services,
        *,
        data_converter: DataConverter = DataConverter.default,
        interceptors: Sequence[Interceptor] = (),
        metric_meter: MetricMeter = MetricMeter.noop,
        identity: str | None = None,
        plugins: Sequence[Plugin] = (),
    ) -> None:
        """Over services that are open; `connect` is the usual way."""
        given = ClientConfig(
            services=services,
            data_converter=data_converter,
            interceptors=interceptors,
            metric_meter=metric_meter,
            identity=identity,
        )
        config = self._config = configured(plugins, given)
        self.plugins = tuple(plugins)
        self.services = config["services"]
        self.data_converter = config["data_converter"]
        self.interceptors = tuple(config["interceptors"])
        self.metric_meter = config["metric_meter"]
        self.outbound = chain_of(self, self.interceptors)
        identity = config["identity"] or f"{os.getpid()}@{socket.gethostname()}"
        self.identity = check_text("identity", identity, bytes_max=NAME_BYTES_MAX)

    @classmethod
    async def connect(
        cls,
        *,
        broker: str | None = None,
        store: str | None = None,
        namespace: str | None = None,
        data_converter: DataConverter = DataConverter.default,
        interceptors: Sequence[Interceptor] = (),
        metric_meter: MetricMeter = MetricMeter.noop,
        identity: str | None = None,
        plugins: Sequence[Plugin] = (),
        settings: Mapping[str, object] | None = None,
    ) -> Self:
        """Connect to RabbitMQ and Redis.

        Args:
            broker: `amqp://…`, `amqps://…` or `memory://`; None: ORCHESTRATOR_BROKER, then the TOML
                file, then the local default. So for the next two.
            store: `redis://…`, `rediss://…` or `memory://`, which goes with a broker in memory.
            namespace: Which set of workflows.
            data_converter: Python values ↔ payloads.
            interceptors: Stand around the client's calls, outermost first.
            metric_meter: What workflow and activity code of its workers measures with.
            identity: Who this is, in histories; default: process id and host.
            plugins: Change how the client is made, and those that are plugins of workers too its
                workers.
            settings: Any further setting of `orchestrator.config` by its name.

        Raises:
            UnavailableError: a server does not answer within 5 s; no text shows a password.
            MisconfiguredError: a setting is bad, or a server cannot keep the promises.
        """
        given = {"broker": broker, "store": store, "namespace": namespace}
        services = services_of(load_settings({**(settings or {}), **given}))
        await services.open()
        return cls(
            services,
            data_converter=data_converter,
            interceptors=interceptors,
            metric_meter=metric_meter,
            identity=identity,
            plugins=plugins,
        )

    def config(self) -> ClientConfig:
        """What this client is made of, plugins applied: `Client(**client.config())` is a like
        one."""
        return ClientConfig(**self._config)

    async def close(self) -> None:
        """Publish what waits and disconnect. Again does nothing."""
        await self.services.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def namespace(self) -> str:
        """The namespace of this client."""
        return self.services.namespace

    # Starting -------------------------------------------------------------------------------------

    @overload
    async def start_workflow(
        self,
        workflow: Callable[[_Self], Awaitable[_Result]],
        **options: Unpack[WorkflowStartOptions],
    ) -> WorkflowHandle[_Self, _Result]: ...
    @overload
    async def start_workflow(
        self,
        workflow: Callable[[_Self, _Param], Awaitable[_Result]],
        arg: _Param,
        **options: Unpack[WorkflowStartOptions],
    ) -> WorkflowHandle[_Self, _Result]: ...
    @overload
    async def start_workflow(
        self,
        workflow: Callable[Concatenate[_Self, _Params], Awaitable[_Result]],
        *,
        args: Sequence[Any],  # Any: user's values
        **options: Unpack[WorkflowStartOptions],
    ) -> WorkflowHandle[_Self, _Result]: ...
    @overload
    async def start_workflow(
        self,
        workflow: str,
        arg: Any = ...,  # Any: user's value
        *,
        args: Sequence[Any] = ...,  # Any: user's values
        result_type: type | None = ...,
        **options: Unpack[WorkflowStartOptions],
    ) -> WorkflowHandle[Any, Any]: ...  # Any: nothing is known of a workflow given by name
    async def start_workflow(
        self,
        workflow: Any,  # Any: a name or a run method
        arg: Any = ABSENT,  # Any: user's value
        *,
        args: Sequence[Any] = (),  # Any: user's values
        result_type: type | None = None,
        **options: Unpack[WorkflowStartOptions],
    ) -> WorkflowHandle[Any, Any]:  # Any: see the overloads
        """Start a workflow and return its handle; the run exists once this returns.

        Raises:
            WorkflowAlreadyStartedError: the policies refuse, because of an open or a closed run.
            RPCError: RESOURCE_EXHAUSTED, the open run takes no `start_signal` now.
            TypeError: an option is unknown, or `id` or `task_queue` is missing.
            InvalidNameError: an id, type or queue cannot be one.
            ConversionError: an argument cannot be converted.
            UnavailableError: the store does not answer; repeat under the same `request_id`.
        """
        target = target_of(workflow, result_type)
        given = StartWorkflowInput(
            workflow=target.name,
            args=one_or_all(arg, args),
            options=options,
            headers={},
            ret_type=target.ret_type,
        )
        if self.outbound is None:
            return await self.send_start(given)
        handle: WorkflowHandle[Any, Any] = await self.outbound.start_workflow(given)
        return handle  # Any: see the overloads

    async def send_start(
        self, given: StartWorkflowInput
    ) -> WorkflowHandle[Any, Any]:  # Any: see the overloads
        """As `start_workflow`, past all interceptors."""
        start = await self._start_of(given)
        return self._handle_of(given, start, await start_run(self.services, start))

    @overload
    async def execute_workflow(
        self,
        workflow: Callable[[_Self], Awaitable[_Result]],
        **options: Unpack[WorkflowStartOptions],
    ) -> _Result: ...
    @overload
    async def execute_workflow(
        self,
        workflow: Callable[[_Self, _Param], Awaitable[_Result]],
        arg: _Param,
        **options: Unpack[WorkflowStartOptions],
    ) -> _Result: ...
    @overload
    async def execute_workflow(
        self,
        workflow: Callable[Concatenate[_Self, _Params], Awaitable[_Result]],
        *,
        args: Sequence[Any],  # Any: user's values
        **options: Unpack[WorkflowStartOptions],
    ) -> _Result: ...
    @overload
    async def execute_workflow(
        self,
        workflow: str,
        arg: Any = ...,  # Any: user's value
        *,
        args: Sequence[Any] = ...,  # Any: user's values
        result_type: type | None = ...,
        **options: Unpack[WorkflowStartOptions],
    ) -> Any: ...  # Any: nothing is known of a workflow given by name
    async def execute_workflow(
        self,
        workflow: Any,  # Any: a name or a run method
        arg: Any = ABSENT,  # Any: user's value
        *,
        args: Sequence[Any] = (),  # Any: user's values
        result_type: type | None = None,
        **options: Unpack[WorkflowStartOptions],
    ) -> Any:  # Any: see the overloads
        """As `start_workflow`, and wait for the result; raises what `WorkflowHandle.result`
        does."""
        call: Any = self.start_workflow  # Any: the overloads fit no forwarded call
        handle = await call(workflow, arg, args=args, result_type=result_type, **options)
        return await handle.result()

    # Finding --------------------------------------------------------------------------------------

    def get_workflow_handle(
        self,
        workflow_id: str,
        *,
        run_id: str | None = None,
        first_execution_run_id: str | None = None,
        result_type: type | None = None,
    ) -> WorkflowHandle[Any, Any]:  # Any: nothing is known of it
        """A handle without any I/O; `run_id` None means the newest run."""
        return WorkflowHandle(
            self.services,
            self.data_converter,
            self.identity,
            workflow_id,
            run_id=run_id,
            result_run_id=run_id,
            first_execution_run_id=first_execution_run_id,
            result_type=result_type,
            outbound=self.outbound,
        )

    def get_workflow_handle_for(
        self,
        workflow: Callable[Concatenate[_Self, _Params], Awaitable[_Result]],
        workflow_id: str,
        *,
        run_id: str | None = None,
        first_execution_run_id: str | None = None,
    ) -> WorkflowHandle[_Self, _Result]:
        """As `get_workflow_handle`, with the types of a run method."""
        return WorkflowHandle(
            self.services,
            self.data_converter,
            self.identity,
            workflow_id,
            run_id=run_id,
            result_run_id=run_id,
            first_execution_run_id=first_execution_run_id,
            result_type=target_of(workflow, None).ret_type,
            outbound=self.outbound,
        )

    def get_async_activity_handle(
        self,
        *,
        workflow_id: str | None = None,
        run_id: str | None = None,
        activity_id: str | None = None,
        task_token: bytes | None = None,
    ) -> AsyncActivityHandle:
        """A handle, without any I/O, to end an activity from outside: one attempt by the
        `task_token` of its info, or whichever is current by its ids; without `workflow_id` that of
        a standalone activity.

        Raises:
            ValueError: neither a task token alone nor an activity id is given.
        """
        target: TaskToken | ActivityIds
        if task_token is not None and workflow_id is run_id is activity_id is None:
            target = TaskToken.from_bytes(task_token)
        elif task_token is None and activity_id is not None:
            run = None if run_id is None else RunId(run_id)
            owner = (
                standalone_workflow_id(activity_id)
                if workflow_id is None
                else check_workflow_id(workflow_id)
            )
            target = ActivityIds(owner, run, activity_id)
        else:
            raise ValueError(
                "give either task_token, or activity_id (with workflow_id unless it is standalone)"
            )
        return AsyncActivityHandle(self.services, self.data_converter, self.identity, target)

    async def list_workflows(
        self, *, limit: int | None = None, **wanted: Unpack[WorkflowFilter]
    ) -> AsyncIterator[WorkflowExecution]:
        """Runs that are open or within retention, newest start first; what is given must fit.

        Raises:
            InvalidNameError: a task queue cannot be one.
            InvalidSearchAttributeError: a value is not of its type, or is a text.
        """
        found = filter_of(wanted)
        async for row in rows_of(self.services.store, found, limit=limit):
            yield WorkflowExecution.of_row(row)

    async def count_workflows(
        self, **wanted: Unpack[WorkflowFilter]
    ) -> Mapping[WorkflowExecutionStatus, int]:
        """How many runs that fit there are of each status, open or within retention. What is more
        than a status is counted run by run. Raises as `list_workflows` does."""
        counts = await self.services.store.count_runs(filter_of(wanted))
        return {status_of(status): count for status, count in counts.items()}
