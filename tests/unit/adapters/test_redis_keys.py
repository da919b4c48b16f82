"""Key names: frozen, because a running namespace depends on them."""

from __future__ import annotations

import pytest

from orchestrator.adapters.redis.connection import Connection
from orchestrator.adapters.redis.keys import Keys, member, read_member, read_row, row
from orchestrator.ids import Namespace, RunId, ShardId, WorkflowId
from orchestrator.ports.store import DueKind


def test_keys_carry_their_shard_as_hash_tag() -> None:
    keys = Keys(Namespace("shop"), 1)
    assert keys.of_shard(ShardId(7), "timers") == "orc:{shop:07}:timers"
    assert keys.for_script(WorkflowId("order-1"), RunId("r"))[3] == "orc:{shop:00}:current:order-1"
    history = keys.of_run("history", WorkflowId("a:b"), RunId("c:d%"))
    assert history == "orc:{shop:00}:history:a:b:c%3Ad%25"


@pytest.mark.parametrize(("workflow_id", "run_id"), [("a:b", "c"), ("a", "b:c"), ("a%3A", "%:")])
def test_a_member_is_read_as_it_was_written(workflow_id: str, run_id: str) -> None:
    names = (WorkflowId(workflow_id), RunId(run_id))
    assert read_member(member(*names)) == names
    read = read_row(row(DueKind.TIMER, *names, 5), 9)
    assert (read.workflow_id, read.run_id, read.event_id, read.due_at_ms) == (*names, 5, 9)


def test_a_shown_url_hides_its_password() -> None:
    assert "secret" not in Connection("redis://me:secret@127.0.0.1:1/0").shown_url
