"""The lines for redis-cli name a run's own keys, quote them for a shell, and hide the password."""

from __future__ import annotations

import shlex

from orchestrator.adapters.redis.inspection import redis_cli_lines
from orchestrator.adapters.redis.keys import Keys
from orchestrator.ids import Namespace, RunId, WorkflowId

KEYS = Keys(Namespace("default"), 128)


def lines(url: str, workflow_id: str = "order 1") -> list[str]:
    return list(redis_cli_lines(url, KEYS, WorkflowId(workflow_id), RunId("r")))


def test_the_history_comes_first_and_every_line_is_a_command_or_says_what_it_shows() -> None:
    comment, command, *rest = lines("redis://127.0.0.1:6379/0")
    assert comment == "# the history, event by event"
    key = KEYS.of_run("history", WorkflowId("order 1"), RunId("r"))
    assert shlex.split(command) == [
        "redis-cli",
        "-u",
        "redis://127.0.0.1:6379/0",
        "XRANGE",
        key,
        "-",
        "+",
    ]
    assert all(line.startswith(("# ", "redis-cli -u ")) for line in rest)


def test_no_line_holds_the_password_and_one_says_where_it_goes() -> None:
    first, _, command, *_ = lines("rediss://worker:gehe%21m@h:7000/2?ssl_cert_reqs=none")
    assert "REDISCLI_AUTH" in first
    assert shlex.split(command)[:5] == ["redis-cli", "-u", "rediss://h:7000/2", "--user", "worker"]
    assert not any("gehe" in line for line in lines("redis://:gehe%21m@h/0"))
