"""Counts of what a process did: named integers that only grow.

One instance belongs to whoever makes it and is passed on; there is no registry of the process.
"""

from __future__ import annotations

from threading import Lock


class Counters:
    """Named counts; safe to use from several threads."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._lock = Lock()

    def add(self, name: str, count: int = 1) -> None:
        """Add `count` to `name`, which begins at 0.

        Raises:
            ValueError: `count` is negative.
        """
        if count < 0:
            raise ValueError(f"a counter only grows: expected a count ≥ 0, found {count}")
        with self._lock:
            self._counts[name] = self._counts.get(name, 0) + count

    def value(self, name: str) -> int:
        """The count of `name`; 0 when nothing was added."""
        with self._lock:
            return self._counts.get(name, 0)

    def snapshot(self) -> dict[str, int]:
        """All counts at one moment, by name; the caller's own dict."""
        with self._lock:
            return dict(sorted(self._counts.items()))
