"""Signals and queries: which function answers, and what waits until one does."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Sequence
from typing import Any

from orchestrator.definition.signature import AnyFunction, hints_for, read_signature
from orchestrator.definition.workflow import WorkflowDefinition
from orchestrator.exceptions import ApplicationError, ConversionError
from orchestrator.replay.values import Values
from orchestrator.wire.events import WorkflowExecutionSignaled
from orchestrator.wire.payload import Payload

_log = logging.getLogger("orchestrator.replay")
_Bound = tuple[AnyFunction, tuple[Any, ...] | None]  # Any: annotations are of no common type


class Handlers:
    """The handlers of one object. `start(call)` makes a task of a decoded signal."""

    def __init__(
        self,
        definition: WorkflowDefinition,
        instance: object,
        values: Values,
        start: Callable[[Callable[[], Any]], None],  # Any: sync or async handlers
    ) -> None:
        self._values = values
        self._start = start
        self._signals: dict[str, _Bound] = {
            name: (getattr(instance, handler.attribute), handler.arg_types)
            for name, handler in definition.signals.items()
        }
        self._queries: dict[str, _Bound] = {
            name: (getattr(instance, handler.attribute), handler.arg_types)
            for name, handler in definition.queries.items()
        }
        self._buffered: dict[str, list[WorkflowExecutionSignaled]] = {}

    def signal(self, event: WorkflowExecutionSignaled) -> None:
        """Start the handler, or keep the signal until one is set. Undecodable ones are dropped."""
        handler = self._signals.get(event.signal_name)
        if handler is None:
            self._buffered.setdefault(event.signal_name, []).append(event)
            return
        function, arg_types = handler
        try:
            args = decode(self._values, event.input, arg_types)
        except ConversionError:
            _log.warning("signal_dropped name=%r: undecodable", event.signal_name, exc_info=True)
            return
        self._start(lambda: function(*args))

    def set_signal(self, name: str, function: AnyFunction | None) -> None:
        """Replace a handler (None removes it) and deliver what waited for one, in order."""
        if function is None:
            self._signals.pop(name, None)
            return
        signature = read_signature(function, what=f"signal {name}", skip_self=False)
        self._signals[name] = (function, signature.arg_types)
        for event in self._buffered.pop(name, []):
            self.signal(event)

    def query(self, name: str, payloads: Sequence[Payload]) -> Payload:
        """Call a query's method.

        Raises:
            ApplicationError: there is none of this name.
        """
        handler = self._queries.get(name)
        if handler is None:
            known = ", ".join(sorted(self._queries)) or "none"
            raise ApplicationError(
                f"no query handler is named {name!r}; known: {known}", non_retryable=True
            )
        function, arg_types = handler
        result = function(*decode(self._values, payloads, arg_types))
        if inspect.iscoroutine(result):
            result.close()
            raise ApplicationError(f"query {name!r} must not be async")
        return self._values.to_payloads([result])[0]


def decode(
    values: Values,
    payloads: Sequence[Payload],
    arg_types: tuple[Any, ...] | None,  # Any: annotations
) -> list[Any]:  # Any: user's values
    """Arguments by their annotations, as far as these are known."""
    return values.from_payloads(payloads, hints_for(arg_types, len(payloads)))
