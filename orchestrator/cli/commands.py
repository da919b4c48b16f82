"""Which commands there are. Each is imported when it is asked for.

A family of commands is a module of functions whose signatures are their options and whose
docstrings are their help. Whatever is heavy they import when they run.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from cyclopts import App, CycloptsError, Group
from rich.console import Console

from orchestrator.cli.exits import CommandError, ExitCode

_PLAIN_WIDTH = 100_000
"""Output that is not a terminal is never wrapped."""
_HELP = """Durable workflows on RabbitMQ and Redis.

Every command that connects takes --broker, --store and --namespace; what is not given is read from
ORCHESTRATOR_BROKER, ORCHESTRATOR_STORE and ORCHESTRATOR_NAMESPACE, then from orchestrator.toml,
then it is the local default. With --debug errors come with their tracebacks.

Exit codes: 0 done; 1 failed: the workflow, or a check; 2 the command line, a setting or a server's
set-up is wrong; 3 not found; 4 a server does not answer; 5 timed out; 6 the workflow id is taken;
70 a bug; 130 interrupted. A second SIGTERM or Ctrl-C ends a worker at once, with 143 or 130."""
_COMMANDS: Mapping[str, Mapping[str, str]] = {
    "Run": {
        "worker": "orchestrator.cli.worker:worker",
        "engine": "orchestrator.cli.engine:engine",
        "health": "orchestrator.cli.health:health",
    },
    "Workflows": {
        "start": "orchestrator.cli.workflows:start",
        "result": "orchestrator.cli.workflows:result",
        "list": "orchestrator.cli.listing:list_",
        "count": "orchestrator.cli.listing:count",
        "describe": "orchestrator.cli.inspection:describe",
        "show": "orchestrator.cli.inspection:show",
        "signal": "orchestrator.cli.workflows:signal",
        "update": "orchestrator.cli.updates:update",
        "query": "orchestrator.cli.workflows:query",
        "cancel": "orchestrator.cli.workflows:cancel",
        "terminate": "orchestrator.cli.workflows:terminate",
        "resume": "orchestrator.cli.workflows:resume",
        "activity": "orchestrator.cli.activities:activity",
    },
    "Servers": {
        "doctor": "orchestrator.cli.doctor:doctor",
        "topology": "orchestrator.cli.topology:topology",
        "dead": "orchestrator.cli.dead:dead",
    },
    "Try and measure": {
        "demo": "orchestrator.cli.demo.command:demo",
        "bench": "orchestrator.cli.bench.command:bench",
    },
}
"""Group → name → where the command's function is."""


def run(tokens: list[str]) -> int:
    """Run the command that `tokens` name and return its exit code.

    Raises:
        CommandError: they name no command, or its arguments are wrong.
    """
    app = make_app(plain=not sys.stdout.isatty())
    if not tokens or tokens[0].startswith("-"):
        load_all(app)
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
        help_format="plaintext",
        help_formatter="plain" if plain else "default",
        console=Console(width=_PLAIN_WIDTH, no_color=True) if plain else None,
        version=_version,
        backend="asyncio",
        suppress_keyboard_interrupt=False,
    )
    for number, (title, members) in enumerate(_COMMANDS.items()):
        group = Group(title, sort_key=number)
        for place, (name, where) in enumerate(members.items()):
            app.command(where, name=name, group=group, sort_key=place)
    return app


def load_all(app: App) -> None:
    """Import every command: the overview shows the first line of each one's help."""
    for members in _COMMANDS.values():
        for name in members:
            _ = app[name]


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("orchestrator")
    except PackageNotFoundError:
        return "unknown (not installed)"


def _text(error: CycloptsError) -> str:
    """What cyclopts says, as one line without a full stop."""
    return " ".join(str(error).split()).removesuffix(".")


def _help_call(error: CycloptsError) -> str:
    chain = error.command_chain or ()
    return " ".join(("orchestrator", *chain, "--help"))
