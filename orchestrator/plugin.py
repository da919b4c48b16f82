"""A plugin made of parts, for those who ship one: one object that an application gives its client.

Names are those of Temporal's Python SDK.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

from orchestrator import client, worker
from orchestrator.converter import DataConverter
from orchestrator.wire.history_json import WorkflowHistory
from orchestrator.worker import Replay, Run, WorkflowReplayResult

__all__ = ["SimplePlugin"]


class SimplePlugin(client.Plugin, worker.Plugin):
    """Adds what it was given to clients, workers and Replayers."""

    def __init__(
        self,
        name: str,
        *,
        data_converter: DataConverter | Callable[[DataConverter], DataConverter] | None = None,
        interceptors: Sequence[client.Interceptor | worker.Interceptor] = (),
        workflows: Sequence[type] = (),
        activities: Sequence[Callable[..., Any]] = (),  # Any: user functions of any signature
        workflow_failure_exception_types: Sequence[type[BaseException]] = (),
        run_context: Callable[[], AbstractAsyncContextManager[Any]] | None = None,  # Any: unused
    ) -> None:
        """Nothing is done yet.

        Args:
            name: For people.
            data_converter: Takes the place of the one that is given, or makes another of it.
            interceptors: Behind those that are given: of clients, of workers, or of both.
            workflows: Beside those that a worker has.
            activities: Likewise.
            workflow_failure_exception_types: Likewise.
            run_context: Entered while a worker runs, and around replays.
        """
        self._name = name
        self._data_converter = data_converter
        self._interceptors = tuple(interceptors)
        self._workflows = tuple(workflows)
        self._activities = tuple(activities)
        self._failure_types = tuple(workflow_failure_exception_types)
        self._run_context = run_context

    def name(self) -> str:
        """For people."""
        return self._name

    def configure_client(self, config: client.ClientConfig) -> client.ClientConfig:
        """See `client.Plugin`."""
        config["data_converter"] = self._converter(config["data_converter"])
        links = [one for one in self._interceptors if isinstance(one, client.Interceptor)]
        config["interceptors"] = [*config["interceptors"], *links]
        return config

    def configure_worker(self, config: worker.WorkerConfig) -> worker.WorkerConfig:
        """See `worker.Plugin`. Links that the client has already are not added again."""
        there: set[int] = set(map(id, config["client"].interceptors))
        links = [
            one
            for one in self._interceptors
            if isinstance(one, worker.Interceptor) and id(one) not in there
        ]
        config["interceptors"] = [*config.get("interceptors", ()), *links]
        config["workflows"] = [*config.get("workflows", ()), *self._workflows]
        config["activities"] = [*config.get("activities", ()), *self._activities]
        config["workflow_failure_exception_types"] = self._failures(
            config.get("workflow_failure_exception_types", ())
        )
        return config

    def configure_replayer(self, config: worker.ReplayerConfig) -> worker.ReplayerConfig:
        """See `worker.Plugin`."""
        config["data_converter"] = self._converter(config.get("data_converter"))
        links = [one for one in self._interceptors if isinstance(one, worker.Interceptor)]
        config["interceptors"] = [*config.get("interceptors", ()), *links]
        config["workflows"] = [*config.get("workflows", ()), *self._workflows]
        config["workflow_failure_exception_types"] = self._failures(
            config.get("workflow_failure_exception_types", ())
        )
        return config

    async def run_worker(self, worker: Any, next: Run) -> None:  # Any: as in worker.Plugin
        """See `worker.Plugin`."""
        if self._run_context is None:
            await next(worker)
            return
        async with self._run_context():
            await next(worker)

    @asynccontextmanager
    async def run_replayer(
        self,
        replayer: Any,  # Any: as in worker.Plugin
        histories: AsyncIterator[WorkflowHistory],
        next: Replay,
    ) -> AsyncGenerator[AsyncIterator[WorkflowReplayResult], None]:
        """See `worker.Plugin`."""
        around = nullcontext() if self._run_context is None else self._run_context()
        async with around, next(replayer, histories) as results:
            yield results

    def _converter(self, given: DataConverter | None) -> DataConverter:
        found, own = given or DataConverter.default, self._data_converter
        if own is None:
            return found
        return own if isinstance(own, DataConverter) else own(found)

    def _failures(self, given: Sequence[type[BaseException]]) -> Sequence[type[BaseException]]:
        return (*given, *self._failure_types)
