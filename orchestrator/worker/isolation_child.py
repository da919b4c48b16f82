"""The child process in which a run is tried alone: `python -m orchestrator.worker.isolation_child`.

Reads an order from standard input, imports the workflow's class, replays the run and lets it see
its next news, under bounds of memory and time. It writes nothing but words about itself: no server
is connected. What the run does to this process (ends it, crashes it, fills it) it would have done
to its worker.
"""

from __future__ import annotations

import faulthandler
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable
from functools import partial, reduce
from types import ModuleType
from typing import Any, NoReturn

import msgspec

from orchestrator.converter import DataConverter
from orchestrator.definition.workflow import WorkflowDefinition
from orchestrator.limits import ISOLATION_END_MS
from orchestrator.replay.facts import TaskFailure
from orchestrator.replay.run import WorkflowRun
from orchestrator.replay.source import Source, describe
from orchestrator.wire.failure import ApplicationFailure, Failure
from orchestrator.worker import guards_audit
from orchestrator.worker.isolation_order import (
    Bounds,
    ClassName,
    MainModule,
    Order,
    Word,
    to_activation,
)

_MAIN = "__orchestrator_main__"
"""The worker's `__main__` is imported under this name, so that its own start is not run."""


def main() -> None:
    """Do the order on standard input. Does not return when the run ends the process."""
    words = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # What user code prints must not be taken for a word of ours.

    def say(word: Word) -> None:
        words.write(msgspec.json.encode(word) + b"\n")

    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    faulthandler.enable()
    _bound_time(order.bounds)
    say(Word(doing="its module was imported"))
    sys.path[:] = order.paths
    try:
        make_run = _find(order)
    except Exception as error:  # the boundary of user code: a module that cannot be imported here
        say(Word(verdict=f"it cannot be tried in a process of its own: {error!r}"))
        return
    _bound_memory(order.bounds)
    guards_audit.install()
    leave = _watch_exit(say)
    say(Word(verdict=_try(order, make_run, say)))
    leave(0)  # At once: a thread that user code has left behind must not hold this process.


def _try(order: Order, make_run: Callable[[], WorkflowRun], say: Callable[[Word], None]) -> str:
    """Replay, activate, evict; "" when the process has survived."""
    run = make_run()
    for step in order.steps:
        activation = to_activation(step)
        say(Word(doing="it was replayed" if step.replaying else "it saw its next news"))
        try:
            completion = guards_audit.run_armed(partial(run.activate, activation))
        except (Exception, SystemExit):  # the boundary of user code: the worker stops these too
            break
        if isinstance(completion, TaskFailure):
            if _is_out_of_memory(completion.failure):
                return f"out of memory: over {order.bounds.memory_bytes // 1024**2:,} MiB"
            break
    say(Word(doing="its tasks were ended"))
    try:
        guards_audit.run_armed(run.evict)
    except (Exception, SystemExit):  # the boundary of user code, as above
        pass
    return ""


def _is_out_of_memory(failure: Failure) -> bool:
    link: Failure | None = failure
    while link is not None:
        detail = link.detail
        if isinstance(detail, ApplicationFailure) and detail.error_type == MemoryError.__name__:
            return True
        link = link.cause
    return False


def _find(order: Order) -> Callable[[], WorkflowRun]:
    """What makes the run, of the classes that the order names.

    Raises:
        Exception: whatever their modules raise.
    """
    definition = WorkflowDefinition.of(_class(order.workflow, order.main))
    converter = DataConverter(
        payload_converter_class=_class(order.payload_converter, order.main),
        failure_converter_class=_class(order.failure_converter, order.main),
    )
    interceptors = [_class(each, order.main) for each in order.interceptors]
    return partial(WorkflowRun, definition, order.facts, converter, interceptors=interceptors)


def _class(name: ClassName, main: MainModule | None) -> Any:  # Any: a class of the user's
    if name.module == "__main__" and main is not None:
        module = _import_main(main)
    else:
        module = importlib.import_module(name.module)
    return reduce(getattr, name.name.split("."), module)


def _import_main(main: MainModule) -> ModuleType:
    """The worker's program as a module, without its `if __name__ == "__main__"`."""
    if _MAIN in sys.modules:
        return sys.modules[_MAIN]
    if main.package:
        importlib.import_module(main.package)
    spec = importlib.util.spec_from_file_location(_MAIN, main.path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{main.path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    module.__package__ = main.package
    sys.modules[_MAIN] = module
    spec.loader.exec_module(module)
    return module


def _watch_exit(say: Callable[[Word], None]) -> Callable[[int], NoReturn]:
    """Say where user code ends the process, since `os._exit` leaves no other trace. Returns what
    ends it without a word."""
    leave = os._exit

    def exit_with_a_word(status: int) -> NoReturn:
        frame = inspect.currentframe()
        caller = None if frame is None else frame.f_back
        place = None if caller is None else Source(caller.f_code, caller.f_lasti)
        say(Word(verdict=f"os._exit({status}) at {describe(place)}", ended=True))
        leave(status)

    os._exit = exit_with_a_word
    return leave


def _bound_time(bounds: Bounds) -> None:
    """No core file; and an end, should the worker that waits for this process be gone."""
    seconds = (bounds.timeout_ms + ISOLATION_END_MS) // 1000 + 1
    faulthandler.dump_traceback_later(seconds, exit=True)
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _lower(resource.RLIMIT_CPU, seconds)


def _bound_memory(bounds: Bounds) -> None:
    if sys.platform != "win32":
        import resource

        _lower(resource.RLIMIT_AS, _virtual_bytes() + bounds.memory_bytes)


def _lower(kind: int, limit: int) -> None:
    import resource

    soft, hard = resource.getrlimit(kind)
    lower = [limit, *(each for each in (soft, hard) if each != resource.RLIM_INFINITY)]
    try:
        resource.setrlimit(kind, (min(lower), hard))
    except (ValueError, OSError):  # macOS takes no bound of address space
        pass


def _virtual_bytes() -> int:
    """The address space in use now."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 1024**3  # No proc file system; a guess that lets Python itself live.


if __name__ == "__main__":
    main()
