"""Cancelling code in a thread: an exception is raised in it, once, at its next bytecode.

A thread that blocks in a system call sees it when the call returns. The thread belongs to a pool
and does other work afterwards: an exception that comes too late is taken back, so that it cannot
hit somebody else.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

from orchestrator.exceptions import CancelledError

_T = TypeVar("_T")


class Interruption:
    """Raises `CancelledError` in the thread that is inside `run`, at most once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread_id: int | None = None
        self._asked = False
        self._raised = False
        self._shields = 0

    def ask(self) -> None:
        """Raise as soon as the code runs and is not shielded; from any thread."""
        with self._lock:
            self._asked = True
            self._raise_if_possible()

    def run(self, call: Callable[[], _T]) -> _T:
        """Call in this thread.

        Raises:
            CancelledError: the exception came before `call` had begun or after it had ended.
        """
        try:
            self._enter()
            return call()
        finally:
            self._leave()

    @contextmanager
    def shield(self) -> Generator[None, None, None]:
        """Inside, nothing is raised; what was asked meanwhile is raised at the end."""
        with self._lock:
            self._shields += 1
        try:
            yield
        finally:
            with self._lock:
                self._shields -= 1
                self._raise_if_possible()

    def _enter(self) -> None:
        with self._lock:
            self._thread_id = threading.get_ident()
            self._raise_if_possible()

    def _leave(self) -> None:
        with self._lock:
            thread_id, self._thread_id = self._thread_id, None
            if self._raised and thread_id is not None:
                _set_exception(thread_id, None)

    def _raise_if_possible(self) -> None:
        possible = self._thread_id is not None and not self._shields
        if self._asked and possible and not self._raised and self._thread_id is not None:
            self._raised = True
            _set_exception(self._thread_id, CancelledError)


def _set_exception(thread_id: int, kind: type[BaseException] | None) -> None:
    """Have the interpreter raise `kind` in a thread; None takes back what is not yet raised."""
    raised = None if kind is None else ctypes.py_object(kind)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), raised)
