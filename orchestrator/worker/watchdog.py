"""Ends workflow code that neither awaits nor returns.

`Watchdog.guarded(act)` runs `act` on the caller's thread. A thread of the watchdog looks at the
clock; when an act is over its budget it notes where the code is and makes it raise: on the main
thread by a signal, which also ends calls that block (`time.sleep`, a socket, a lock), on any other
by an asynchronous exception, which takes effect when the code comes back to Python. Both are
repeated until the act has ended, gently at first, so that clean-up can finish. A loop inside of C
code that looks at no signal cannot be ended; it is logged, and the process's health check fails
because its event loop stands still.

Whose an act is, is decided once, by taking a token that exists once: an act that took it at its end
is never touched; one that the watchdog took always ends in `WorkflowBlockedError`, even when it
returned a moment later.
"""

from __future__ import annotations

import _thread
import asyncio
import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread, get_ident, main_thread
from time import monotonic, sleep
from types import CodeType, FrameType
from typing import Any, TypeVar

from orchestrator.exceptions import OrchestratorError
from orchestrator.limits import (
    ACTIVATION_BUDGET_MS,
    INTERRUPT_REPEAT_MAX_MS,
    INTERRUPT_REPEAT_MS,
    INTERRUPTS_GENTLE_MAX,
    STACK_LINES_MAX,
    STACK_LOOKS_MAX,
)
from orchestrator.telemetry.log import get_logger

_T = TypeVar("_T")
_log = get_logger(__name__)
_SIGNAL: signal.Signals | None = getattr(signal, "SIGURG", None)
"""Ignored by default, used by hardly anybody, passed on by debuggers. Windows has none."""
_BOOKKEEPING = frozenset({"threading", "contextlib", "logging", "importlib._bootstrap"})
"""Modules whose own lines hold locks or swap state of the process: a bad place to raise."""
_FINALIZERS = frozenset({"weakref", "_weakrefset"})
"""What the interpreter calls at any moment, and whose exceptions it only prints."""
_INTERNAL = (f"{Path(__file__).parent.parent}{os.sep}", f"{Path(asyncio.__file__).parent}{os.sep}")
_set_async_exc = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_ulong, ctypes.py_object)(
    ("PyThreadState_SetAsyncExc", ctypes.pythonapi)
)


class WorkflowInterrupted(BaseException):
    """Raised inside of workflow code whose time is over. `guarded` never lets it out."""


class WorkflowBlockedError(OrchestratorError):
    """Workflow code ran over its budget; `stack` says where it was when its time was over."""

    def __init__(self, budget_ms: int, stack: str) -> None:
        super().__init__(budget_ms, stack)
        self.budget_ms = budget_ms
        self.stack = stack

    def __str__(self) -> str:
        return (
            f"workflow code neither awaited nor returned for {self.budget_ms:,} ms; move what "
            f"blocks or computes for long into an activity. It was at:\n{self.stack}"
        )


class _Act:
    """One guarded call. `token` yields True once, to whoever is first: its end or the watchdog."""

    __slots__ = (
        "acknowledged",
        "due",
        "ended",
        "interrupts",
        "place",
        "reached",
        "stack",
        "taken",
        "thread_id",
        "token",
        "won",
    )

    def __init__(self, thread_id: int, due: float) -> None:
        self.thread_id = thread_id
        self.due = due
        self.token = iter((True,))
        self.won = self.taken = self.ended = self.reached = False
        self.interrupts = 0
        self.place: tuple[CodeType, int] | None = None
        self.stack = ""
        self.acknowledged: SimpleQueue[None] | None = None


