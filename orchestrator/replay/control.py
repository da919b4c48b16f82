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


class RestrictedWorkflowAccessError(NondeterminismError):
    """Workflow code touched the world outside: a file, a socket, a process, a thread, a wait."""

    def __init__(self, qualified_name: str, remedy: str) -> None:
        super().__init__(qualified_name, remedy)
        self.qualified_name = qualified_name
        self.remedy = remedy

    def __str__(self) -> str:
        return (
            f"workflow code must not call {self.qualified_name}: {self.remedy}. A call that may be "
            "repeated at any time can stand in `with workflow.unsafe.sandbox_unrestricted():`"
        )


class ReadOnlyContextError(OrchestratorError):
    """A query, a condition or another read-only place tried to change the workflow."""


class UnfinishedUpdateHandlersWarning(RuntimeWarning):
    """A run ended while update handlers were still running; whoever waits for one gets an error.

    Wait for `workflow.all_handlers_finished`, or choose HandlerUnfinishedPolicy.ABANDON.
    """


class UnfinishedSignalHandlersWarning(RuntimeWarning):
    """A run ended while signal handlers were still running; they were given up.

    Wait for `workflow.all_handlers_finished`, or choose HandlerUnfinishedPolicy.ABANDON.
    """
