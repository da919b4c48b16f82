"""A run that ends only when its handlers have, whether it succeeds, fails or is cancelled.

The asker of an update gets its answer in each case; a handler that the end overtakes cleans up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from orchestrator import activity, workflow
from orchestrator.exceptions import ApplicationError


@activity.defn
async def charge(amount: int) -> int:
    """A receipt."""
    return amount * 10


@activity.defn
async def give_back(amount: int) -> None:
    """Undo a charge, made or not."""
    activity.logger.info("given back", extra={"amount": amount})


@workflow.defn
class Account:
    """Open until `close`; with a reason, it fails."""

    def __init__(self) -> None:
        self._over = False
        self._reason = ""
        self._undone = 0

    @workflow.run
    async def run(self) -> int:
        """How many charges were undone."""
        try:
            await workflow.wait_condition(lambda: self._over)
            if self._reason:
                raise ApplicationError(self._reason)
        finally:
            self._over = True
            await workflow.wait_condition(workflow.all_handlers_finished)
        return self._undone

    @workflow.update
    async def pay(self, amount: int) -> int:
        """A receipt, unless the account is closed meanwhile."""
        charged = asyncio.create_task(self._charge(amount), name="charge")
        await workflow.wait_condition(lambda: charged.done() or self._over)
        if charged.done():
            return charged.result()
        charged.cancel()
        await workflow.wait([charged])
        await workflow.execute_activity(
            give_back, amount, start_to_close_timeout=timedelta(seconds=10)
        )
        self._undone += 1
        raise ApplicationError("the account was closed", type="Closed")

    @workflow.signal
    def close(self, reason: str = "") -> None:
        self._over, self._reason = True, reason

    async def _charge(self, amount: int) -> int:
        await workflow.sleep(1)  # A customer may think better of it.
        return await workflow.execute_activity(
            charge, amount, start_to_close_timeout=timedelta(seconds=10)
        )


WORKFLOWS: list[type] = [Account]
ACTIVITIES: list[Callable[..., object]] = [charge, give_back]
