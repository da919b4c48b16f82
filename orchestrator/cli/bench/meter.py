"""CPU time of processes on this machine, as Linux counts it for each of their threads.

A server elsewhere, or one of another user, is not metered: its column is empty, never guessed.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_PROC = Path("/proc")
_LISTENING = "0A"
"""The state of a listening socket in /proc/net/tcp."""


def cpu_us(pid: int) -> int:
    """Microseconds of CPU that the living threads of `pid` have used; 0 when it is gone."""
    total_ns = 0
    for schedstat in _PROC.glob(f"{pid}/task/*/schedstat"):
        try:
            total_ns += int(schedstat.read_text(encoding="ascii").split()[0])
        except (OSError, ValueError, IndexError):
            continue  # The thread ended between the two reads.
    return total_ns // 1000


def listener_of(url: str) -> tuple[int, ...]:
    """The processes of this machine that listen where `url` points; none when it is elsewhere."""
    parts = urlsplit(url)
    if not parts.hostname or parts.port is None or not _is_here(parts.hostname):
        return ()
    inodes = _listening_inodes(parts.port)
    found: list[int] = []
    for descriptor in _PROC.glob("[0-9]*/fd/*") if inodes else ():
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue  # Another user's process, or one that ended.
        if target.removeprefix("socket:[").removesuffix("]") in inodes:
            found.append(int(descriptor.parts[2]))
    return tuple(sorted(set(found)))


def children_of(pid: int) -> tuple[int, ...]:
    """All descendants of `pid`."""
    parents: dict[int, list[int]] = {}
    for stat in _PROC.glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # It ended.
        parents.setdefault(int(fields[1]), []).append(int(stat.parts[2]))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return tuple(found)


@dataclass(frozen=True)
class Reading:
    """What a stretch of work took: seconds of wall time, microseconds of CPU by name."""

    wall_s: float
    cpu_us: Mapping[str, int]

    def total_us(self) -> int:
        """CPU of all metered processes."""
        return sum(self.cpu_us.values())


class Meter:
    """Measures the processes behind some names over a `with` block; see `reading`."""

    def __init__(self, processes: Mapping[str, Sequence[int]]) -> None:
        self._processes = {name: tuple(pids) for name, pids in processes.items() if pids}
        self._before: dict[str, int] = {}
        self._started_s = 0.0
        self.reading = Reading(0.0, {})

    def __enter__(self) -> Self:
        self._before = self._sums()
        self._started_s = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        wall_s = time.perf_counter() - self._started_s
        after = self._sums()
        used = {name: max(0, after[name] - self._before[name]) for name in after}
        self.reading = Reading(wall_s, used)

    def _sums(self) -> dict[str, int]:
        return {name: sum(map(cpu_us, pids)) for name, pids in self._processes.items()}


def _is_here(host: str) -> bool:
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return all(str(address).startswith("127.") or address == "::1" for address in found)


def _listening_inodes(port: int) -> frozenset[str]:
    found: set[str] = set()
    for table in ("net/tcp", "net/tcp6"):
        try:
            lines = (_PROC / table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue  # No such table on this machine.
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(fields[9])
    return frozenset(found)
