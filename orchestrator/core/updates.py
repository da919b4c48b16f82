"""Updates between admission and acceptance: what is given to the code, and what becomes of it.

An admitted update is an inbox entry. Intake makes a request of it, or refuses it; the code accepts
it by a command, or rejects it. What is turned down leaves nothing in history: the commit that has
looked at the entry writes an answer for whoever waits, by the operation that brought the update, so
that the same update id may be tried again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from orchestrator.core.state import ExecutionState
from orchestrator.core.transition import UpdateAnswer
from orchestrator.ids import OperationId
from orchestrator.limits import UPDATES_MAX, UPDATES_OPEN_MAX
from orchestrator.wire.commands import AcceptUpdate
from orchestrator.wire.events import WorkflowExecutionUpdateAccepted
from orchestrator.wire.failure import Failure
from orchestrator.wire.inbox import UpdateReceived
from orchestrator.wire.messages import UpdateReply
from orchestrator.wire.payload import Header, Payload


class UpdateRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An update that the code has not seen yet: it comes after event `after_event_id`.

    `operation_ids` are all who wait for its outcome; on replay there are none.
    """

    update_id: str
    update_name: str
    after_event_id: int
    input: tuple[Payload, ...] = ()
    header: Header = {}
    identity: str = ""
    operation_ids: tuple[str, ...] = ()


class UpdateRejection(msgspec.Struct, frozen=True, kw_only=True):
    """The code does not let an update in."""

    request: UpdateRequest
    failure: Failure


def request_of(received: UpdateReceived, *, after_event_id: int) -> UpdateRequest:
    """The request that an inbox entry brings."""
    return UpdateRequest(
        update_id=received.update_id,
        update_name=received.update_name,
        after_event_id=after_event_id,
        input=received.input,
        header=received.header,
        identity=received.identity,
        operation_ids=(received.operation_id,) if received.operation_id else (),
    )


def requested(accepted: WorkflowExecutionUpdateAccepted) -> UpdateRequest:
    """The request that was let in, to be given to the code again on replay."""
    return UpdateRequest(
        update_id=accepted.update_id,
        update_name=accepted.update_name,
        after_event_id=accepted.sequencing_event_id,
        input=accepted.input,
        header=accepted.header,
        identity=accepted.identity,
    )


def acceptance_of(request: UpdateRequest) -> AcceptUpdate:
    """The command that lets the update in: from then on history holds the request."""
    return AcceptUpdate(
        update_id=request.update_id,
        update_name=request.update_name,
        input=request.input,
        header=request.header,
        identity=request.identity,
        sequencing_event_id=request.after_event_id,
    )


def answers_of(rejections: Iterable[UpdateRejection]) -> Iterator[UpdateAnswer]:
    """An answer for each who waits for an update that the code does not let in."""
    for rejection in rejections:
        for operation_id in rejection.request.operation_ids:
            yield UpdateAnswer(
                operation_id=OperationId(operation_id), reply=UpdateReply(failure=rejection.failure)
            )


def refusal(state: ExecutionState, *, coming: int) -> str:
    """Why `state`'s run takes no further update beside the `coming` ones; empty: it does."""
    if state.updates_open + coming >= UPDATES_OPEN_MAX:
        return f"{UPDATES_OPEN_MAX} updates are open; send more when some are completed"
    if len(state.updates) + coming >= UPDATES_MAX:
        return f"it has had {UPDATES_MAX} updates; send more when it has continued as new"
    return ""
