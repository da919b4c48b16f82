"""After each test: every history that its workers have made is replayed, whole and up to the end of
each task, by the code that made it.

One place for all tests of whole engines. A test that plants code which cannot replay, or ends with
a run that is stuck in its code, says so: `@pytest.mark.not_replayed("why")`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from orchestrator.converter import DataConverter
from orchestrator.ids import RunId, WorkflowId
from orchestrator.ports.store import Store
from orchestrator.replay.interceptors import WorkflowInboundInterceptor
from orchestrator.replay.partition import partition
from orchestrator.wire.events import HistoryEvent
from orchestrator.wire.history_json import WorkflowHistory
from orchestrator.worker import Interceptor, Replayer
from orchestrator.worker.interceptors import WorkflowInterceptorClassInput
from orchestrator.worker.run_loader import RunLoader
from orchestrator.worker.user_code import CodeOptions

_PREFIXES_MAX = 8


@dataclass(frozen=True)
class _Code:
    """What a run was last loaded with."""

    store: Store
    namespace: str
    workflow: type
    values: DataConverter
    options: CodeOptions

    async def replay(self, workflow_id: WorkflowId, run_id: RunId) -> None:
        """Raises as `Replayer.replay_workflow`; a run whose retention is over is gone."""
        pages = self.store.history(workflow_id, run_id)
        events = [event async for page in pages for event in page]
        if not events:
            return
        replayer = Replayer(
            workflows=[self.workflow],
            namespace=self.namespace,
            data_converter=self.values,
            interceptors=[_Giving(one) for one in self.options.interceptors],
            workflow_failure_exception_types=self.options.failure_exception_types,
        )
        told = WorkflowHistory(workflow_id, events, run_id).to_json()
        await replayer.replay_workflow(WorkflowHistory.from_json(workflow_id, told))
        for end in _ends_of_tasks(events):
            await replayer.replay_workflow(WorkflowHistory(workflow_id, events[:end], run_id))


def _ends_of_tasks(events: Sequence[HistoryEvent]) -> list[int]:
    """Where another worker may have had to go on: after each task that was written whole, of
    histories so short that it takes no time."""
    activations = partition(events).activations
    if len(activations) > _PREFIXES_MAX:
        return []
    return [
        activation.recorded[-1].event_id if activation.recorded else activation.history_length + 1
        for activation in activations
        if activation.recorded is not None and activation.recorded_complete
    ]


class _Giving(Interceptor):
    """Gives a class that stands around workflows."""

    def __init__(self, cls: type[WorkflowInboundInterceptor]) -> None:
        self._cls = cls

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor]:
        return self._cls


class Replays:
    """The runs that workers of a test have loaded; the last code of each counts."""

    def __init__(self) -> None:
        self._codes: dict[tuple[int, WorkflowId, RunId], _Code] = {}

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        """Note every run that is loaded while `patch` stands."""
        begin = RunLoader._begin

        async def noting(
            loader: RunLoader, definition: Any, state: Any, *rest: Any, **more: Any
        ) -> Any:  # Any: passed on
            context, code = loader._context, loader._user_code
            store = context.store
            self._codes[id(store), state.workflow_id, state.run_id] = _Code(
                store, context.namespace, definition.cls, code._values, code._options
            )
            return await begin(loader, definition, state, *rest, **more)

        patch.setattr(RunLoader, "_begin", noting)

    async def replay(self) -> int:
        """Replay all; how many."""
        stores = {id(code.store): code.store for code in self._codes.values()}
        for store in stores.values():
            await store.open()
        try:
            for (_, workflow_id, run_id), code in self._codes.items():
                await code.replay(workflow_id, run_id)
        finally:
            for store in stores.values():
                await store.close()
        return len(self._codes)


@pytest.fixture(autouse=True)
async def every_history_is_replayed(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Around everything else of a test, so that its workers and servers' clients have ended."""
    replays = Replays()
    with pytest.MonkeyPatch.context() as patch:
        replays.watch(patch)
        yield
    if request.node.get_closest_marker("not_replayed") is None:
        await replays.replay()
