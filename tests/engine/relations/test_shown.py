"""Children in the tables of the command line."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from orchestrator.cli.inspection import write_description, write_timeline
from orchestrator.client import Client, WorkflowHandle
from orchestrator.workflow import ParentClosePolicy
from tests.engine.relations.seen import waiting
from tests.engine.relations.workflows import QUEUE, Parent, Plan, Waiting

HEADER = ["CHILD", "EVENT", "RUN", "WHEN THE PARENT CLOSES"]


def table(printed: str) -> list[list[str]]:
    """The last table, by its columns: they are two spaces apart, or more."""
    rows = [
        [cell.strip() for cell in line.split("  ") if cell.strip()] for line in printed.splitlines()
    ]
    return rows[rows.index(HEADER) :] if HEADER in rows else []


async def until_started(parent: WorkflowHandle[Parent, Any]) -> None:
    """Wait until the parent knows that its child exists."""
    for _ in range(100_000):
        children = (await parent.describe()).pending_children
        if children and children[0].run_id is not None:
            return
        await asyncio.sleep(0)
    raise AssertionError("the child is not known to exist")


async def test_a_child_is_shown_while_it_is_pending(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = Plan(child="Waiting", parent_close_policy=ParentClosePolicy.ABANDON)
    parent = await client.start_workflow(Parent.run, plan, id="parent", task_queue=QUEUE)
    child = await waiting(client)
    await until_started(parent)
    run_id = (await child.describe()).run_id
    shown = [HEADER, ["Waiting (child)", "5", run_id, "abandon"]]
    write_description(await parent.describe(), {}, "")
    assert table(capsys.readouterr().out) == shown
    await write_timeline(parent, (await parent.fetch_history()).events)
    assert table(capsys.readouterr().out) == shown
    write_description(await child.describe(), {}, "")
    printed = capsys.readouterr().out
    assert table(printed) == []
    assert f"parent, run {(await parent.describe()).run_id}" in printed
    await child.signal(Waiting.end)
    await parent.result()
    write_description(await parent.describe(), {}, "")
    assert table(capsys.readouterr().out) == []
