"""A trip of several bookings: when one fails, those made before it are undone, last one first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from orchestrator import activity, workflow
from orchestrator.common import RetryPolicy
from orchestrator.exceptions import ActivityError, ApplicationError

_SOON = timedelta(seconds=10)


@dataclass
class Trip:
    """What to book. `sold_out` names what cannot be had."""

    traveller: str
    sold_out: str = ""


@dataclass
class Booking:
    """One part of a trip."""

    what: str
    trip: Trip


@activity.defn
async def book(booking: Booking) -> str:
    """Raises ApplicationError, which is not tried again: it is sold out."""
    if booking.what == booking.trip.sold_out:
        raise ApplicationError(f"no {booking.what} left", type="SoldOut", non_retryable=True)
    return f"{booking.what} for {booking.trip.traveller}"


@activity.defn
async def undo(booking: Booking) -> None:
    """Cancel a booking, whether it was made or not: the worker may have died before it knew."""
    activity.logger.info("undone", extra={"what": booking.what})


@workflow.defn
class TripSaga:
    """Books all or nothing."""

    def __init__(self) -> None:
        self._undone: list[str] = []

    @workflow.run
    async def run(self, trip: Trip) -> list[str]:
        """The bookings; or nothing was booked, and the error says why."""
        compensations: list[Booking] = []
        try:
            return [await self._book(Booking(what, trip), compensations) for what in PARTS]
        except ActivityError:
            for booking in reversed(compensations):
                await workflow.execute_activity(
                    undo,
                    booking,
                    start_to_close_timeout=_SOON,
                    retry_policy=RetryPolicy(maximum_attempts=0),
                )
                self._undone.append(booking.what)
            raise

    @workflow.query
    def undone(self) -> list[str]:
        """What had to be undone, in its order."""
        return self._undone

    async def _book(self, booking: Booking, compensations: list[Booking]) -> str:
        compensations.append(booking)  # Before it is tried: its answer may be lost.
        return await workflow.execute_activity(book, booking, start_to_close_timeout=_SOON)


PARTS = ("flight", "hotel", "car")
WORKFLOWS: list[type] = [TripSaga]
ACTIVITIES: list[Callable[..., object]] = [book, undo]
