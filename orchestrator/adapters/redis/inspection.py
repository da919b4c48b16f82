"""How a person looks at a run with `redis-cli`: the commands, with the run's own keys.

Only reads. The program that prints them stays free of key names, and the documentation that shows
them is made from here.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from orchestrator.adapters.redis.keys import Keys
from orchestrator.ids import RunId, WorkflowId


def reading_commands(
    keys: Keys, workflow_id: WorkflowId, run_id: RunId
) -> Sequence[tuple[str, tuple[str, ...]]]:
    """What each command shows, and the command: the history first, then what goes with it."""
    shard = keys.shard(workflow_id)

    def of_run(what: str) -> str:
        return keys.of_run(what, workflow_id, run_id)

    def of_id(what: str) -> str:
        return keys.of_shard(shard, f"{what}:{workflow_id}")

    return [
        ("the history, event by event", ("XRANGE", of_run("history"), "-", "+")),
        ("what does not change, and how it ended", ("HGETALL", of_run("run"))),
        ("the head of the newest run of this workflow id", ("HGETALL", of_id("current"))),
        ("what arrived and was not looked at yet", ("XRANGE", of_id("inbox"), "-", "+")),
        ("the attempts of activities", ("HGETALL", of_run("activities"))),
        ("its updates: accepted and completed by which events", ("HGETALL", of_run("updates"))),
        (
            "when its wake-up is repeated (epoch ms), if it is to be looked at",
            ("ZSCORE", keys.of_shard(shard, "wakeups"), workflow_id),
        ),
    ]


def redis_cli_lines(url: str, keys: Keys, workflow_id: WorkflowId, run_id: RunId) -> Sequence[str]:
    """The commands as lines for a shell, each under a comment; no line holds the password."""
    parts = urlsplit(url)
    server = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
    client = ["redis-cli", "-u", server]
    if parts.username:
        client += ["--user", unquote(parts.username)]
    lines = ["# export REDISCLI_AUTH=<the password> first"] if parts.password else []
    for what, command in reading_commands(keys, workflow_id, run_id):
        lines += [f"# {what}", shlex.join([*client, *command])]
    return lines
