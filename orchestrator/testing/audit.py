"""Do the rows of a ledger agree with what the engine promises of attempts?

Pure: rows, the times at which results were recorded, and the interruptions that whoever ran the
processes has noted go in; findings come out. Three promises:

    no attempt begins after its activity's result is recorded
    no two attempts of an activity overlap, unless the first was frozen or cut off
    an attempt is repeated only when one before it was interrupted; a retry of a failure is none

Processes are to be stopped before the ledger is read: an attempt that is still running looks like
one that was lost.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.testing.ledger import ActivityName, Begun, Ended, Row


@dataclass(frozen=True, kw_only=True)
class Interruption:
    """Something done to a process. `to_us` None: it never came back."""

    pid: int
    kind: Literal["killed", "frozen"]
    from_us: int
    to_us: int | None = None

    def touches(self, from_us: int, to_us: int | None) -> bool:
        """Whether it and the given span of time have a moment in common."""
        begins_before_end = to_us is None or self.from_us <= to_us
        return begins_before_end and (self.to_us is None or from_us <= self.to_us)


@dataclass(frozen=True)
class Check:
    """One promise: how it was measured, and each violation in words."""

    promise: str
    measured: str
    violations: tuple[str, ...] = ()

    @property
    def kept(self) -> bool:
        """Whether there is no violation."""
        return not self.violations


@dataclass(frozen=True)
class Attempt:
    """A begin and its end, if it has one."""

    begun: Begun
    ended: Ended | None

    @property
    def end_us(self) -> int | None:
        """When user code ended, if it is known to have."""
        return None if self.ended is None else self.ended.time_us

    def __str__(self) -> str:
        begun = self.begun
        where = f"attempt {begun.attempt} in process {begun.pid}"
        return f"{begun.activity_type} of {begun.activity}, {where}"


def attempts_of(rows: Sequence[Row]) -> dict[ActivityName, list[Attempt]]:
    """The attempts of each activity in the order of their begins. An end belongs to the last open
    begin of its process and attempt number."""
    opened: dict[ActivityName, list[Begun]] = defaultdict(list)
    ends: dict[ActivityName, dict[int, Ended]] = defaultdict(dict)
    for row in rows:
        if isinstance(row, Begun):
            opened[row.activity].append(row)
        elif isinstance(row, Ended):
            mine = [
                index
                for index, begun in enumerate(opened[row.activity])
                if (begun.pid, begun.attempt) == (row.pid, row.attempt)
                and index not in ends[row.activity]
            ]
            if mine:
                ends[row.activity][mine[-1]] = row
    return {
        name: sorted(
            (Attempt(begun, ends[name].get(index)) for index, begun in enumerate(begins)),
            key=lambda attempt: attempt.begun.time_us,
        )
        for name, begins in opened.items()
    }


def audit_attempts(
    rows: Sequence[Row],
    *,
    recorded_us: Mapping[ActivityName, int],
    interruptions: Sequence[Interruption],
) -> tuple[Check, ...]:
    """Check the three promises. `recorded_us` is when each activity's result became known."""
    by_pid: dict[int, list[Interruption]] = defaultdict(list)
    for interruption in interruptions:
        by_pid[interruption.pid].append(interruption)
    attempts = attempts_of(rows)
    return (
        _none_begins_late(attempts, recorded_us, by_pid),
        _none_overlap(attempts, by_pid),
        _none_repeats_without_reason(attempts, by_pid),
    )


_ByPid = Mapping[int, Sequence[Interruption]]
_Attempts = Mapping[ActivityName, Sequence[Attempt]]


def _none_begins_late(
    attempts: _Attempts, recorded_us: Mapping[ActivityName, int], by_pid: _ByPid
) -> Check:
    violations: list[str] = []
    for name, all_of_it in attempts.items():
        known_us = recorded_us.get(name)
        for attempt in all_of_it:
            begun = attempt.begun
            if known_us is None or begun.time_us <= known_us:
                continue
            # A process that was frozen between its begin and its user code comes back to the past.
            frozen = any(
                one.kind == "frozen" and one.touches(known_us, begun.time_us)
                for one in by_pid.get(begun.pid, ())
            )
            if not frozen:
                late_ms = (begun.time_us - known_us) / 1000
                violations.append(f"{attempt}: began {late_ms:.1f} ms after its result was known")
    return Check(
        "no attempt begins after its activity's result is recorded",
        f"{sum(map(len, attempts.values()))} attempts, {len(recorded_us)} recorded results",
        tuple(violations),
    )


