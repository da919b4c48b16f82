"""Cancelling code in a thread: an exception is raised in it, once, at its next bytecode.

A thread that blocks in a system call sees it when the call returns. The thread belongs to a pool
and does other work afterwards: an exception that comes too late is caught here, so that it cannot
hit somebody else. It is never taken back: in CPython 3.11 that would leave the interpreter on its
slow path for good.
"""

from __future__ import annotations

import ctypes
import threading
import time
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
        """Call in this thread. What `call` returned counts, though the exception comes after it.

        Raises:
            CancelledError: the exception came, and `call` let it through or had not begun.
        """
        returned: list[_T] = []
        try:
            try:
                self._enter()
                returned.append(call())
            finally:
                self._leave()
        except CancelledError:
            if not returned:
                raise
        return returned[0]

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
            self._thread_id = None
            is_raised = self._raised
        if is_raised:
            # One that is still on its way comes when this thread has the interpreter back.
            time.sleep(0)

    def _raise_if_possible(self) -> None:
        thread_id = self._thread_id
        if self._asked and not self._raised and not self._shields and thread_id is not None:
            self._raised = True
            _raise_in(thread_id, CancelledError)


def _raise_in(thread_id: int, kind: type[BaseException]) -> None:
    """Have the interpreter raise `kind` in a thread."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), ctypes.py_object(kind))
