"""Signs of life and notices, in memory."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.adapters.memory.store_state import MemoryState
from orchestrator.core.transition import AttemptName
from orchestrator.ids import ProcessName, WorkflowId
from orchestrator.limits import PRESENCE_TTL_MS


class MemoryWatch:
    """A subscription to the closes of one workflow id, or to its updates as well."""

    def __init__(
        self,
        watching: dict[WorkflowId, list[Callable[[], None]]],
        workflow_id: WorkflowId,
        on_notice: Callable[[], None],
    ) -> None:
        self._watching = watching
        self._workflow_id = workflow_id
        self._on_notice: Callable[[], None] | None = on_notice
        watching.setdefault(workflow_id, []).append(on_notice)

    async def close(self) -> None:
        """End it; again does nothing."""
        if self._on_notice is None:
            return
        watchers = self._watching[self._workflow_id]
        watchers.remove(self._on_notice)
        self._on_notice = None
        if not watchers:
            del self._watching[self._workflow_id]


class MemoryPresence:
    """Who lives, and who is told what."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def announce(self, process: ProcessName) -> None:
        """See `PresenceStore.announce`."""
        self._state.present[process] = self._state.now_ms() + PRESENCE_TTL_MS

    async def withdraw(self, process: ProcessName) -> None:
        """See `PresenceStore.withdraw`."""
        self._state.present.pop(process, None)
        self._state.listeners.pop(process, None)

    async def is_alive(self, process: ProcessName) -> bool:
        """See `PresenceStore.is_alive`."""
        until_ms = self._state.present.get(process, 0)
        return process in self._state.listeners and until_ms > self._state.now_ms()

    async def listen(self, process: ProcessName, on_cancel: Callable[[AttemptName], None]) -> None:
        """See `PresenceStore.listen`."""
        self._state.listeners[process] = on_cancel

    async def watch(
        self, workflow_id: WorkflowId, on_notice: Callable[[], None], *, updates: bool = False
    ) -> MemoryWatch:
        """See `PresenceStore.watch`."""
        watching = self._state.update_watchers if updates else self._state.watchers
        return MemoryWatch(watching, workflow_id, on_notice)