def _none_overlap(attempts: _Attempts, by_pid: _ByPid) -> Check:
    violations: list[str] = []
    excused = 0
    for all_of_it in attempts.values():
        for index, first in enumerate(all_of_it):
            end_us = _end_us(first, by_pid)
            if end_us is None:
                violations.append(f"{first}: never ended, and nothing was done to its process")
            for second in all_of_it[index + 1 :]:
                if end_us is not None and second.begun.time_us >= end_us:
                    continue
                if _interrupted(first, second.begun.time_us, by_pid) or _came_late(
                    second, first.begun.time_us, by_pid
                ):
                    excused += 1
                    continue
                violations.append(f"{first} was running when {second} began")
    return Check(
        "no two attempts overlap, unless the first was frozen or cut off",
        f"{excused} overlaps with frozen processes",
        tuple(violations),
    )


def _none_repeats_without_reason(attempts: _Attempts, by_pid: _ByPid) -> Check:
    violations: list[str] = []
    repeated = interrupted = retries = 0
    for by_time in attempts.values():
        # What a frozen process begins late is still the attempt that the others repeat.
        all_of_it = sorted(by_time, key=lambda one: (one.begun.attempt, one.begun.time_us))
        interrupted += sum(_was_interrupted(attempt, by_pid) for attempt in all_of_it)
        repeats = 0
        for index, attempt in enumerate(all_of_it[1:], start=1):
            before = all_of_it[index - 1]
            if before.ended is not None and before.ended.outcome == "failed":
                retries += 1
                continue
            repeats += 1
            at_us = attempt.begun.time_us
            # Each interruption excuses one repeat.
            if repeats > sum(_interrupted(one, at_us, by_pid) for one in all_of_it[:index]):
                violations.append(f"{attempt}: began although {before} was not interrupted")
        repeated += repeats
    return Check(
        "repeated attempts are no more than were interrupted",
        f"{repeated} repeated, {interrupted} interrupted, {retries} retries of failures",
        tuple(violations),
    )


def _end_us(attempt: Attempt, by_pid: _ByPid) -> int | None:
    """When it ended: by its row, or by the kill of its process."""
    if attempt.end_us is not None:
        return attempt.end_us
    kills = [
        one.from_us
        for one in by_pid.get(attempt.begun.pid, ())
        if one.kind == "killed" and one.touches(attempt.begun.time_us, None)
    ]
    return max(min(kills), attempt.begun.time_us) if kills else None


def _was_interrupted(attempt: Attempt, by_pid: _ByPid) -> bool:
    """While its user code ran, as far as that is known."""
    if attempt.ended is not None and attempt.ended.outcome == "cancelled":
        return True
    return any(
        one.touches(attempt.begun.time_us, attempt.end_us)
        for one in by_pid.get(attempt.begun.pid, ())
    )


def _came_late(attempt: Attempt, us: int, by_pid: _ByPid) -> bool:
    """Whether it began after `us` because its process was frozen then: one that is frozen between
    the record of its begin and its user code comes back to the past."""
    begun = attempt.begun
    return begun.time_us > us and any(
        one.kind == "frozen" and one.touches(us, us) for one in by_pid.get(begun.pid, ())
    )


def _interrupted(attempt: Attempt, before_us: int, by_pid: _ByPid) -> bool:
    """Before `before_us`, while it ran or after: a process that is killed between the end of user
    code and the record of its result has lost the result."""
    if _came_late(attempt, before_us, by_pid):
        return True
    ended = attempt.ended
    if ended is not None and ended.outcome == "cancelled" and ended.time_us <= before_us:
        return True
    return any(
        one.touches(attempt.begun.time_us, before_us) for one in by_pid.get(attempt.begun.pid, ())
    )
