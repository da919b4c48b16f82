"""What a client's calls raise beside the errors of `orchestrator.exceptions`.

Names and meanings are those of Temporal's Python SDK.
"""

from __future__ import annotations

from orchestrator.exceptions import OrchestratorError


class WorkflowFailureError(OrchestratorError):
    """A run ended otherwise than well; `cause` says how: an ApplicationError, CancelledError,
    TerminatedError, TimeoutError, ActivityError or ChildWorkflowError."""

    @property
    def cause(self) -> BaseException | None:
        """How the run ended."""
        return self.__cause__


class ActivityFailureError(OrchestratorError):
    """A standalone activity ended otherwise than well; `cause` says how: an ApplicationError,
    CancelledError, TerminatedError or TimeoutError."""

    @property
    def cause(self) -> BaseException | None:
        """How it ended."""
        return self.__cause__


class WorkflowContinuedAsNewError(OrchestratorError):
    """The run continued as `new_run_id`, and the caller did not want to follow."""

    def __init__(self, new_run_id: str) -> None:
        super().__init__(new_run_id)
        self.new_run_id = new_run_id

    def __str__(self) -> str:
        return f"the run continued as new: ask for run {self.new_run_id}, or set follow_runs=True"


class WorkflowQueryRejectedError(OrchestratorError):
    """The run does not answer queries in its present status (a `WorkflowExecutionStatus`'s name),
    by the condition that the caller gave."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status

    def __str__(self) -> str:
        return f"the query was rejected: the run is {self.status}"


class WorkflowQueryFailedError(OrchestratorError):
    """The query's handler raised, or there is none of this name; `cause` has the details."""

    @property
    def cause(self) -> BaseException | None:
        """What the handler raised."""
        return self.__cause__


class WorkflowUpdateFailedError(OrchestratorError):
    """An update was rejected, its handler failed, or its run ended before it did; `cause` says
    which."""

    @property
    def cause(self) -> BaseException | None:
        """What the validator or the handler raised."""
        return self.__cause__


class RPCTimeoutOrCancelledError(OrchestratorError):
    """Who waited for an operation gave up."""


class WorkflowUpdateRPCTimeoutOrCancelledError(RPCTimeoutOrCancelledError):
    """Who waited for an update gave up; the update is not affected."""

    def __str__(self) -> str:
        return (
            "the wait for an update timed out or was cancelled; the update goes on: wait for it "
            "again under its id"
        )