class Watchdog:
    """Guards the acts of any number of threads, one at a time each."""

    def __init__(self, budget_ms: int = ACTIVATION_BUDGET_MS, *, debug: bool = False) -> None:
        """`debug`: nothing is ended, so that a debugger may stop inside of workflow code."""
        self._budget_ms = budget_ms
        self._budget = budget_ms / 1000
        self._debug = debug
        self._acts: dict[int, _Act] = {}
        self._news: SimpleQueue[_Act | None] = SimpleQueue()
        self._resting = self._busy = self._closed = False
        self._prepared: set[int] = set()
        self._preparing = Lock()
        self._thread: Thread | None = None
        self._signal_thread: int | None = None
        self._previous: Any = None  # Any: a handler as the signal module keeps it

    def guarded(self, act: Callable[[], _T]) -> _T:
        """Return what `act` returns, raise what it raises. Inside of another guarded act of this
        thread, `act` is a part of that one.

        Raises:
            WorkflowBlockedError: it was over its budget and has been ended.
        """
        thread_id = get_ident()
        if self._debug or thread_id in self._acts:
            return act()
        if thread_id not in self._prepared:
            self._prepare(thread_id)
        trace, loop, hooks = sys.gettrace(), asyncio._get_running_loop(), sys.get_asyncgen_hooks()
        self._acts[thread_id] = watched = _Act(thread_id, monotonic() + self._budget)
        self._busy = True
        if self._resting:
            self._resting = False
            self._news.put(None)
        # Interrupts are made while the stack shows a frame of the act, so at most two can come
        # late, one that was pending and one that was being made. Each falls through to the next
        # handler; in the last there is none left.
        try:
            try:
                result = _perform(act, watched)
                if watched.won:
                    return result
                _settle(watched, self._news)
            except BaseException:  # a boundary: whatever user code raises is its own, unless taken
                if watched.won:
                    raise
                _settle(watched, self._news)
        except WorkflowInterrupted:
            _settle(watched, self._news)
        finally:
            self._acts.pop(thread_id, None)
        # The act may have been ended just before it put these back.
        if sys.gettrace() != trace:
            sys.settrace(trace)
        asyncio._set_running_loop(loop)
        sys.set_asyncgen_hooks(*hooks)
        raise WorkflowBlockedError(self._budget_ms, watched.stack)

    def close(self) -> None:
        """Stop the thread and put the signal's former handler back (on the main thread only). A
        later `guarded` starts both again."""
        with self._preparing:
            thread, self._thread = self._thread, None
            self._closed = True
            self._news.put(None)
            self._prepared.clear()
            if self._signal_thread == get_ident() and _SIGNAL is not None:
                if signal.getsignal(_SIGNAL) == self._on_signal:
                    signal.signal(_SIGNAL, self._previous or signal.SIG_DFL)
                self._signal_thread = None
        if thread is not None:
            thread.join()

    def _prepare(self, thread_id: int) -> None:
        with self._preparing:
            if self._thread is None:
                self._closed = False
                self._news = SimpleQueue()
                self._thread = Thread(target=self._watch, name="orchestrator-watchdog", daemon=True)
                self._thread.start()
            if thread_id == main_thread().ident and self._signal_thread is None and _SIGNAL:
                self._previous = signal.getsignal(_SIGNAL)
                signal.signal(_SIGNAL, self._on_signal)
                self._signal_thread = thread_id
            self._prepared.add(thread_id)

    # On the watchdog's thread -------------------------------------------------------------------

    def _watch(self) -> None:
        news = self._news
        while not self._closed:
            due = self._look()
            if due is None and self._busy:
                self._busy = (
                    False  # one more budget of waiting, so that a busy loop need not wake us
                )
                due = self._budget
            elif due is None:
                self._resting = True
                # An act that began just now did not see that it must wake us. One that has ended
                # waits for our word: that is in the news.
                if any(not act.ended for act in self._acts.copy().values()):
                    continue
            try:
                told = news.get(timeout=due)
            except Empty:
                continue
            if told is not None and told.acknowledged is not None:
                told.acknowledged.put(None)

    def _look(self) -> float | None:
        """Interrupt what is over its time. Returns seconds until the next look; None: no act."""
        now = monotonic()
        soonest: float | None = None
        for act in self._acts.copy().values():
            if act.ended:
                continue
            if act.due <= now and not self._interrupt(act):
                continue
            wait = max(act.due - now, 0.001)
            soonest = wait if soonest is None else min(soonest, wait)
        return soonest

    def _interrupt(self, act: _Act) -> bool:
        """Make the act raise, once more. False: it ended first."""
        if not act.taken:
            act.stack = _stack_of(act.thread_id)
            act.acknowledged = SimpleQueue()
            if not next(act.token, False):
                return False
            act.taken = True
        act.interrupts += 1
        count = act.interrupts
        gentle = count <= INTERRUPTS_GENTLE_MAX
        gap_ms = INTERRUPT_REPEAT_MS
        if gentle:
            gap_ms = min(INTERRUPT_REPEAT_MS << (count - 1), INTERRUPT_REPEAT_MAX_MS)
        act.due = monotonic() + gap_ms / 1000
        if count > 2 and count & (count - 1) == 0:
            self._report(act)
        by_signal = act.thread_id == self._signal_thread and (act.reached or gentle)
        if by_signal and _SIGNAL is not None:
            signal.pthread_kill(act.thread_id, _SIGNAL)
        elif _may_raise(act, _frame_of(act.thread_id), gentle=gentle):
            _set_async_exc(act.thread_id, WorkflowInterrupted)
        return True

    def _report(self, act: _Act) -> None:
        """Log on a thread of its own: the code may be blocked inside of a log handler, whose lock
        would stop the watchdog as well."""
        fields = {"budget_ms": self._budget_ms, "interrupts": act.interrupts, "stack": act.stack}
        Thread(
            target=lambda: _log.warning("workflow_code_still_runs", **fields),
            name="orchestrator-watchdog-log",
            daemon=True,
        ).start()

    # On the main thread -------------------------------------------------------------------------

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        act = None if self._signal_thread is None else self._acts.get(self._signal_thread)
        if act is None or not act.taken or act.ended:
            if callable(self._previous):
                self._previous(number, frame)
            return
        act.reached = True
        gentle = act.interrupts <= INTERRUPTS_GENTLE_MAX
        if not _may_raise(act, frame, gentle=gentle):
            return  # the next one will find a better place
        # Code that swallows the exception: its `except` clause shall raise again at its first
        # line, and so on outwards.
        if not gentle and not _trace_up(frame, self._trace):
            _signal_again(signal.Signals(number))
            return
        raise WorkflowInterrupted

    def _trace(self, frame: FrameType, event: str, _argument: object) -> Any:  # Any: recursive
        act = None if self._signal_thread is None else self._acts.get(self._signal_thread)
        if act is None or act.ended or _SIGNAL is None:
            return None
        if _is_ours(frame) or _is_finalizer(frame):
            return None
        if event == "line":
            # Raising here ends the tracing; the next signal begins it again.
            _signal_again(_SIGNAL)
            raise WorkflowInterrupted
        return self._trace


