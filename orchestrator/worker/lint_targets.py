"""What workflow code must not name or call, and what to use in its place.

Everything is known by identity, never by its text: `from time import time as t` is the same object,
and a function of yours that happens to be called `time` is not. Three kinds: objects whose mere
mention is refused (a clock may be passed on as well as called), objects that are refused when
called, and methods refused by class and name. Read by `lint_code`.
"""

from __future__ import annotations

import asyncio
import builtins
import concurrent.futures
import datetime
import os
import pathlib
import random
import secrets
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import (
    BuiltinMethodType,
    ClassMethodDescriptorType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
)
from typing import TypeAlias

from orchestrator.worker.guards_audit import (
    FILES,
    INPUT,
    NATIVE,
    NETWORK,
    PROCESSES,
    SLEEPING,
    THREADS,
)

_Code: TypeAlias = (
    type
    | FunctionType
    | BuiltinMethodType
    | MethodType
    | MethodDescriptorType
    | ClassMethodDescriptorType
)
_CODE = (
    type,
    FunctionType,
    BuiltinMethodType,
    MethodType,
    MethodDescriptorType,
    ClassMethodDescriptorType,
)

CLOCK = "use workflow.now() or workflow.time(), which are the same on replay"
RANDOM = "use workflow.random(), which is seeded by the run"
UUID = "use workflow.uuid4(), or workflow.random() for other kinds"
SURROUNDINGS = (
    "it differs between workers and deploys: read it in an activity, or pass it as an argument"
)
SETS = "the order of a set differs between processes: use sorted(...), a list or a dict"

_CLOCKS = (
    "time",
    "time_ns",
    "monotonic",
    "monotonic_ns",
    "perf_counter",
    "perf_counter_ns",
    "process_time",
    "process_time_ns",
    "thread_time",
    "thread_time_ns",
    "clock_gettime",
    "clock_gettime_ns",
)
_SURROUNDINGS = (
    "environ",
    "environb",
    "getenv",
    "getenvb",
    "getpid",
    "getppid",
    "getcwd",
    "getcwdb",
    "getlogin",
    "getloadavg",
    "cpu_count",
    "process_cpu_count",
    "sched_getaffinity",
    "uname",
    "times",
)
_ASYNCIO: Mapping[str, str] = {
    "to_thread": THREADS,
    "run_coroutine_threadsafe": THREADS,
    "run": "await the coroutine: the workflow's own loop runs it",
    "Runner": "await the coroutine: the workflow's own loop runs it",
    "new_event_loop": "use the loop that runs: the workflow's own",
    "create_subprocess_exec": PROCESSES,
    "create_subprocess_shell": PROCESSES,
    "open_connection": NETWORK,
    "open_unix_connection": NETWORK,
    "start_server": NETWORK,
    "start_unix_server": NETWORK,
}
_FREE_OF_EFFECT_IN_OS = frozenset(
    {"fspath", "fsencode", "fsdecode", "strerror", "PathLike", "stat_result", "terminal_size"}
)
_FILES_OF_OS_PATH = (
    "exists",
    "lexists",
    "isfile",
    "isdir",
    "islink",
    "ismount",
    "getsize",
    "getmtime",
    "getatime",
    "getctime",
    "realpath",
    "abspath",
    "expanduser",
    "expandvars",
    "samefile",
)
_METHODS_OF_PURE_PATH = frozenset(dir(pathlib.PurePath))
MODULES: Mapping[str, str] = {
    **dict.fromkeys(("shutil", "tempfile", "glob", "fileinput", "mmap", "fcntl", "dbm"), FILES),
    **dict.fromkeys(("sqlite3", "shelve", "posix", "nt"), FILES),
    **dict.fromkeys(("socket", "ssl", "select", "selectors", "http", "urllib", "ftplib"), NETWORK),
    **dict.fromkeys(("smtplib", "imaplib", "poplib", "socketserver", "webbrowser"), NETWORK),
    **dict.fromkeys(("subprocess", "multiprocessing", "signal", "pty"), PROCESSES),
    **dict.fromkeys(("threading", "thread", "concurrent", "queue", "sched"), THREADS),
    **dict.fromkeys(("ctypes",), NATIVE),
    **dict.fromkeys(("platform", "getpass"), SURROUNDINGS),
}
"""Standard modules whose functions and classes are refused when called, by their first name."""
_FREE_OF_EFFECT = ("urllib.parse", "http.cookies")
_WITHOUT_ARGUMENTS: tuple[tuple[object, int, str, str], ...] = (
    (time.gmtime, 0, "time.gmtime", CLOCK),
    (time.localtime, 0, "time.localtime", CLOCK),
    (time.ctime, 0, "time.ctime", CLOCK),
    (time.asctime, 0, "time.asctime", CLOCK),
    (time.strftime, 1, "time.strftime", CLOCK),
    (random.Random, 0, "random.Random()", RANDOM),
)
"""Refused when called with so many arguments at most: then they ask a clock or the system."""


