"""The program: every end is one line and an exit code."""

from __future__ import annotations

import sys

import pytest

from orchestrator.cli import app, commands
from orchestrator.cli.app import main
from orchestrator.cli.exits import CommandError, ExitCode, exit_code_of, first_of, text_of
from orchestrator.client import WorkflowFailureError
from orchestrator.exceptions import (
    ApplicationError,
    InvalidNameError,
    MisconfiguredError,
    RPCError,
    RPCStatusCode,
    TerminatedError,
    UnavailableError,
    WorkflowAlreadyStartedError,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CommandError("x"), 2),
        (CommandError("x", ExitCode.FAILED), 1),
        (RPCError("x", RPCStatusCode.NOT_FOUND), 3),
        (RPCError("x", RPCStatusCode.DEADLINE_EXCEEDED), 5),
        (RPCError("x", RPCStatusCode.RESOURCE_EXHAUSTED), 1),
        (UnavailableError("x"), 4),
        (WorkflowAlreadyStartedError("w", "Order"), 6),
        (InvalidNameError("workflow id", "{", "no braces"), 2),
        (MisconfiguredError("x"), 2),
        (WorkflowFailureError("x"), 1),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError(), 70),
    ],
)
def test_an_error_has_its_exit_code(error: BaseException, code: int) -> None:
    assert exit_code_of(error) == code


def test_the_first_error_of_a_group_is_reported() -> None:
    inner = UnavailableError("down")
    assert first_of(ExceptionGroup("a", [ExceptionGroup("b", [inner])])) is inner


def test_the_text_of_a_failure_names_its_causes_once() -> None:
    error = WorkflowFailureError("Workflow execution failed")
    error.__cause__ = ApplicationError("card refused", type="Declined")
    assert text_of(error) == "Workflow execution failed: Declined: card refused"


def test_a_short_reason_is_not_taken_for_a_piece_of_the_text_before() -> None:
    error = WorkflowFailureError("Workflow execution terminated")
    error.__cause__ = TerminatedError("x")
    assert text_of(error) == "Workflow execution terminated: x"


def test_the_text_of_an_unreachable_server_does_not_repeat_the_library() -> None:
    error = UnavailableError("Redis at redis://h: connection refused")
    error.__cause__ = OSError("connection refused by redis://:secret@h")
    assert text_of(error) == "Redis at redis://h: connection refused"


def fails_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(tokens: list[str]) -> int:
        raise error

    monkeypatch.setattr(commands, "run", run)


def test_an_error_is_one_line_without_control_characters(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fails_with(CommandError("bad\nnews \x1b[31m"), monkeypatch)
    assert main(["worker", "x"]) == ExitCode.USAGE
    assert capsys.readouterr().err == "orchestrator: bad news \\x1b[31m\n"


def test_a_traceback_is_shown_with_debug_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fails_with(ZeroDivisionError("oops"), monkeypatch)
    assert main(["worker", "x"]) == ExitCode.BUG
    assert "Traceback" not in capsys.readouterr().err
    assert main(["worker", "x", "--debug"]) == ExitCode.BUG
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "tokens", [["start", "Order", "--task-queue", "q"], ["worker", "orders.app"], ["engine"]]
)
def test_no_command_works_in_a_memory_that_goes_with_it(
    tokens: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*tokens, "--broker", "memory://", "--store", "memory://"]) == ExitCode.USAGE
    assert "which no other command can reach" in capsys.readouterr().err


def test_a_missing_extra_is_told_with_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "orchestrator.cli.commands")
    monkeypatch.delattr(sys.modules["orchestrator.cli"], "commands")
    monkeypatch.setitem(sys.modules, "cyclopts", None)
    assert app.main(["worker", "x"]) == ExitCode.USAGE
    assert "pip install '.[cli]'" in capsys.readouterr().err


def test_the_overview_shows_each_command_with_its_first_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert "worker: Run the workflows and activities of an app module" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (["wrker"], 'Unknown command "wrker". Did you mean "worker"?'),
        (["worker"], "requires an argument (see: orchestrator worker --help)"),
        (["worker", "x", "--nope"], "Unknown option: --nope"),
        (["worker", "x", "--max-concurrent-activities", "0"], "Must be >= 1"),
        (["worker", "x", "--log-level", "loud"], "loud"),
    ],
)
def test_a_wrong_call_is_one_line_that_names_the_help(
    tokens: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(tokens) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert expected in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
