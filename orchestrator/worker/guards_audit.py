"""The second net around workflow code: calls that touch the world raise while it runs.

Python tells an audit hook of every file opened, socket made and process started. Ours refuses them
on a thread that is inside of `run_armed`, and only there: one look at a flag of the thread is all
that anybody else pays. What older Pythons do not audit (`time.sleep`, threads) and what none does
(work for a thread that is there already) is wrapped by functions that look at the same flag.

A refused call raises `RestrictedWorkflowAccessError`: the workflow task fails, the run waits for
better code. Three kinds of calls pass, because they are not the workflow's own:

    imports        a module that workflow code imports late may open whatever it opens
    log handlers   they write where the application told them to, and the watchdog bounds them
    finalizers     of other objects, which the interpreter may run at any moment

and so does what reads Python's own data: source lines for a traceback, the time zone database.
`workflow.unsafe.sandbox_unrestricted()` lets everything pass. Clocks and random numbers cannot be
audited; the check at registration (`guards_lint`) and replay find those.
"""

from __future__ import annotations

import inspect
import sys
import threading
import time
import zoneinfo
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, wraps
from types import FrameType
from typing import Any, TypeVar

from orchestrator.replay.context import is_unrestricted
from orchestrator.replay.control import RestrictedWorkflowAccessError

_T = TypeVar("_T")
_Event = tuple[Any, ...]  # Any: arguments of any call


class _Thread(threading.local):
    """Whether workflow code runs on this thread. The hook it serves is of the whole process."""

    armed = False


_thread = _Thread()

FILES = "read and write files in an activity"
NETWORK = "talk to the network in an activity"
PROCESSES = "start and signal processes in an activity"
THREADS = "use asyncio tasks, which the workflow's own loop runs in a fixed order, or an activity"
NATIVE = "call native code in an activity"
SLEEPING = "await workflow.sleep() or asyncio.sleep(), which are durable timers"
INPUT = "ask for input in an activity, or wait for a signal"

_REMEDIES: Mapping[str, str] = {
    "open": FILES,
    "os": FILES,
    "shutil": FILES,
    "glob": FILES,
    "pathlib": FILES,
    "tempfile": FILES,
    "mmap": FILES,
    "fcntl": FILES,
    "msvcrt": FILES,
    "winreg": FILES,
    "sqlite3": FILES,
    "socket": NETWORK,
    "urllib": NETWORK,
    "http": NETWORK,
    "ftplib": NETWORK,
    "imaplib": NETWORK,
    "nntplib": NETWORK,
    "poplib": NETWORK,
    "smtplib": NETWORK,
    "telnetlib": NETWORK,
    "webbrowser": NETWORK,
    "syslog": NETWORK,
    "subprocess": PROCESSES,
    "pty": PROCESSES,
    "signal": PROCESSES,
    "resource": PROCESSES,
    "ctypes": NATIVE,
    "_thread": THREADS,
    "time": SLEEPING,
}
"""By the first word of the audit event."""
_REMEDIES_OF_EVENTS: Mapping[str, str] = {
    "builtins.input": INPUT,
    **dict.fromkeys(
        (
            "os.system",
            "os.exec",
            "os.fork",
            "os.forkpty",
            "os.kill",
            "os.killpg",
            "os.posix_spawn",
            "os.spawn",
            "os.startfile",
        ),
        PROCESSES,
    ),
    **dict.fromkeys(("os.putenv", "os.unsetenv"), "set the environment before the worker starts"),
}
_FOREIGN = frozenset(
    {
        "importlib._bootstrap",
        "importlib._bootstrap_external",
        "_frozen_importlib",
        "_frozen_importlib_external",
        "logging",
        "linecache",
        "weakref",
        "zoneinfo",
        "zoneinfo._common",
        "zoneinfo._tzpath",
        "zoneinfo._zoneinfo",
    }
)
"""Modules that act for the interpreter or the application, whoever has called them."""


def run_armed(act: Callable[[], _T]) -> _T:
    """Call `act`; what it calls is refused where it touches the world. Needs `install`."""
    _thread.armed = True
    try:
        return act()
    finally:
        _thread.armed = False


def is_armed() -> bool:
    """Whether this thread is inside of `run_armed`."""
    return _thread.armed


def disarm() -> None:
    """Let everything pass on this thread, whatever interrupted `run_armed`."""
    _thread.armed = False


@cache
def install() -> None:
    """Add the hook to the process, for good and once: Python has no way to take one out."""
    if sys.version_info < (3, 13):
        _wrap(time, "sleep", "time.sleep", SLEEPING)
    if sys.version_info < (3, 12):
        _wrap(threading.Thread, "start", "threading.Thread.start", THREADS)
    _wrap(ThreadPoolExecutor, "submit", "ThreadPoolExecutor.submit", THREADS)

    # Bound here, because module globals are gone before the hook is when the interpreter ends.
    def hook(event: str, arguments: _Event, thread: _Thread = _thread) -> None:
        if thread.armed:
            _judge(event, arguments)

    sys.addaudithook(hook)


def _wrap(owner: object, name: str, shown: str, remedy: str) -> None:
    original: Callable[..., Any] = getattr(owner, name)  # Any: whatever the original takes

    @wraps(original)
    def checked(*args: Any, **kwargs: Any) -> Any:  # Any: as the original
        if _thread.armed:
            _refuse(shown, remedy)
        return original(*args, **kwargs)

    setattr(owner, name, checked)


def _judge(event: str, arguments: _Event) -> None:
    remedy = _REMEDIES_OF_EVENTS.get(event) or _REMEDIES.get(event.partition(".")[0])
    if remedy is None:
        return
    if event == "open" and _is_time_zone(arguments[0]):
        return
    _refuse(_describe(event, arguments), remedy)


def _refuse(what: str, remedy: str) -> None:
    if is_unrestricted() or _is_foreign(inspect.currentframe()):
        return
    raise RestrictedWorkflowAccessError(what, remedy)


def _is_foreign(frame: FrameType | None) -> bool:
    """Whether, between the call and the activation, stands code that is not the workflow's."""
    while frame is not None and frame.f_code is not run_armed.__code__:
        if frame.f_globals.get("__name__") in _FOREIGN or frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


def _is_time_zone(path: object) -> bool:
    """The C half of zoneinfo opens its files without a frame of its own."""
    return isinstance(path, str) and path.startswith(tuple(f"{each}/" for each in zoneinfo.TZPATH))


def _describe(event: str, arguments: _Event) -> str:
    if event.startswith("_thread."):
        return "threading.Thread.start"
    if event == "open":
        return f"open({arguments[0]!r})"
    return event.removesuffix(".__new__")