@dataclass(frozen=True, slots=True)
class Target:
    """Something refused, and the remedy."""

    what: str
    remedy: str


class Targets:
    """The table. Made for each check, because modules are loaded and functions wrapped late."""

    def __init__(self) -> None:
        self._named: dict[int, Target] = {}
        self._kept: list[object] = []  # An id means its object only as long as that lives.
        self._add(time, _CLOCKS, CLOCK)
        self._add(time, ("sleep",), SLEEPING)
        self._add(random, (n for n in random.__all__ if n != "Random"), RANDOM)
        self._add(secrets, (n for n in secrets.__all__ if n != "compare_digest"), RANDOM)
        self._add(os, ("urandom", "getrandom"), RANDOM)
        self._add(os, _SURROUNDINGS, SURROUNDINGS)
        self._add(uuid, ("uuid1", "uuid4", "uuid6", "uuid7", "uuid8", "getnode"), UUID)
        self._add(builtins, ("open",), FILES)
        self._add(builtins, ("input",), INPUT)
        self._add(os.path, _FILES_OF_OS_PATH, FILES, shown="os.path")
        for name, remedy in _ASYNCIO.items():
            self._add(asyncio, (name,), remedy)
        for kind in (
            concurrent.futures.ThreadPoolExecutor,
            concurrent.futures.ProcessPoolExecutor,
        ):
            self._add_one(kind, f"concurrent.futures.{kind.__name__}", THREADS)

    def named(self, value: object) -> Target | None:
        """Why `value` must not even be mentioned."""
        found = self._named.get(id(value))
        if found is not None:
            return found
        if not isinstance(value, BuiltinMethodType | MethodType):
            return None
        owner = value.__self__
        return self.attribute(owner, value.__name__) if isinstance(owner, type) else None

    def attribute(self, owner: type, name: str) -> Target | None:
        """Why the method or class attribute `name` of `owner` must not be mentioned."""
        if issubclass(owner, datetime.date) and name in ("now", "utcnow", "today"):
            remedy = CLOCK if issubclass(owner, datetime.datetime) else "use workflow.now().date()"
            return Target(f"{owner.__name__}.{name}", remedy)
        of_path = issubclass(owner, pathlib.Path) and hasattr(pathlib.Path, name)
        if of_path and name not in _METHODS_OF_PURE_PATH:
            return Target(f"Path.{name}", FILES)
        return None

    def called(self, value: object, *, arguments: int) -> Target | None:
        """Why `value` must not be called with so many arguments."""
        for refused, at_most, what, remedy in _WITHOUT_ARGUMENTS:
            if value is refused and arguments <= at_most:
                return Target(what, remedy)
        if not isinstance(value, _CODE) or _is_plain(value):
            return None
        owner = _owner_of(value)
        module = (value if owner is None else owner).__module__ or ""
        remedy = MODULES.get(module.partition(".")[0].lstrip("_"), "")
        if not remedy or module in _FREE_OF_EFFECT:
            return None
        name = value.__qualname__
        if module in ("os", "posix", "nt"):
            return None if name in _FREE_OF_EFFECT_IN_OS else Target(f"os.{name}", remedy)
        return Target(f"{module.lstrip('_')}.{name}", remedy)

    def _add(
        self, module: ModuleType, names: Iterable[str], remedy: str, *, shown: str = ""
    ) -> None:
        prefix = "" if module is builtins else f"{shown or module.__name__}."
        for name in names:
            value = getattr(module, name, None)
            if value is not None:
                self._add_one(value, f"{prefix}{name}", remedy)

    def _add_one(self, value: object, what: str, remedy: str) -> None:
        self._named[id(value)] = Target(what, remedy)
        self._kept.append(value)
        # A function that is wrapped, as the audit does, may have been imported by its old self.
        wrapped = getattr(value, "__wrapped__", None)
        if wrapped is not None:
            self._add_one(wrapped, what, remedy)


def _is_plain(value: object) -> bool:
    """Whether calling it makes a value and nothing else."""
    return isinstance(value, type) and issubclass(value, (BaseException, Enum, tuple))


def _owner_of(value: _Code) -> type | None:
    """The class of a method, bound or not."""
    owner: object = getattr(value, "__self__", None) or getattr(value, "__objclass__", None)
    if owner is None or isinstance(owner, ModuleType):
        return None
    return owner if isinstance(owner, type) else type(owner)
