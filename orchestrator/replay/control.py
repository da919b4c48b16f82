"""Control flow that user code must not swallow, and the errors of the deterministic world."""

from __future__ import annotations

from orchestrator.exceptions import OrchestratorError
from orchestrator.wire.commands import ContinueAsNewWorkflowExecution


class ContinueAsNewError(BaseException):
    """Ends the run and starts the next; raised by `workflow.continue_as_new` only."""

    def __init__(self, command: ContinueAsNewWorkflowExecution) -> None:
        super().__init__("continue as new")
        self.command = command


class WorkflowEvicted(BaseException):
    """The run leaves memory: its code is unwound and may wish for nothing more."""


class NondeterminismError(OrchestratorError):
    """On replay the code did not do what history says it did."""


class ReadOnlyContextError(OrchestratorError):
    """A query or another read-only place tried to change the workflow."""