def _signal_again(number: signal.Signals) -> None:
    """Let this thread meet the signal at its next look. The call goes through an iterator, because
    a plain one would be followed by such a look right here."""
    for _ in map(_thread.interrupt_main, (number,)):
        return


def _trace_up(frame: FrameType | None, trace: Any) -> bool:  # Any: recursive
    """Trace the frames of the act. False: impossible while an audit hook hears of another trace."""
    try:
        sys.settrace(trace)
    except RuntimeError:
        return False
    while frame is not None and frame.f_code is not _perform.__code__:
        frame.f_trace = trace
        frame = frame.f_back
    return True


def _perform(act: Callable[[], _T], watched: _Act) -> _T:
    try:
        return act()
    finally:
        watched.won = next(watched.token, False)


def _settle(watched: _Act, news: SimpleQueue[_Act | None]) -> None:
    """Wait until the watchdog knows that the act has ended; what is still pending then is raised
    by this wait, as its call returns. Calls of C only, and harmless when begun again."""
    # Taking a pending exception back is no way: Python 3.11 then looks for it for ever.
    watched.ended = True
    news.put(watched)
    if watched.acknowledged is not None:
        watched.acknowledged.get()


def _may_raise(act: _Act, frame: FrameType | None, *, gentle: bool) -> bool:
    """Whether `frame`, the innermost, is a place for the exception: inside of the act, not inside
    of an interrupt that is being made, and not on a line that takes or gives back a lock, unless
    the code is blocked there."""
    if frame is None or frame.f_code is _GUARDED or _is_finalizer(frame):
        return False
    if gentle and frame.f_globals.get("__name__") in _BOOKKEEPING:
        before, act.place = act.place, (frame.f_code, frame.f_lasti)
        if before != act.place:
            return False
    while frame is not None and frame.f_code is not _perform.__code__:
        if _is_ours(frame) and frame.f_code is not _GUARDED:
            return False
        frame = frame.f_back
    return frame is not None


_GUARDED = Watchdog.guarded.__code__


def _is_ours(frame: FrameType) -> bool:
    """Whether it runs code of this file, apart from the one function that stands for the act."""
    code = _perform.__code__
    return frame.f_code is not code and frame.f_code.co_filename == code.co_filename


def _is_finalizer(frame: FrameType) -> bool:
    return frame.f_code.co_name == "__del__" or frame.f_globals.get("__name__") in _FINALIZERS


def _frame_of(thread_id: int) -> FrameType | None:
    """The innermost frame of a thread."""
    return sys._current_frames().get(thread_id)  # pyright: ignore[reportPrivateUsage]  # public API


def _stack_of(thread_id: int) -> str:
    """The lines of user code, outermost first. Looks again when it comes at a moment between two
    pieces of user code; all lines if none is user's in the end."""
    found: list[tuple[FrameType, int]] = []
    for _ in range(STACK_LOOKS_MAX):
        found = _lines_of(_frame_of(thread_id))
        own = [each for each in found if not each[0].f_code.co_filename.startswith(_INTERNAL)]
        if own:
            found = own
            break
        sleep(0.001)
    return "".join(traceback.StackSummary.extract(iter(found[-STACK_LINES_MAX:])).format())


def _lines_of(frame: FrameType | None) -> list[tuple[FrameType, int]]:
    """The frames below `_perform` with their current lines, outermost first."""
    found: list[tuple[FrameType, int]] = []
    while frame is not None and frame.f_code is not _perform.__code__:
        found.append((frame, frame.f_lineno))
        frame = frame.f_back
    return found[::-1] if frame is not None else []
