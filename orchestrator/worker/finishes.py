"""The ends of attempts that this process told lately.

A fail-over of Redis may lose a finish that was answered; nobody would notice, since its worker
lives and is idle. So they are kept for a while and told again.
"""

from __future__ import annotations

from collections import deque

from orchestrator.core.transition import FinishAttempt
from orchestrator.limits import (
    FINISHES_KEPT_BYTES_MAX,
    FINISHES_KEPT_MAX,
    FINISHES_KEPT_MS,
)
from orchestrator.wire.inbox import ActivityCompleted


class KeptFinishes:
    """The newest finishes, bounded in time, number and bytes; the oldest go first."""

    def __init__(self) -> None:
        self._kept: deque[tuple[int, int, FinishAttempt]] = deque()
        self._bytes = 0

    def add(self, finish: FinishAttempt, *, now_ms: int) -> None:
        """Keep one that was answered just now."""
        size_bytes = _size_bytes(finish)
        self._kept.append((now_ms, size_bytes, finish))
        self._bytes += size_bytes
        self._drop(now_ms)

    def all(self, *, now_ms: int) -> list[FinishAttempt]:
        """Those of the last 30 s, oldest first."""
        self._drop(now_ms)
        return [finish for _, _, finish in self._kept]

    def _drop(self, now_ms: int) -> None:
        while self._kept:
            told_ms, size_bytes, _ = self._kept[0]
            too_many = len(self._kept) > FINISHES_KEPT_MAX or self._bytes > FINISHES_KEPT_BYTES_MAX
            if told_ms + FINISHES_KEPT_MS >= now_ms and not too_many:
                return
            self._kept.popleft()
            self._bytes -= size_bytes


def _size_bytes(finish: FinishAttempt) -> int:
    """What dominates the size: the result."""
    entry = finish.entry
    if isinstance(entry, ActivityCompleted) and entry.result is not None:
        return len(bytes(entry.result.data))
    return 0
