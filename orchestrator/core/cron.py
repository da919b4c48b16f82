"""Cron schedules → the next time.

Five fields (minute, hour, day of month, month, day of week), or `@yearly`, `@monthly`, `@weekly`,
`@daily`, `@hourly`, or `@every 90m`; UTC, unless `CRON_TZ=Europe/Rome ` stands before it. Where
both days are restricted, either is enough. A local time that the clocks leave out is passed over;
one that they show twice counts twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from orchestrator.exceptions import OrchestratorError
from orchestrator.limits import CRON_DAYS_MAX, CRON_INTERVAL_MIN_MS
from orchestrator.units import to_datetime, to_epoch_ms, to_ms

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_SHORT = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EVERY = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_PART = re.compile(r"(\*|\?|\w+(?:-\w+)?)(?:/(\d+))?")


class CronScheduleError(OrchestratorError, ValueError):
    """A text is not a cron schedule."""

    def __init__(self, schedule: str, problem: str) -> None:
        super().__init__(schedule, problem)
        self.schedule = schedule
        self.problem = problem

    def __str__(self) -> str:
        return f"cron schedule {self.schedule!r}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Cron:
    """A schedule that was read: an interval, or the minutes, hours and days that fit."""

    zone: tzinfo = UTC
    every_ms: int = 0
    minutes: tuple[int, ...] = ()
    hours: tuple[int, ...] = ()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    """0 is Sunday."""
    either_day: bool = False

    def fits(self, day: date) -> bool:
        """Whether there is a time on this day."""
        if day.month not in self.months:
            return False
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return of_month or of_week if self.either_day else of_month and of_week

    def times(self, day: date) -> Iterator[datetime]:
        """The times of one local day, in UTC."""
        for hour in self.hours:
            for minute in self.minutes:
                local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=self.zone)
                for fold in (0, 1):
                    moment = local.replace(fold=fold).astimezone(UTC)
                    back = moment.astimezone(self.zone)
                    exists = (back.hour, back.minute, back.fold) == (hour, minute, fold)
                    if exists and back.date() == day:
                        yield moment


def read_cron(schedule: str) -> Cron:
    """Read a schedule.

    Raises:
        CronScheduleError: it is none, names an unknown time zone, or has no time within five years.
    """
    text, zone = schedule.strip(), cast("tzinfo", UTC)
    if text.startswith(("CRON_TZ=", "TZ=")):
        name, _, text = text.partition("=")[2].partition(" ")
        zone, text = _zone(schedule, name), text.strip()
    if text.startswith("@every "):
        return Cron(every_ms=_interval_ms(schedule, text.removeprefix("@every ").strip()))
    fields = _SHORT.get(text, text).split()
    if len(fields) != 5:
        raise CronScheduleError(
            schedule, f"expected 5 fields, @every or one of {', '.join(_SHORT)}, found {text!r}"
        )
    minutes, hours, days, months, weekdays = fields
    found = Cron(
        zone=zone,
        minutes=tuple(sorted(_values(schedule, minutes, 0, 59))),
        hours=tuple(sorted(_values(schedule, hours, 0, 23))),
        days=frozenset(_values(schedule, days, 1, 31)),
        months=frozenset(_values(schedule, months, 1, 12, _named(_MONTHS, 1))),
        weekdays=frozenset(one % 7 for one in _values(schedule, weekdays, 0, 7, _named(_DAYS, 0))),
        either_day=not (_is_any(days) or _is_any(weekdays)),
    )
    if _next_of(found, _LEAP_YEAR) is None:
        raise CronScheduleError(schedule, "it has no time, e.g. 30 February")
    return found


def check_cron(schedule: str) -> str:
    """Return `schedule` when it is one, or empty; raises as `read_cron` does."""
    if schedule:
        read_cron(schedule)
    return schedule


def next_cron_ms(schedule: str, *, started_ms: int, now_ms: int) -> int | None:
    """The first time of the schedule after `now_ms`, for a run that began at `started_ms`, from
    which intervals count. None: there is none within five years.

    Raises:
        CronScheduleError: the text is not a schedule.
    """
    cron = read_cron(schedule)
    if cron.every_ms:
        gone = max(0, now_ms - started_ms) // cron.every_ms
        return started_ms + (gone + 1) * cron.every_ms
    found = _next_of(cron, to_datetime(now_ms))
    return None if found is None else to_epoch_ms(found)


_LEAP_YEAR = datetime(2024, 1, 1, tzinfo=UTC)


def _next_of(cron: Cron, after: datetime) -> datetime | None:
    # A day earlier, since the local day may have begun before the day in UTC.
    day = after.astimezone(cron.zone).date() - timedelta(days=1)
    for _ in range(CRON_DAYS_MAX):
        if cron.fits(day):
            later = [moment for moment in cron.times(day) if moment > after]
            if later:
                return min(later)
        day += timedelta(days=1)
    return None


def _zone(schedule: str, name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise CronScheduleError(schedule, f"time zone {name!r} is not known here") from error


def _interval_ms(schedule: str, text: str) -> int:
    found = _EVERY.fullmatch(text)
    hours, minutes, seconds = (int(part or 0) for part in (found.groups() if found else (0, 0, 0)))
    try:
        every_ms = to_ms(timedelta(hours=hours, minutes=minutes, seconds=seconds))
    except OverflowError:
        every_ms = 0
    if every_ms < CRON_INTERVAL_MIN_MS:
        raise CronScheduleError(schedule, f"expected e.g. @every 1h30m, found {text!r}")
    return every_ms


def _named(names: tuple[str, ...], first: int) -> Mapping[str, int]:
    return {name: first + place for place, name in enumerate(names)}


def _is_any(field: str) -> bool:
    return field.startswith(("*", "?"))


def _values(
    schedule: str, field: str, least: int, most: int, names: Mapping[str, int] | None = None
) -> set[int]:
    """The numbers that a field names: `*`, `3`, `1-5`, `*/15`, `mon-fri`, and lists of these."""
    found: set[int] = set()
    for part in field.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise CronScheduleError(schedule, f"{part!r} is no number, range or step")
        span, step = match.groups()
        low, _, high = span.partition("-")
        if span in ("*", "?"):
            first, last = least, most
        else:
            first = _number(schedule, low, names)
            last = _number(schedule, high, names) if high else (most if step else first)
        if not least <= first <= last <= most or step == "0":
            raise CronScheduleError(schedule, f"{part!r} is not within {least} to {most}")
        found.update(range(first, last + 1, int(step or 1)))
    return found


def _number(schedule: str, text: str, names: Mapping[str, int] | None) -> int:
    value = (names or {}).get(text.lower())
    if value is None and not (text.isascii() and text.isdecimal()):
        raise CronScheduleError(schedule, f"{text!r} is no number")
    return int(text) if value is None else value
