"""The program `orchestrator`: runs one command and turns whatever happens into an exit code.

This is the boundary of all commands: an error becomes one line on standard error that says what to
do, a traceback is shown with `--debug` only, and no text shows a password. Nothing is imported
before it is needed, so that help and mistakes are answered at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from orchestrator.cli.exits import ExitCode, exit_code_of, first_of, text_of

_EXTRA = frozenset({"cyclopts", "rich"})
DEBUG = "--debug"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code; `arguments` None: those of the process."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    rest = [token for token in tokens if token != DEBUG]
    return bounded(lambda: _run(rest), debug=DEBUG in tokens)


def bounded(run: Callable[[], int | None], *, debug: bool) -> int:
    """What `run` returned as an exit code (None: 0), or the code of its error, which is shown."""
    try:
        code = run() or ExitCode.DONE
        sys.stdout.flush()
        return code
    except (Exception, KeyboardInterrupt, BaseExceptionGroup) as error:
        # The boundary of the program: everything ends as a line and an exit code.
        return _report(first_of(error), debug=debug, whole=error)


def _run(tokens: list[str]) -> int:
    try:
        from orchestrator.cli import commands
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        sys.stderr.write(
            f"orchestrator: the command line needs {error.name}, which is not installed; "
            "from the checkout: pip install '.[cli]'\n"
        )
        return ExitCode.USAGE
    return commands.run(tokens)


def _report(error: BaseException, *, debug: bool, whole: BaseException) -> int:
    code = exit_code_of(error)
    if isinstance(error, BrokenPipeError):
        # Whoever read our output has enough. What is still buffered must not fail at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    if debug:
        import traceback

        traceback.print_exception(whole)
    hint = "" if debug or code is not ExitCode.BUG else f" (a bug; {DEBUG} shows where)"
    sys.stderr.write(f"orchestrator: {_one_line(text_of(error))}{hint}\n")
    return code


def _one_line(text: str) -> str:
    from orchestrator.telemetry.escaping import escape_controls

    return escape_controls(" ".join(text.split("\n")))
