"""The ack of a delivery waits for the confirms of everything its work published."""

from __future__ import annotations

from orchestrator.ports.broker import Delivery


class Confirmations:
    """Counts publishes under way for one delivery; settles it when they are done and so is the
    work.

    All confirmed: ack. One is not: the delivery is given back, and whoever gets it publishes again.
    """

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._under_way = 0
        self._failed = False
        self._finished = False

    def expect(self) -> None:
        """One more publish is under way; `told` will say how it ended."""
        self._under_way += 1

    def told(self, confirmed: bool) -> None:
        """A publish ended."""
        self._under_way -= 1
        self._failed = self._failed or not confirmed
        self._settle()

    def finish(self) -> None:
        """The work is done; nothing more will be expected."""
        self._finished = True
        self._settle()

    def _settle(self) -> None:
        if not self._finished or self._under_way:
            return
        if self._failed:
            self._delivery.give_back()
        else:
            self._delivery.ack()
