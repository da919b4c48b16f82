"""Signals, queries and updates: which function answers, what waits until one does, what runs."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from orchestrator.common import RawValue
from orchestrator.definition.handlers import (
    HandlerDefinition,
    HandlerUnfinishedPolicy,
    runtime_handler,
)
from orchestrator.definition.signature import AnyFunction, Signature, hints_for
from orchestrator.definition.workflow import WorkflowDefinition
from orchestrator.exceptions import ApplicationError, ConversionError
from orchestrator.replay.control import (
    UnfinishedSignalHandlersWarning,
    UnfinishedUpdateHandlersWarning,
)
from orchestrator.replay.values import Values
from orchestrator.wire.events import WorkflowExecutionSignaled
from orchestrator.wire.payload import Header, Payload

_log = logging.getLogger("orchestrator.replay")


class SignalCall:
    """A decoded signal: what to call, and how its handler may be left behind."""

    __slots__ = ("call", "name", "unfinished_policy")

    def __init__(
        self,
        name: str,
        call: Callable[[], Any],  # Any: sync or async handlers
        unfinished_policy: HandlerUnfinishedPolicy,
    ) -> None:
        self.name = name
        self.call = call
        self.unfinished_policy = unfinished_policy


class RunningUpdate:
    """An update that was let in and has no outcome yet."""

    __slots__ = ("id", "name", "unfinished_policy")

    def __init__(self, id: str, name: str, unfinished_policy: HandlerUnfinishedPolicy) -> None:
        self.id = id
        self.name = name
        self.unfinished_policy = unfinished_policy


class BoundHandler(NamedTuple):
    """A handler with the object it belongs to."""

    function: AnyFunction
    definition: HandlerDefinition
    validator: AnyFunction | None = None


class Around(Protocol):
    """Interceptors around the calls of handlers."""

    def signal(self, name: str, args: Sequence[Any], header: Header) -> Any:  # Any: user's
        """A coroutine that calls a signal's handler."""
        ...

    def query(self, name: str, args: Sequence[Any], header: Header) -> Any:  # Any: user's values
        """Call a query's handler."""
        ...


class Handlers:
    """The handlers of one run. `start(call)` makes a task of a decoded signal; `quiet()` says
    whether a log line would be a repetition."""

    def __init__(
        self, values: Values, start: Callable[[SignalCall], None], quiet: Callable[[], bool]
    ) -> None:
        self._values = values
        self._start = start
        self._quiet = quiet
        self.running: dict[SignalCall | RunningUpdate, None] = {}
        """Begun and not ended, in the order in which they came."""
        self._signals: dict[str | None, BoundHandler | None] = {}
        self._queries: dict[str | None, BoundHandler | None] = {}
        self._updates: dict[str | None, BoundHandler | None] = {}
        self._buffered: list[WorkflowExecutionSignaled] = []
        self.interception: Around | None = None
        """What stands around the calls of handlers; set when the run begins."""

    def bind(self, definition: WorkflowDefinition, instance: object) -> None:
        """Take the decorated methods of `instance`; what its `__init__` has set stays."""
        for name, found in definition.signals.items():
            self._signals.setdefault(name, BoundHandler(getattr(instance, found.attribute), found))
        for name, found in definition.queries.items():
            self._queries.setdefault(name, BoundHandler(getattr(instance, found.attribute), found))
        for name, found in definition.updates.items():
            validator = None if found.validator is None else partial(found.validator, instance)
            handler = BoundHandler(getattr(instance, found.attribute), found, validator)
            self._updates.setdefault(name, handler)

    def signal(self, event: WorkflowExecutionSignaled) -> None:
        """Start the handler, or keep the signal until one is set. What does not fit its handler is
        dropped with a warning: a sender must not be able to stop a run."""
        name = event.signal_name
        handler = self.find_signal(name)
        if handler is None:
            self._buffered.append(event)
            return
        try:
            args = self.arguments(name, handler.definition, event.input)
        except ConversionError as error:
            if not self._quiet():
                _log.warning("signal_dropped name=%r: %s", name, error)
            return
        call = partial(invoke, handler, name, args)
        if self.interception is not None:
            call = partial(self.interception.signal, name, args, event.header)
        self._start(SignalCall(name, call, handler.definition.unfinished_policy))

    def set_signal(self, name: str | None, function: AnyFunction | None) -> None:
        """Replace a handler, or the dynamic one; None removes it. Signals that waited for one are
        delivered in the order in which they came."""
        self._signals[name] = _bound(name, function, "signal")
        if function is not None:
            waiting, self._buffered = self._buffered, []
            for event in waiting:
                self.signal(event)

    def warn_of_unfinished(self, ended: str) -> None:
        """Warn if handlers are running that should not be left behind by what has `ended`."""
        left = [
            one
            for one in self.running
            if one.unfinished_policy is HandlerUnfinishedPolicy.WARN_AND_ABANDON
        ]
        signals = Counter(one.name for one in left if isinstance(one, SignalCall))
        if signals:
            unfinished = ", ".join(f"{name!r} × {count}" for name, count in signals.items())
            _warn(ended, "signal", unfinished, UnfinishedSignalHandlersWarning)
        updates = [one for one in left if isinstance(one, RunningUpdate)]
        if updates:
            unfinished = ", ".join(f"{one.name!r} (id {one.id!r})" for one in updates)
            _warn(ended, "update", unfinished, UnfinishedUpdateHandlersWarning)

    def set_query(self, name: str | None, function: AnyFunction | None) -> None:
        """Replace a handler, or the dynamic one; None removes it."""
        self._queries[name] = _bound(name, function, "query")

    def set_update(
        self, name: str | None, function: AnyFunction | None, validator: AnyFunction | None
    ) -> None:
        """Replace a handler and its validator, or the dynamic ones; None removes both."""
        if function is None and validator is not None:
            raise ValueError("a validator needs a handler")
        self._updates[name] = _bound(name, function, "update", validator)

    def get_update(self, name: str | None) -> AnyFunction | None:
        """The handler of this name, or the dynamic one."""
        handler = self._updates.get(name)
        return None if handler is None else handler.function

    def update(self, name: str) -> BoundHandler | None:
        """Who answers an update of this name: its own handler, else the dynamic one."""
        return self._updates.get(name) or self._updates.get(None)

    @property
    def known_updates(self) -> str:
        """Names of updates that have a handler, for a person to read."""
        return ", ".join(sorted(name for name, one in self._updates.items() if name and one))

    def find_signal(self, name: str) -> BoundHandler | None:
        """Who takes a signal of this name: its own handler, else the dynamic one."""
        return self._signals.get(name) or self._signals.get(None)

    def find_query(self, name: str) -> BoundHandler | None:
        """Who answers a query of this name: its own handler, else the dynamic one."""
        return self._queries.get(name) or self._queries.get(None)

    def get_signal(self, name: str | None) -> AnyFunction | None:
        """The handler of this name, or the dynamic one."""
        handler = self._signals.get(name)
        return None if handler is None else handler.function

    def get_query(self, name: str | None) -> AnyFunction | None:
        """The handler of this name, or the dynamic one."""
        handler = self._queries.get(name)
        return None if handler is None else handler.function

    def query(self, name: str, payloads: Sequence[Payload], header: Header) -> Payload:
        """Call a query's method.

        Raises:
            ApplicationError: there is none of this name.
            ConversionError: the arguments do not fit, or the result cannot travel.
        """
        handler = self.find_query(name)
        if handler is None:
            known = ", ".join(sorted(name for name in self._queries if name)) or "none"
            raise ApplicationError(
                f"no query handler is named {name!r}; known: {known}", non_retryable=True
            )
        args = self.arguments(name, handler.definition, payloads)
        if self.interception is None:
            result = invoke(handler, name, args)
        else:
            result = self.interception.query(name, args, header)
        if inspect.iscoroutine(result):
            result.close()
            raise ApplicationError(f"query {name!r} must not be async")
        return self._values.to_payloads([result])[0]

    def arguments(
        self, name: str, definition: HandlerDefinition, payloads: Sequence[Payload]
    ) -> list[Any]:  # Any: user's values
        """What a handler is called with, see `invoke`.

        Raises:
            ConversionError: an argument does not fit, or their number.
        """
        if definition.name is None:
            return [RawValue(payload) for payload in payloads]
        check_count(definition.signature, len(payloads), what=repr(name))
        return decode(self._values, payloads, definition.signature, what=repr(name))


