"""Store calls with an unknown outcome are repeated until it is known.

Every mutating call may be repeated with the same arguments: the store gives the first answer again.
While the outcome is unknown nothing is acknowledged and nothing is told to anybody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from orchestrator.exceptions import UnavailableError
from orchestrator.limits import COMMIT_REPEATS_MAX, IDLE_POLL_MS
from orchestrator.ports.clock import Clock

_T = TypeVar("_T")


async def until_known(call: Callable[[], Awaitable[_T]], clock: Clock) -> _T:
    """The definite answer of `call`, which is repeated once a second while there is none.

    Raises:
        UnavailableError: there was none `COMMIT_REPEATS_MAX` times; whoever asked gives its
        delivery back, and the truth is found by the next one.
    """
    for repeat in range(COMMIT_REPEATS_MAX):
        try:
            return await call()
        except UnavailableError:
            if repeat + 1 == COMMIT_REPEATS_MAX:
                raise
            await clock.wait(asyncio.Event(), timeout_ms=IDLE_POLL_MS)
    raise AssertionError("unreachable: the loop returns or raises")
