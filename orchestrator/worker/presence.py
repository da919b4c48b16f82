"""Signs of life of one worker: whoever meets an attempt that it began asks whether it lives.

It listens on a channel of its own name, which ends with its connection, and renews a key, which
runs out when the machine lost its power.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from orchestrator.core.transition import AttemptName
from orchestrator.exceptions import UnavailableError
from orchestrator.ids import ProcessName
from orchestrator.limits import PRESENCE_RENEW_MS
from orchestrator.ports.clock import Clock
from orchestrator.ports.presence import PresenceStore


class Presence:
    """Keeps one process known as alive."""

    def __init__(
        self,
        store: PresenceStore,
        clock: Clock,
        *,
        process: ProcessName,
        on_cancel: Callable[[AttemptName], None],
    ) -> None:
        """`on_cancel` is told of attempts of this process that shall stop."""
        self._store = store
        self._clock = clock
        self._process = process
        self._on_cancel = on_cancel
        self._stopping = asyncio.Event()

    async def begin(self) -> None:
        """Be known as alive from now on.

        Raises:
            UnavailableError: the store does not answer.
        """
        await self._store.listen(self._process, self._on_cancel)
        await self._store.announce(self._process)

    async def run(self) -> None:
        """Renew the sign of life until `stop`; then withdraw it."""
        while not self._stopping.is_set():
            await self._clock.wait(self._stopping, timeout_ms=PRESENCE_RENEW_MS)
            try:
                if self._stopping.is_set():
                    await self._store.withdraw(self._process)
                else:
                    await self._store.announce(self._process)
            except UnavailableError:
                pass  # It runs out by itself, or is renewed in the next round.

    def stop(self) -> None:
        """End `run`."""
        self._stopping.set()
