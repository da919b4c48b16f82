"""Plugins of workers and Replayers: they change how these are made, and stand around a run.

Names are those of Temporal's Python SDK.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from functools import partial, wraps
from typing import Any, ParamSpec, Required, TypedDict, cast

from orchestrator.client import Client
from orchestrator.converter import DataConverter
from orchestrator.replay.patches import PatchActivation
from orchestrator.wire.history_json import WorkflowHistory
from orchestrator.worker.interceptors import Interceptor
from orchestrator.worker.replay_results import WorkflowReplayResult
from orchestrator.worker.shared_state import SharedStateManager

_P = ParamSpec("_P")


class WorkerConfig(TypedDict, total=False):
    """The parameters of `Worker`."""

    client: Required[Client]
    task_queue: Required[str]
    workflows: Sequence[type]
    activities: Sequence[Callable[..., Any]]  # Any: user functions of any signature
    activity_executor: Executor | None
    shared_state_manager: SharedStateManager | None
    max_concurrent_workflow_tasks: int | None
    max_concurrent_activities: int | None
    max_concurrent_local_activities: int | None
    max_cached_workflows: int | None
    max_activities_per_second: float | None
    max_task_queue_activities_per_second: float | None
    max_activities_per_second_by_type: Mapping[str, float] | None
    max_activities_per_second_per_key: float | None
    max_task_queue_concurrent_activities: int | None
    max_concurrent_activities_by_type: Mapping[str, int] | None
    max_concurrent_activities_per_key: int | None
    graceful_shutdown_timeout: timedelta
    max_heartbeat_throttle_interval: timedelta
    default_heartbeat_throttle_interval: timedelta
    interceptors: Sequence[Interceptor]
    workflow_failure_exception_types: Sequence[type[BaseException]]
    patch_activation_callback: PatchActivation | None
    on_fatal_error: Callable[[Exception], Awaitable[None]] | None
    identity: str | None
    build_id: str | None
    debug_mode: bool
    engine_duties: bool
    plugins: Sequence[Plugin]


class ReplayerConfig(TypedDict, total=False):
    """The parameters of `Replayer`."""

    workflows: Sequence[type]
    namespace: str
    data_converter: DataConverter
    interceptors: Sequence[Interceptor]
    workflow_failure_exception_types: Sequence[type[BaseException]]
    plugins: Sequence[Plugin]


Run = Callable[[Any], Awaitable[None]]  # Any: a Worker, of a module above
"""Runs a worker."""
Replay = Callable[
    [Any, AsyncIterator[WorkflowHistory]],  # Any: a Replayer, of a module above
    AbstractAsyncContextManager[AsyncIterator[WorkflowReplayResult]],
]
"""Replays histories: within the context, the result of each."""


class Plugin:
    """Changes how workers and Replayers are made, and stands around a worker's run."""

    def name(self) -> str:
        """For people."""
        return f"{type(self).__module__}.{type(self).__qualname__}"

    def configure_worker(self, config: WorkerConfig) -> WorkerConfig:
        """The configuration to use; called once for each worker, in the order of the plugins."""
        return config

    def configure_replayer(self, config: ReplayerConfig) -> ReplayerConfig:
        """The configuration to use; called once for each Replayer, in the order of the plugins."""
        return config

    async def run_worker(self, worker: Any, next: Run) -> None:  # Any: a Worker, as above
        """Run the worker by `next`; the first plugin is the outermost."""
        await next(worker)

    def run_replayer(
        self,
        replayer: Any,  # Any: a Replayer, of a module above
        histories: AsyncIterator[WorkflowHistory],
        next: Replay,
    ) -> AbstractAsyncContextManager[AsyncIterator[WorkflowReplayResult]]:
        """Replay the histories by `next`; the first plugin is the outermost."""
        return next(replayer, histories)


def plugins_of(client: Client, plugins: Sequence[Plugin]) -> tuple[Plugin, ...]:
    """Those of the client that are plugins of workers too, then the worker's own."""
    own = (one for one in client.plugins if isinstance(one, Plugin))
    return (*own, *plugins)


def configures_worker(init: Callable[_P, None]) -> Callable[_P, None]:
    """Around the constructor of `Worker`: it sees what the plugins have made of its arguments."""

    def configure(given: dict[str, Any], plugins: Sequence[Plugin]) -> Any:  # Any: a config
        config = cast("WorkerConfig", given)
        for plugin in plugins_of(config["client"], plugins):
            config = plugin.configure_worker(config)
        return config

    return _configures(init, configure)


def configures_replayer(init: Callable[_P, None]) -> Callable[_P, None]:
    """Around the constructor of `Replayer`, likewise."""

    def configure(given: dict[str, Any], plugins: Sequence[Plugin]) -> Any:  # Any: a config
        config = cast("ReplayerConfig", given)
        for plugin in plugins:
            config = plugin.configure_replayer(config)
        return config

    return _configures(init, configure)


def _configures(
    init: Callable[_P, None],
    configure: Callable[[dict[str, Any], Sequence[Plugin]], Any],  # Any: a config
) -> Callable[_P, None]:
    signature = inspect.signature(init)
    call: Callable[..., None] = init

    @wraps(init)
    def configured(*args: _P.args, **kwargs: _P.kwargs) -> None:
        given = dict(signature.bind(*args, **kwargs).arguments)
        itself = given.pop("self")
        itself._given = dict(given)
        plugins = given.pop("plugins", ())
        call(itself, **configure(given, plugins), plugins=plugins)

    return configured


async def run_through(plugins: Sequence[Plugin], worker: Any, run: Run) -> None:  # Any: a Worker
    """Run a worker, each plugin around the next."""
    for plugin in reversed(plugins):
        run = _around(plugin, run)
    await run(worker)


def replay_through(
    plugins: Sequence[Plugin],
    replayer: Any,  # Any: a Replayer, of a module above
    histories: AsyncIterator[WorkflowHistory],
    replay: Replay,
) -> AbstractAsyncContextManager[AsyncIterator[WorkflowReplayResult]]:
    """Replay histories, each plugin around the next."""
    for plugin in reversed(plugins):
        replay = partial(plugin.run_replayer, next=replay)
    return replay(replayer, histories)


def _around(plugin: Plugin, run: Run) -> Run:
    async def running(worker: Any) -> None:  # Any: a Worker
        await plugin.run_worker(worker, run)

    return running
