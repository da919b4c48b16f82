"""What replays the histories of all tests here finds code that cannot replay."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestrator import workflow
from orchestrator.replay.control import NondeterminismError
from orchestrator.testing import WorkflowEnvironment
from orchestrator.worker import Worker
from tests.replayed import Replays

QUEUE = "replayed"


@workflow.defn
class Fickle:
    """Does something else each time that its code runs."""

    times = 0

    @workflow.run
    async def run(self) -> str:
        type(self).times += 1
        if type(self).times == 1:
            await workflow.sleep(timedelta(seconds=1))
        return "done"


@workflow.defn
class Steady:
    @workflow.run
    async def run(self) -> str:
        await workflow.sleep(timedelta(seconds=1))
        return "done"


async def replays_of(cls: type[Fickle] | type[Steady]) -> Replays:
    replays = Replays()
    with pytest.MonkeyPatch.context() as patch:
        replays.watch(patch)
        async with (
            await WorkflowEnvironment.start_time_skipping() as env,
            Worker(env.client, task_queue=QUEUE, workflows=[cls]),
        ):
            run = env.client.execute_workflow(cls.run, id="one", task_queue=QUEUE)
            assert await run == "done"
    return replays


async def test_every_run_of_a_worker_is_replayed() -> None:
    assert await (await replays_of(Steady)).replay() == 1


@pytest.mark.not_replayed("its code is fickle")
async def test_code_that_does_something_else_is_found() -> None:
    replays = await replays_of(Fickle)
    with pytest.raises(NondeterminismError):
        await replays.replay()
