"""Settings → adapters → the services of one process. The only place where ports meet adapters."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import socket
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from random import Random

from orchestrator.adapters.memory.broker import MemoryBroker
from orchestrator.adapters.memory.clock import SystemClock
from orchestrator.adapters.memory.store import MemoryStore
from orchestrator.adapters.rabbitmq import definitions
from orchestrator.adapters.rabbitmq import facts as facts_of_rabbitmq
from orchestrator.adapters.rabbitmq.broker import RabbitBroker
from orchestrator.adapters.rabbitmq.facts import RabbitFacts
from orchestrator.adapters.rabbitmq.topology import QueueType
from orchestrator.adapters.redis import facts as facts_of_redis
from orchestrator.adapters.redis import inspection
from orchestrator.adapters.redis.facts import RedisFacts
from orchestrator.adapters.redis.keys import Keys
from orchestrator.adapters.redis.store import RedisStore
from orchestrator.config import Settings
from orchestrator.exceptions import MisconfiguredError, UnavailableError
from orchestrator.ids import Namespace, ProcessName, RunId, TaskQueue, WorkflowId
from orchestrator.ports.broker import (
    ActivityQueue,
    Broker,
    DeadQueue,
    OnMade,
    Queue,
    RequestsQueue,
    WorkflowQueue,
)
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import Store
from orchestrator.relay.dispatch import Dispatcher
from orchestrator.telemetry.metrics import Counters

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")


@contextmanager
def _as_it_is() -> Generator[None, None, None]:
    """Time passes as it does."""
    yield


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What clients, workers and the engine of one process work with.

    `waiting` is entered around a wait for the end of a run: an environment of tests lets time be
    skipped meanwhile.
    """

    settings: Settings
    store: Store
    broker: Broker
    clock: Clock
    counters: Counters = field(default_factory=Counters)
    waiting: Callable[[], AbstractContextManager[None]] = _as_it_is
    after_failover: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])
    """Called when the store is found to be another server than before: what it last acknowledged
    may be gone."""
    after_loss: list[OnMade] = field(default_factory=list[OnMade])
    """Told of queues that had to be made anew: what they held is gone."""
    mint: Callable[[], str] = lambda: secrets.token_hex(16)
    """Fresh random texts for tokens, keys and ids."""

    @property
    def namespace(self) -> Namespace:
        """The namespace of this process."""
        return Namespace(self.settings.connection.namespace)

    @property
    def dispatcher(self) -> Dispatcher:
        """Publishes what the store answered."""
        return Dispatcher(self.broker, self.namespace)

    async def open(self) -> None:
        """Connect to both servers, or to none.

        Raises:
            UnavailableError: one does not answer within 5 s.
            MisconfiguredError: one cannot keep the promises, or the namespace's settings differ.
        """
        answers = await asyncio.gather(
            self.store.open(), self.broker.open(), return_exceptions=True
        )
        problems = [answer for answer in answers if isinstance(answer, BaseException)]
        if problems:
            await self.close()
            raise _all_of(problems)

    async def close(self) -> None:
        """Disconnect. Never fails."""
        await asyncio.gather(self.broker.close(), self.store.close(), return_exceptions=True)


def _all_of(problems: Sequence[BaseException]) -> BaseException:
    """What to raise when both servers may have a problem: who mends one wants to know the other."""
    away = [str(problem) for problem in problems if isinstance(problem, UnavailableError)]
    return UnavailableError("; ".join(away)) if len(away) > 1 else problems[0]


def services_of(settings: Settings) -> Services:
    """The adapters that `settings` name, not yet connected.

    `memory://` gives an engine of its own each time: share the `Services`, not the URL.
    """
    connection, engine = settings.connection, settings.engine
    namespace, clock = Namespace(connection.namespace), SystemClock()
    counters = Counters()
    after_failover, after_loss = list[Callable[[], None]](), list[OnMade]()

    def tell_loss(queues: Sequence[Queue]) -> None:
        for told in tuple(after_loss):
            told(queues)

    if connection.embedded:
        return Services(
            settings=settings,
            store=MemoryStore(
                now_ms=clock.now_ms,
                random=Random(secrets.randbits(64)),
                namespace=namespace,
                shards=engine.shards,
                retention_ms=engine.retention_ms,
            ),
            broker=MemoryBroker(),
            clock=clock,
        )
    return Services(
        settings=settings,
        store=RedisStore(
            connection.store,
            namespace=namespace,
            shards=engine.shards,
            queue_type=engine.queue_type,
            retention_ms=engine.retention_ms,
            counters=counters,
            on_time=clock.learn,
            on_failover=lambda: _call_all(after_failover),
        ),
        broker=RabbitBroker(
            connection.broker,
            namespace,
            queue_type=QueueType(engine.queue_type),
            counters=counters,
            on_made=tell_loss,
        ),
        clock=clock,
        counters=counters,
        after_failover=after_failover,
        after_loss=after_loss,
    )


def _call_all(callbacks: list[Callable[[], None]]) -> None:
    for callback in tuple(callbacks):
        callback()


async def redis_facts(settings: Settings) -> RedisFacts:
    """What the Redis of `settings` says of itself; raises as `adapters.redis.facts`."""
    return await facts_of_redis.read_facts(settings.connection.store)


async def rabbitmq_facts(settings: Settings, task_queues: Sequence[str]) -> RabbitFacts:
    """What the RabbitMQ of `settings` says of itself, of the shared queues and of those of
    `task_queues`; raises as `adapters.rabbitmq.facts`."""
    queues: list[Queue] = [RequestsQueue(), DeadQueue()]
    for name in task_queues:
        queues += [WorkflowQueue(TaskQueue(name)), ActivityQueue(TaskQueue(name))]
    connection = settings.connection
    return await facts_of_rabbitmq.read_facts(
        connection.broker, Namespace(connection.namespace), queues
    )


def rabbitmq_definitions(
    settings: Settings, task_queues: Sequence[TaskQueue], *, passwords: Mapping[str, str] | None
) -> str:
    """The text of a definitions file; with passwords also users and their rights.

    Raises:
        MisconfiguredError: a user has no password.
    """
    namespace = Namespace(settings.connection.namespace)
    queue_type = QueueType(settings.engine.queue_type)
    if passwords is None:
        content: Mapping[str, object] = definitions.declarations(namespace, task_queues, queue_type)
    else:
        content = definitions.definitions(namespace, task_queues, queue_type, passwords=passwords)
    return definitions.as_file(content)


def redis_cli_lines(settings: Settings, workflow_id: str, run_id: str) -> Sequence[str]:
    """Lines for a shell that show a run with redis-cli.

    Raises:
        MisconfiguredError: the store is this process's memory, where no other program can look.
    """
    connection = settings.connection
    if connection.embedded:
        raise MisconfiguredError("there is no Redis to look into: the store is memory://")
    keys = Keys(Namespace(connection.namespace), settings.engine.shards)
    return inspection.redis_cli_lines(
        connection.store, keys, WorkflowId(workflow_id), RunId(run_id)
    )


def new_process_name() -> ProcessName:
    """`<host>-<pid>-<random>`: names one incarnation of one process, or of a worker in it."""
    host = _NOT_IN_A_NAME.sub("-", socket.gethostname())[:40] or "host"
    return ProcessName(f"{host}-{os.getpid()}-{secrets.token_hex(4)}")
