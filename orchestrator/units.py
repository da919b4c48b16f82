"""Time between the units that people write and the integers that travel.

Users write `timedelta`; the wire, Redis and Lua hold whole milliseconds, always in a name that ends
in `_ms`. Points in time are milliseconds since the epoch, UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from orchestrator.limits import DURATION_MS_MAX

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def to_ms(duration: timedelta) -> int:
    """Whole milliseconds of `duration`, rounded to the nearest (half to even).

    Raises:
        TypeError: it is no timedelta. A bare number is refused: nobody can see its unit.
    """
    if not isinstance(duration, timedelta):
        raise TypeError(
            f"expected a timedelta, e.g. timedelta(seconds=5), found {duration!r} "
            f"({type(duration).__name__})"
        )
    return round(duration / _MILLISECOND)


def to_ms_or_none(duration: timedelta | None) -> int | None:
    """As `to_ms`; None stays None."""
    return None if duration is None else to_ms(duration)


def to_timedelta(duration_ms: int) -> timedelta:
    """The duration of `duration_ms` milliseconds."""
    return timedelta(milliseconds=duration_ms)


def to_timedelta_or_none(duration_ms: int | None) -> timedelta | None:
    """As `to_timedelta`; None stays None."""
    return None if duration_ms is None else timedelta(milliseconds=duration_ms)


def to_datetime(epoch_ms: int) -> datetime:
    """The aware UTC time of `epoch_ms` milliseconds since the epoch."""
    return _EPOCH + timedelta(milliseconds=epoch_ms)


def to_datetime_or_none(epoch_ms: int | None) -> datetime | None:
    """As `to_datetime`; None stays None."""
    return None if epoch_ms is None else to_datetime(epoch_ms)


def to_epoch_ms(moment: datetime) -> int:
    """Milliseconds since the epoch of an aware time; a naive one is taken as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round((aware - _EPOCH) / _MILLISECOND)


def format_time(epoch_ms: int) -> str:
    """ISO 8601 in UTC with milliseconds, as stored beside each event:
    `2026-11-24T08:15:30.250Z`."""
    return to_datetime(epoch_ms).strftime("%Y-%m-%dT%H:%M:%S") + f".{epoch_ms % 1000:03d}Z"


def parse_time(text: str) -> int:
    """The inverse of `format_time`.

    Raises:
        ValueError: `text` is not an ISO 8601 time.
    """
    return to_epoch_ms(datetime.fromisoformat(text))


def checked_ms(name: str, timeout: timedelta | None) -> int | None:
    """A time-out in milliseconds; None stays None.

    Raises:
        ValueError: it is not positive, or over `limits.DURATION_MS_MAX`; `name` is in the text.
    """
    found_ms = to_ms_or_none(timeout)
    if found_ms is not None and found_ms <= 0:
        raise ValueError(f"{name} must be positive, found {timeout}")
    if found_ms is not None and found_ms > DURATION_MS_MAX:
        raise ValueError(f"{name} must be at most {to_timedelta(DURATION_MS_MAX)}, found {timeout}")
    return found_ms
