"""Which commands there are. Each is imported when it is asked for.

A family of commands is a module of functions whose signatures are their options and whose
docstrings are their help. Whatever is heavy they import when they run.
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

from cyclopts import App, CycloptsError
from rich.console import Console

from orchestrator.cli.exits import CommandError, ExitCode

_PLAIN_WIDTH = 100_000
"""Output that is not a terminal is never wrapped."""
_HELP = "Durable workflows on RabbitMQ and Redis."
_EPILOGUE = (
    "Every command also takes --debug (tracebacks) and reads ORCHESTRATOR_BROKER, "
    "ORCHESTRATOR_STORE, ORCHESTRATOR_NAMESPACE and orchestrator.toml.\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage or set-up, 3 not found, 4 a server is not there, "
    "5 timed out, 6 the workflow id is taken."
)
_COMMANDS = {
    "worker": "orchestrator.cli.worker:worker",
    "demo": "orchestrator.cli.demo.command:demo",
    "bench": "orchestrator.cli.bench.command:bench",
    "engine": "orchestrator.cli.engine:engine",
    "health": "orchestrator.cli.health:health",
    "start": "orchestrator.cli.workflows:start",
    "result": "orchestrator.cli.workflows:result",
    "signal": "orchestrator.cli.workflows:signal",
    "query": "orchestrator.cli.workflows:query",
    "cancel": "orchestrator.cli.workflows:cancel",
    "terminate": "orchestrator.cli.workflows:terminate",
    "resume": "orchestrator.cli.workflows:resume",
    "list": "orchestrator.cli.listing:list_",
    "count": "orchestrator.cli.listing:count",
    "describe": "orchestrator.cli.inspection:describe",
    "show": "orchestrator.cli.inspection:show",
    "topology": "orchestrator.cli.topology:topology",
    "doctor": "orchestrator.cli.doctor:doctor",
    "dead": "orchestrator.cli.dead:dead",
}
"""Name → where its function is."""


def run(tokens: list[str]) -> int:
    """Run the command that `tokens` name and return its exit code.

    Raises:
        CommandError: they name no command, or its arguments are wrong.
    """
    app = make_app(plain=not sys.stdout.isatty())
    if not tokens or tokens[0].startswith("-"):
        for name in _COMMANDS:
            _ = app[name]  # The overview shows the first line of each command's help.
    try:
        result: object = app(
            tokens, exit_on_error=False, print_error=False, result_action="return_value"
        )
    except CycloptsError as error:
        raise CommandError(f"{_text(error)} (see: {_help_call(error)})") from None
    return result if isinstance(result, int) else ExitCode.DONE


def make_app(*, plain: bool) -> App:
    """The parser of all commands; `plain` is for output that is no terminal."""
    app = App(
        name="orchestrator",
        help=_HELP,
        help_epilogue=_EPILOGUE,
        help_format="plaintext",
        help_formatter="plain" if plain else "default",
        console=Console(width=_PLAIN_WIDTH, no_color=True) if plain else None,
        version=_version,
        backend="asyncio",
        suppress_keyboard_interrupt=False,
    )
    for name, where in _COMMANDS.items():
        app.command(where, name=name)
    return app


def _version() -> str:
    try:
        return version("orchestrator")
    except PackageNotFoundError:
        return "unknown (not installed)"


def _text(error: CycloptsError) -> str:
    """What cyclopts says, as one line without a full stop."""
    return " ".join(str(error).split()).removesuffix(".")


def _help_call(error: CycloptsError) -> str:
    chain = error.command_chain or ()
    return " ".join(("orchestrator", *(name for name in chain if name in _COMMANDS), "--help"))
