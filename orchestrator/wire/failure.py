"""Failures as data: a message, a stack, a kind with its fields, and a chain of causes.

A failure crosses processes and languages. `error_type` is a word for programs, never a path to
import; readers build only our own exception classes from it.
"""

from __future__ import annotations

from typing import TypeAlias

from orchestrator.wire.base import WireStruct
from orchestrator.wire.options import RetryOutcome, TimeoutKind
from orchestrator.wire.payload import Payload


class ApplicationFailure(
    WireStruct, frozen=True, kw_only=True, tag_field="kind", tag="application"
):
    """User code raised an error."""

    error_type: str = ""
    non_retryable: bool = False
    details: tuple[Payload, ...] = ()
    next_retry_delay_ms: int | None = None
    benign: bool = False


class CanceledFailure(WireStruct, frozen=True, kw_only=True, tag_field="kind", tag="canceled"):
    """Something was cancelled."""

    details: tuple[Payload, ...] = ()


class TerminatedFailure(WireStruct, frozen=True, kw_only=True, tag_field="kind", tag="terminated"):
    """A run was ended from outside."""

    details: tuple[Payload, ...] = ()


class TimeoutFailure(WireStruct, frozen=True, kw_only=True, tag_field="kind", tag="timeout"):
    """A clock of ours ran out."""

    timeout: TimeoutKind
    last_heartbeat_details: tuple[Payload, ...] = ()


class ServerFailure(WireStruct, frozen=True, kw_only=True, tag_field="kind", tag="server"):
    """The engine could not do it."""

    non_retryable: bool = False


class ActivityFailure(WireStruct, frozen=True, kw_only=True, tag_field="kind", tag="activity"):
    """An activity ended badly; the reason is the cause."""

    scheduled_event_id: int
    started_event_id: int
    activity_type: str
    activity_id: str
    identity: str = ""
    retry_outcome: RetryOutcome | None = None


class ChildWorkflowFailure(
    WireStruct, frozen=True, kw_only=True, tag_field="kind", tag="child_workflow"
):
    """A child ended badly; the reason is the cause."""

    namespace: str
    workflow_id: str
    run_id: str
    workflow_type: str
    initiated_event_id: int
    started_event_id: int
    retry_outcome: RetryOutcome | None = None


FailureDetail: TypeAlias = (
    ApplicationFailure
    | CanceledFailure
    | TerminatedFailure
    | TimeoutFailure
    | ServerFailure
    | ActivityFailure
    | ChildWorkflowFailure
)


class Failure(WireStruct, frozen=True, kw_only=True):
    """One link of a chain of failures.

    With `encoded_attributes` message and stack are in there, as an object with the fields
    `message` and `stack_trace`, so that a codec can hide them; the plain message is a placeholder.
    """

    message: str
    detail: FailureDetail
    stack_trace: str = ""
    source: str = "orchestrator"
    cause: Failure | None = None
    encoded_attributes: Payload | None = None

    @property
    def text(self) -> str:
        """For people: the message, after the type of an error of user code. The message of a
        KeyError is nothing but the key."""
        detail = self.detail
        if isinstance(detail, ApplicationFailure) and detail.error_type:
            return f"{detail.error_type}: {self.message}"
        return self.message
