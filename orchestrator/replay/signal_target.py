"""Other workflows as workflow code holds them: something that takes signals, typed by the class of
the workflow."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from orchestrator.definition.calls import ABSENT, one_or_all
from orchestrator.definition.handlers import handler_name
from orchestrator.ids import check_name, check_text
from orchestrator.limits import DETAILS_BYTES_MAX

SelfT = TypeVar("SelfT")
_Param = TypeVar("_Param")
_Params = ParamSpec("_Params")

Send = Callable[[str, Sequence[Any]], Awaitable[None]]  # Any: user's values


class SignalTarget(Generic[SelfT]):
    """What signals are sent to; `send` does it."""

    _send: Send

    @overload
    async def signal(self, signal: Callable[[SelfT], Any]) -> None: ...  # Any: what it returns
    @overload
    async def signal(
        self,
        signal: Callable[[SelfT, _Param], Any],  # Any: what it returns is not used
        arg: _Param,
    ) -> None: ...
    @overload
    async def signal(
        self,
        signal: Callable[Concatenate[SelfT, _Params], Any],  # Any: what it returns is not used
        *,
        args: Sequence[Any],  # Any: user's values
    ) -> None: ...
    @overload
    async def signal(
        self,
        signal: str,
        arg: Any = ...,  # Any: user's value
        *,
        args: Sequence[Any] = ...,  # Any: user's values
    ) -> None: ...
    async def signal(
        self,
        signal: Any,  # Any: a name or a decorated method
        arg: Any = ABSENT,  # Any: user's value
        *,
        args: Sequence[Any] = (),  # Any: user's values
    ) -> None:
        """Send a signal, and wait until it is in the other workflow's inbox.

        Signals of this run to the same workflow arrive in the order in which they were sent, waited
        for or not. A cancellation takes back a signal that was sent in this very task; a later one
        is raised once the signal's fate is known.

        Raises:
            ApplicationError: of type `ExternalWorkflowExecutionNotFound`, no such run is open.
            ValueError: both `arg` and `args` are given, or `signal` is no signal.
            ConversionError: an argument cannot be converted.
        """
        name = check_name("signal name", handler_name(signal))
        await self._send(name, one_or_all(arg, args))


class ExternalWorkflowHandle(SignalTarget[SelfT]):
    """Another workflow, which this one did not start."""

    def __init__(
        self,
        id: str,
        run_id: str | None,
        *,
        send: Send,
        request_cancel: Callable[[str], Awaitable[None]],
    ) -> None:
        """Made by `workflow.get_external_workflow_handle`."""
        self._id = id
        self._run_id = run_id
        self._send = send
        self._request_cancel = request_cancel

    @property
    def id(self) -> str:
        """The workflow id."""
        return self._id

    @property
    def run_id(self) -> str | None:
        """The run that is meant; None: the newest."""
        return self._run_id

    async def cancel(self, *, reason: str = "") -> None:
        """Ask the other workflow to end, and wait until the request is in its inbox. Once made, the
        request is not taken back.

        Raises:
            ApplicationError: of type `ExternalWorkflowExecutionNotFound`, no such run is open.
            InvalidNameError: the reason is no text, or over `limits.DETAILS_BYTES_MAX`.
        """
        await self._request_cancel(check_text("reason", reason, bytes_max=DETAILS_BYTES_MAX))
