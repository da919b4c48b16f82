"""Exit codes, and which error means which: scripts may rely on them.

The texts of errors are written where they are raised; here it is only decided how the program ends.
Knows no third-party library, because it also speaks when one is missing.
"""

from __future__ import annotations

from enum import IntEnum
from typing import cast

from orchestrator.exceptions import (
    ActivityAlreadyStartedError,
    ConversionError,
    InvalidNameError,
    MisconfiguredError,
    OrchestratorError,
    PayloadTooLargeError,
    RPCError,
    RPCStatusCode,
    UnavailableError,
    WorkflowAlreadyStartedError,
)


class ExitCode(IntEnum):
    """How the program ended."""

    DONE = 0
    FAILED = 1
    """What was waited for ended badly, a check found a problem, or an operation was refused."""
    USAGE = 2
    """The command line, a setting, the app module or the servers' set-up is wrong: the same again
    cannot work."""
    NOT_FOUND = 3
    """There is no such workflow, run or queue."""
    UNAVAILABLE = 4
    """A server does not answer; the same again may work later."""
    TIMED_OUT = 5
    """What was waited for did not happen in time."""
    CONFLICT = 6
    """The workflow id, or activity id, is taken."""
    BUG = 70
    """An error nobody foresaw; `--debug` shows where."""
    INTERRUPTED = 130
    """Ctrl-C. A second signal ends a worker with 128 and the signal's number."""


class CommandError(OrchestratorError):
    """A command cannot be done as asked; the text says what to do."""

    def __init__(self, text: str, code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(text, code)
        self.text = text
        self.code = code

    @property
    def cause(self) -> BaseException | None:
        """What user code raised, if it did."""
        return self.__cause__

    def __str__(self) -> str:
        return self.text


_OF_STATUS = {
    RPCStatusCode.NOT_FOUND: ExitCode.NOT_FOUND,
    RPCStatusCode.DEADLINE_EXCEEDED: ExitCode.TIMED_OUT,
    RPCStatusCode.UNAVAILABLE: ExitCode.UNAVAILABLE,
    RPCStatusCode.ALREADY_EXISTS: ExitCode.CONFLICT,
    RPCStatusCode.INVALID_ARGUMENT: ExitCode.USAGE,
}


def exit_code_of(error: BaseException) -> ExitCode:
    """How the program ends after `error`."""
    match error:
        case CommandError(code=code):
            return code
        case RPCError(status=status):
            return _OF_STATUS.get(status, ExitCode.FAILED)
        case UnavailableError():
            return ExitCode.UNAVAILABLE
        case WorkflowAlreadyStartedError() | ActivityAlreadyStartedError():
            return ExitCode.CONFLICT
        case InvalidNameError() | MisconfiguredError() | ConversionError() | PayloadTooLargeError():
            return ExitCode.USAGE
        case OrchestratorError():
            return ExitCode.FAILED
        case KeyboardInterrupt():
            return ExitCode.INTERRUPTED
        case _:
            return ExitCode.BUG


def text_of(error: BaseException) -> str:
    """One line for people: the error and the causes behind it, each once."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    parts: list[str] = []
    link: BaseException | None = error
    while link is not None and len(parts) < _CAUSES_SHOWN:
        # The status is told by the exit code.
        text = link.message if isinstance(link, RPCError) else str(link)
        text = text or type(link).__name__
        if not isinstance(link, OrchestratorError):
            text = f"{type(link).__name__}: {text}"
        if not any(part == text or part.endswith(f": {text}") for part in parts):
            parts.append(text)
        # Errors without a `cause` have said in their own text what was behind them.
        link = link.__cause__ if hasattr(link, "cause") else None
    return ": ".join(parts)


def first_of(error: BaseException) -> BaseException:
    """The first error of a group of errors, which is the one to report."""
    while isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        error = group.exceptions[0]
    return error


_CAUSES_SHOWN = 5
"""An activity's error within an activity's error … the chain ends somewhere."""
