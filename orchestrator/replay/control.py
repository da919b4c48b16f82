"""Control flow that user code must not swallow, and the errors of the deterministic world."""

from __future__ import annotations

from orchestrator.exceptions import OrchestratorError
from orchestrator.wire.commands import ContinueAsNewWorkflowExecution


class ContinueAsNewError(BaseException):
    """Ends the run and starts the next; raised by `workflow.continue_as_new` only."""

    def __init__(self, command: ContinueAsNewWorkflowExecution) -> None:
        super().__init__("continue as new")
        self.command = command


class NondeterminismError(OrchestratorError):
    """On replay the code did not do what history says it did."""


class ReadOnlyContextError(OrchestratorError):
    """A query, a condition or another read-only place tried to change the workflow."""


class UnfinishedSignalHandlersWarning(RuntimeWarning):
    """A run ended while signal handlers were still running; they were given up.

    Wait for `workflow.all_handlers_finished`, or choose HandlerUnfinishedPolicy.ABANDON.
    """
