"""Workflows that block, loop for ever or reach out, and what they should have been."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

from orchestrator import workflow

_NEVER = threading.Event()


@workflow.defn
class Locks:
    """Blocks its thread by a lock, which no Python audits."""

    @workflow.run
    async def run(self) -> None:
        _NEVER.wait()


@workflow.defn
class Waits:
    """Blocks its thread by the standard name."""

    @workflow.run
    async def run(self) -> None:
        time.sleep(3600)  # noqa: ASYNC251  # what is tested


@workflow.defn
class Reads:
    """Reads from a socket."""

    @workflow.run
    async def run(self) -> None:
        ours, _theirs = socket.socketpair()
        ours.recv(1)


@workflow.defn
class Forks:
    """Starts a thread."""

    @workflow.run
    async def run(self) -> None:
        threading.Thread(target=time.monotonic).start()


@workflow.defn
class Spins:
    """Computes for ever."""

    @workflow.run
    async def run(self) -> None:
        while True:
            pass


@workflow.defn
class SpinsAside:
    """Never computes for long and never rests: a task of its own yields for ever."""

    @workflow.run
    async def run(self) -> None:
        async def yield_for_ever() -> None:
            while True:  # noqa: ASYNC110  # what is tested
                await asyncio.sleep(0)

        aside = asyncio.create_task(yield_for_ever())
        await aside


@workflow.defn
class SwallowsAll:
    """Blocks, and catches everything."""

    @workflow.run
    async def run(self) -> None:
        while True:
            try:
                _NEVER.wait()
            except BaseException:
                continue


@workflow.defn
class BlocksLate:
    """Blocks in a signal's handler."""

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.signal
    def add(self, item: str) -> None:
        _NEVER.wait()


@workflow.defn(name="BlocksLate")
class ComesLate:
    """What `BlocksLate` should have been."""

    def __init__(self) -> None:
        self.items: list[str] = []

    @workflow.run
    async def run(self) -> str:
        await workflow.wait_condition(lambda: bool(self.items))
        return self.items[0]

    @workflow.signal
    def add(self, item: str) -> None:
        self.items.append(item)


BLOCKING = (Locks, Spins, SpinsAside, SwallowsAll)
REACHING = (Waits, Reads, Forks)


@workflow.defn(name="Corrected")
class Corrected:
    """What each of them should have been."""

    @workflow.run
    async def run(self) -> str:
        await workflow.sleep(1)
        return "done"


def corrected(name: str) -> type:
    """The class that a deploy puts in the place of the workflow `name`."""
    return workflow.defn(name=name)(type("Corrected", (), {"run": Corrected.run}))
