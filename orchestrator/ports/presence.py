"""The right to give signs of life, and to hear what is pushed: part of the port to the store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from orchestrator.core.transition import AttemptName
from orchestrator.ids import ProcessName, WorkflowId


class PresenceStore(Protocol):
    """Signs of life, and news pushed to processes and waiting clients. Notices may be lost."""

    async def announce(self, process: ProcessName) -> None:
        """Renew this process's sign of life."""
        ...

    async def withdraw(self, process: ProcessName) -> None:
        """This process goes; nobody needs to wait for its sign of life to run out."""
        ...

    async def is_alive(self, process: ProcessName) -> bool:
        """Whether a process listens and has renewed its sign of life.

        Raises:
            UnavailableError: there is no answer; ask again.
        """
        ...

    async def listen(self, process: ProcessName, on_cancel: Callable[[AttemptName], None]) -> None:
        """Listen for this process; `on_cancel` is called when an attempt it runs shall stop."""
        ...

    async def watch(
        self, workflow_id: WorkflowId, on_notice: Callable[[], None], *, updates: bool = False
    ) -> Watch:
        """Call `on_notice` when a run of the workflow id closes, and with `updates` also when an
        update of it is let in, turned down or completed, until the watch is closed."""
        ...


class Watch(Protocol):
    """A subscription."""

    async def close(self) -> None:
        """End it."""
        ...
