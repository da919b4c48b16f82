"""What stands between workflow code and the worker that runs it.

Three nets, since there is no importing sandbox: the check of the code when it is registered
(`guards_lint`), the audit of what it calls (`guards_audit`) and the watchdog of how long it takes
(`watchdog`). Here the last two are joined to the one guard through which all user code is entered.
What code of third parties hides from all three is found by replay.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from orchestrator.limits import ACTIVATION_BUDGET_MS
from orchestrator.worker import guards_audit
from orchestrator.worker.watchdog import Watchdog

_T = TypeVar("_T")


class ActivationGuard:
    """Calls workflow code, refuses what touches the world, ends what takes too long. One serves any
    number of workers and threads."""

    def __init__(self, budget_ms: int = ACTIVATION_BUDGET_MS, *, debug: bool = False) -> None:
        """Install the audit hook in this process, for good.

        Args:
            budget_ms: How long a call may take.
            debug: Only call, so that a debugger can stop and look inside of workflow code.
        """
        self._debug = debug
        self._watchdog = Watchdog(budget_ms, debug=debug)
        if not debug:
            guards_audit.install()

    def __call__(self, act: Callable[[], _T], /) -> _T:
        """Return what `act` returns, raise what it raises; on this thread.

        Raises:
            WorkflowBlockedError: it was over its budget and has been ended.
        """
        if self._debug or guards_audit.is_armed():
            return act()
        try:
            return self._watchdog.guarded(partial(guards_audit.run_armed, act))
        finally:
            # An interrupt can come just before `run_armed` does so.
            guards_audit.disarm()

    def close(self) -> None:
        """Stop the watchdog's thread; on the main thread also give its signal back."""
        self._watchdog.close()