def invoke(handler: BoundHandler, name: str, args: Sequence[Any]) -> Any:  # Any: user's values
    """Call a handler with what `Handlers.arguments` gave; a dynamic one is told the name too."""
    if handler.definition.name is None:
        return handler.function(name, args)
    return handler.function(*args)


def decode(
    values: Values, payloads: Sequence[Payload], signature: Signature, *, what: str
) -> list[Any]:  # Any: user's values
    """Arguments by their annotations, as far as these are known.

    Raises:
        ConversionError: one does not fit; `what` and the parameter's name are in the text.
    """
    hints = hints_for(signature.arg_types, len(payloads))
    try:
        return values.from_payloads(payloads, hints)
    except ConversionError:
        for index, payload in enumerate(payloads):
            hint = [hints[index]] if hints is not None else None
            try:
                values.from_payloads([payload], hint)
            except ConversionError as error:
                known = index < len(signature.names)
                named = f" {signature.names[index]!r}" if known else ""
                raise ConversionError(
                    f"argument {index + 1}{named} of {what} does not fit: {error}"
                ) from error
        raise


def check_count(signature: Signature, count: int, *, what: str) -> None:
    """Raises ConversionError when `what` cannot be called with so many arguments."""
    if not signature.accepts(count):
        least, most = signature.required, len(signature.names)
        expected = f"{least} to {most}" if least != most else str(most)
        if signature.takes_more:
            expected = f"{least} or more"
        names = ", ".join(signature.names)
        raise ConversionError(f"{what} takes {expected} argument(s) ({names}), found {count}")


def _bound(
    name: str | None,
    function: AnyFunction | None,
    kind: str,
    validator: AnyFunction | None = None,
) -> BoundHandler | None:
    if function is None:
        return None
    definition = runtime_handler(name, function, kind=kind, validator=validator)
    return BoundHandler(function, definition, validator)


def _warn(ended: str, kind: str, unfinished: str, category: type[Warning]) -> None:
    # A place that is no file: showing a warning reads the source line of its place.
    warnings.warn_explicit(
        f"{ended} ended while {kind} handlers were running: {unfinished}; wait for "
        "workflow.all_handlers_finished first, or decorate them with "
        "unfinished_policy=HandlerUnfinishedPolicy.ABANDON",
        category,
        filename="<workflow>",
        lineno=1,
    )
