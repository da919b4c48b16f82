"""The updates of one run: validated in turn with everything else, let in, and seen to their end.

An update is looked at by a plain callback and not by a task: a rejected one leaves no trace in
history, so on replay nothing may be numbered that was numbered for it. Until it is let in, every
exception rejects it; after that a failure is its outcome, and any other exception fails the task,
which is tried again. A validator may change nothing.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from orchestrator.core.updates import UpdateRejection, UpdateRequest, acceptance_of
from orchestrator.exceptions import ApplicationError, CancelledError
from orchestrator.replay.control import (
    ContinueAsNewError,
    NondeterminismError,
    ReadOnlyContextError,
)
from orchestrator.replay.endings import Endings
from orchestrator.replay.handlers import BoundHandler, Handlers, RunningUpdate, invoke
from orchestrator.replay.interception import Interception
from orchestrator.replay.loop import DurableLoop
from orchestrator.replay.source import Source, defined_at, raised_at
from orchestrator.replay.values import Values
from orchestrator.wire import commands as c

_T = TypeVar("_T")


@dataclass(frozen=True)
class UpdateInfo:
    """The update whose handler or validator is running."""

    id: str
    name: str


_current: ContextVar[UpdateInfo | None] = ContextVar("orchestrator_update", default=None)


def current_update_info() -> UpdateInfo | None:
    """The update in whose handler or validator the caller is, also in tasks made there."""
    return _current.get()


class UpdateHost(Protocol):
    """The run, as far as updates need it."""

    loop: DurableLoop
    values: Values
    endings: Endings
    handlers: Handlers
    interception: Interception | None

    @property
    def is_activating(self) -> bool:
        """Whether user code runs because of an activation, not to be unwound."""
        ...

    def add(self, command: c.Command, source: Source | None = None) -> None:
        """Wish for something."""
        ...

    def end_with(self, error: BaseException) -> None:
        """What leaves the code ends its run or its task."""
        ...

    def ask_read_only(self, place: str, ask: Callable[[], _T]) -> _T:
        """Call what may change nothing."""
        ...


class Updates:
    """What came for one run and was not let in yet, or was rejected in this activation."""

    def __init__(self, host: UpdateHost) -> None:
        self._host = host
        self._rejections: list[UpdateRejection] = []
        self._accepted = 0

    def take_rejections(self) -> tuple[UpdateRejection, ...]:
        """What was rejected since the last call."""
        found, self._rejections = tuple(self._rejections), []
        return found

    @property
    def accepted(self) -> int:
        """How many were ever let in."""
        return self._accepted

    def receive(self, request: UpdateRequest, *, validate: bool, first: bool) -> None:
        """Look at an update when its turn comes. With `first` the run method has yet to begin and
        may still set the handler. Without `validate` it was let in before: this is a replay."""
        self._host.loop.call_soon(self._look, request, validate, first)

    def _look(self, request: UpdateRequest, validate: bool, first: bool) -> None:
        handler = self._host.handlers.update(request.update_name)
        if handler is None and first:
            self.receive(request, validate=validate, first=False)
            return
        _current.set(UpdateInfo(request.update_id, request.update_name))
        try:
            found, args = self._admit(request, handler, validate=validate)
        except (NondeterminismError, ReadOnlyContextError) as error:
            self._host.end_with(error)
        except (Exception, asyncio.CancelledError) as error:  # the boundary of user code
            if validate:
                failure = self._host.values.to_failure(error)
                self._rejections.append(UpdateRejection(request=request, failure=failure))
            else:
                self._host.end_with(_not_let_in_again(request, error))
        except BaseException as error:  # what ends a process, or was thrown in to cut the code off
            self._host.end_with(error)
        else:
            self._accept(request, found, args)

    def _admit(
        self, request: UpdateRequest, handler: BoundHandler | None, *, validate: bool
    ) -> tuple[BoundHandler, list[Any]]:  # Any: user's values
        """Who takes the update, and what it is called with; whatever is raised rejects it."""
        handlers, name = self._host.handlers, request.update_name
        if handler is None:
            known = handlers.known_updates or "none"
            raise ApplicationError(
                f"no update handler is named {name!r}; known: {known}",
                type="NotFoundError",
                non_retryable=True,
            )
        args = handlers.arguments(name, handler.definition, request.input)
        validator = handler.validator
        if validate and validator is not None:
            check = partial(self._validate, request, handler._replace(function=validator), args)
            self._host.ask_read_only("a validator", check)
            # Again, because the validator may have changed its arguments.
            args = handlers.arguments(name, handler.definition, request.input)
        return handler, args

    def _validate(
        self,
        request: UpdateRequest,
        validator: BoundHandler,
        args: Sequence[Any],  # Any: user's values
    ) -> None:
        around = self._host.interception
        if around is None:
            invoke(validator, request.update_name, args)
        else:
            around.validate(request, args)

    def _accept(
        self,
        request: UpdateRequest,
        handler: BoundHandler,
        args: list[Any],  # Any: user's values
    ) -> None:
        self._accepted += 1
        self._host.add(acceptance_of(request), defined_at(handler.function))
        running = RunningUpdate(
            request.update_id, request.update_name, handler.definition.unfinished_policy
        )
        self._host.handlers.running[running] = None
        self._host.loop.create_task(
            self._handle(running, request, handler, args), name=f"update {request.update_name}"
        )
        # This is the update's turn: the next validator sees what this handler does now.
        self._host.loop.begin_at_once()

    async def _handle(
        self,
        running: RunningUpdate,
        request: UpdateRequest,
        handler: BoundHandler,
        args: list[Any],  # Any: user's values
    ) -> None:
        host = self._host
        try:
            if host.interception is None:
                result = invoke(handler, request.update_name, args)
            else:
                result = host.interception.update(request, args)
            if inspect.isawaitable(result):
                result = await result
            payload = host.values.to_payloads([result])[0]
            completion = c.CompleteUpdate(update_id=running.id, result=payload)
            host.add(completion, defined_at(handler.function))
        except BaseException as error:  # the boundary of user code
            # Outside of an activation the coroutine is being unwound or collected.
            if not host.is_activating:
                raise
            self._fail(running, error)
        finally:
            host.handlers.running.pop(running, None)

    def _fail(self, running: RunningUpdate, error: BaseException) -> None:
        host, source = self._host, raised_at(error)
        if isinstance(error, asyncio.CancelledError):
            error = CancelledError("Cancelled while the update was handled")
        if isinstance(error, ContinueAsNewError) or not host.endings.is_failure(error):
            host.end_with(error)
            return
        failure = host.values.to_failure(error)
        host.add(c.CompleteUpdate(update_id=running.id, failure=failure), source)


def _not_let_in_again(request: UpdateRequest, error: BaseException) -> NondeterminismError:
    return NondeterminismError(
        f"history has update {request.update_name!r} (id {request.update_id!r}) accepted, but the "
        f"code cannot take it: {error}"
    )
