"""The first workflow a newcomer reads."""

from __future__ import annotations

from orchestrator.testing import WorkflowEnvironment
from orchestrator.worker import Worker
from workers.greeter import app
from workers.greeter.workflows import Greeting


async def test_the_greeter_greets() -> None:
    async with (
        await WorkflowEnvironment.start_time_skipping() as env,
        Worker(
            env.client,
            task_queue=app.task_queue,
            workflows=app.workflows,
            activities=app.activities,
        ),
    ):
        greeting = await env.client.execute_workflow(
            Greeting.run, "world", id="greeting", task_queue=app.task_queue
        )

    assert greeting == "Hello, world!"
