"""Handlers that are set while a run goes on, and which of them are running."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from orchestrator.replay.context import current_run
from orchestrator.replay.run import WorkflowRun

Handler: TypeAlias = Callable[..., Any]  # Any: a user function of any signature


def set_signal_handler(name: str, handler: Handler | None) -> None:
    """Replace a signal's handler for this run; None removes it. Signals that waited for one are
    delivered at once, in the order in which they came.

    Raises:
        ValueError: its parameters do not fit.
    """
    _writable().handlers.set_signal(name, handler)


def get_signal_handler(name: str) -> Handler | None:
    """The handler of a signal, if there is one."""
    return current_run().handlers.get_signal(name)


def set_dynamic_signal_handler(handler: Handler | None) -> None:
    """Set what takes `(name, args)` of signals without a handler; None removes it."""
    _writable().handlers.set_signal(None, handler)


def get_dynamic_signal_handler() -> Handler | None:
    """What takes signals without a handler, if anything does."""
    return current_run().handlers.get_signal(None)


def set_query_handler(name: str, handler: Handler | None) -> None:
    """Replace a query's handler for this run; None removes it.

    Raises:
        ValueError: its parameters do not fit, or it is `async def`.
    """
    _writable().handlers.set_query(name, handler)


def get_query_handler(name: str) -> Handler | None:
    """The handler of a query, if there is one."""
    return current_run().handlers.get_query(name)


def set_dynamic_query_handler(handler: Handler | None) -> None:
    """Set what takes `(name, args)` of queries without a handler; None removes it."""
    _writable().handlers.set_query(None, handler)


def get_dynamic_query_handler() -> Handler | None:
    """What takes queries without a handler, if anything does."""
    return current_run().handlers.get_query(None)


def set_update_handler(
    name: str, handler: Handler | None, *, validator: Handler | None = None
) -> None:
    """Replace an update's handler and its validator for this run; None removes both.

    Raises:
        ValueError: its parameters do not fit, those of the validator differ, the validator is
            `async def`, or there is a validator without a handler.
    """
    _writable().handlers.set_update(name, handler, validator)


def get_update_handler(name: str) -> Handler | None:
    """The handler of an update, if there is one."""
    return current_run().handlers.get_update(name)


def set_dynamic_update_handler(
    handler: Handler | None, *, validator: Handler | None = None
) -> None:
    """Set what takes `(name, args)` of updates without a handler; None removes it."""
    _writable().handlers.set_update(None, handler, validator)


def get_dynamic_update_handler() -> Handler | None:
    """What takes updates without a handler, if anything does."""
    return current_run().handlers.get_update(None)


def all_handlers_finished() -> bool:
    """Whether no signal or update handler is still running."""
    return not current_run().handlers.running


def _writable() -> WorkflowRun:
    current = current_run()
    current.check_writable("set a handler")
    return current
