"""Plugins change how clients, workers and Replayers are made, in the order given."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from orchestrator.client import Client, ClientConfig, ClientConnectConfig, WorkflowHistory
from orchestrator.client import Plugin as ClientPlugin
from orchestrator.contrib.compression import CompressionCodec
from orchestrator.plugin import SimplePlugin
from orchestrator.worker import (
    Plugin,
    Replay,
    Replayer,
    ReplayerConfig,
    Run,
    Worker,
    WorkerConfig,
    WorkflowReplayResult,
)
from tests.engine.conftest import OpenEnv
from tests.engine.interceptors.watched import ACTIVITIES, QUEUE, Talk, Watching, greet


class Noting(ClientPlugin, Plugin):
    """Writes down what it is asked."""

    def __init__(self, mark: str, seen: list[str]) -> None:
        self.mark = mark
        self.seen = seen

    def configure_client(self, config: ClientConfig) -> ClientConfig:
        self.seen.append(f"{self.mark} client")
        return ClientConfig(**{**config, "identity": f"{config['identity']}{self.mark}"})

    def configure_worker(self, config: WorkerConfig) -> WorkerConfig:
        self.seen.append(f"{self.mark} worker")
        return WorkerConfig(**{**config, "task_queue": config["task_queue"] + self.mark})

    async def run_worker(self, worker: Worker, next: Run) -> None:
        self.seen.append(f"{self.mark} runs")
        await next(worker)
        self.seen.append(f"{self.mark} ran")

    @asynccontextmanager
    async def run_replayer(
        self, replayer: Replayer, histories: AsyncIterator[WorkflowHistory], next: Replay
    ) -> AsyncGenerator[AsyncIterator[WorkflowReplayResult], None]:
        async with next(replayer, self.watched(histories)) as results:
            yield results
        self.seen.append(f"{self.mark} replayed")

    async def watched(
        self, histories: AsyncIterator[WorkflowHistory]
    ) -> AsyncIterator[WorkflowHistory]:
        async for history in histories:
            self.seen.append(f"{self.mark} replays {history.workflow_id}")
            yield history


async def test_each_plugin_sees_what_those_before_have_made(open_env: OpenEnv) -> None:
    seen: list[str] = []
    async with open_env() as env:
        plugins = [Noting("a", seen), Noting("b", seen)]
        client = Client(env.client.services, identity="me-", plugins=plugins)
        assert client.identity == "me-ab"
        worker = Worker(client, task_queue="q", activities=[greet], plugins=[Noting("c", seen)])
        assert worker.task_queue == "qabc"
        async with worker:
            pass
    assert seen == [
        *("a client", "b client"),
        *("a worker", "b worker", "c worker"),
        *("a runs", "b runs", "c runs"),
        *("c ran", "b ran", "a ran"),
    ]


async def test_a_plugin_made_of_parts_adds_them_everywhere(open_env: OpenEnv) -> None:
    seen: list[str] = []
    entered: list[str] = []

    @asynccontextmanager
    async def context() -> AsyncIterator[None]:
        entered.append("in")
        yield
        entered.append("out")

    plugin = SimplePlugin(
        "everything",
        data_converter=lambda given: replace(given, payload_codec=CompressionCodec()),
        interceptors=[Watching("x", seen)],
        workflows=[Talk],
        activities=[greet],
        workflow_failure_exception_types=[LookupError],
        run_context=context,
    )
    async with open_env() as env:
        client = Client(env.client.services, plugins=[plugin])
        assert client.data_converter.has_codec
        async with Worker(client, task_queue=QUEUE):
            assert entered == ["in"]
            handle = await client.start_workflow(Talk.run, "A" * 5_000, id="t", task_queue=QUEUE)
            await handle.signal(Talk.say, "hm")
            assert len((await handle.result())[0]) > 5_000
            history = await handle.fetch_history()
    assert entered == ["in", "out"]
    assert "A" * 100 not in history.to_json()
    assert seen.count("x run Talk ['" + "A" * 5_000 + "'] x") == 1  # not added twice
    await Replayer(workflows=[], plugins=[plugin]).replay_workflow(history)
    assert entered == ["in", "out"] * 2
    assert plugin.name() == "everything"


async def test_a_client_can_be_made_of_the_configuration_of_another(open_env: OpenEnv) -> None:
    async with open_env() as env:
        first = Client(env.client.services, identity="me")
        assert Client(**first.config()).identity == "me"


def test_the_configurations_mirror_the_signatures() -> None:
    for made, config in (
        (Worker, WorkerConfig),
        (Replayer, ReplayerConfig),
        (Client, ClientConfig),
    ):
        parameters = set(inspect.signature(made).parameters) - {"plugins"}
        assert parameters == set(config.__annotations__) - {"plugins"}, made
    assert set(ClientConnectConfig.__annotations__) < set(
        inspect.signature(Client.connect).parameters
    )


async def test_a_worker_can_be_made_of_the_configuration_of_another(open_env: OpenEnv) -> None:
    async with open_env() as env:
        plugins = [Noting("x", [])]
        first = Worker(env.client, task_queue="q", activities=[greet], plugins=plugins)
        assert first.task_queue == "qx"
        assert first.config()["task_queue"] == "q"
        assert Worker(**first.config()).task_queue == "qx"


async def test_plugins_stand_around_replays_outermost_first(open_env: OpenEnv) -> None:
    seen: list[str] = []
    async with open_env() as env, Worker(env.client, task_queue=QUEUE, workflows=[Talk]):
        handle = await env.client.start_workflow(Talk.run, "a", id="t", task_queue=QUEUE)
        await handle.signal(Talk.say, "hm")
        await handle.terminate()
        history = await handle.fetch_history()
    first = Replayer(workflows=[Talk], plugins=[Noting("a", seen), Noting("b", seen)])
    replayer = Replayer(**first.config())
    await replayer.replay_workflow(history)
    assert seen == ["a replays t", "b replays t", "b replayed", "a replayed"]
    await replayer.replay_workflows([history, history])
    assert seen[4:8] == ["a replays t", "b replays t"] * 2


def test_what_a_worker_lacks_is_still_said() -> None:
    with pytest.raises(TypeError, match="task_queue"):
        Worker(object(), activities=ACTIVITIES)  # type: ignore[call-arg, arg-type]  # the mistakes
