"""Workflows with faults of every kind, and ones without."""

from __future__ import annotations

import asyncio
import datetime as calendar
import os
import os.path as paths
import random
import secrets
import socket
import subprocess
import threading
import time
import time as the_clock
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from datetime import datetime as dt
from pathlib import Path
from time import sleep
from typing import Any
from urllib.parse import quote

from orchestrator import workflow
from orchestrator.common import RetryPolicy
from tests.unit.worker.linted import activities, prices
from tests.unit.worker.linted.activities import Accounts, Deliver, read
from tests.unit.worker.linted.prices import Basket, Letter, Note, Receipt, cached, third, weight

_now = dt.now
_lock = threading.Lock()


@workflow.defn
class Clocks:
    """Asks clocks, by every way to name one."""

    started = time.time()

    @workflow.run
    async def run(self, at: dt, fallback: float = time.time()) -> Any:
        time.time()  # ! time.time
        the_clock.monotonic()  # ! time.monotonic
        dt.now()  # ! datetime.now
        calendar.datetime.utcnow()  # ! datetime.utcnow
        date.today()  # ! date.today
        _now()  # ! datetime.now
        await asyncio.sleep(1)
        sleep(1)  # ! time.sleep  # noqa: ASYNC251
        time.gmtime()  # ! time.gmtime
        time.gmtime(0)
        later = max(1, 2, key=lambda n: n + time.time())  # ! time.time
        clock = the_clock.perf_counter  # ! time.perf_counter

        def nested() -> float:
            return clock() + time.time_ns()  # ! time.time_ns

        from time import process_time as burnt

        burnt()  # ! time.process_time
        return [nested() for _ in range(3) if time.time()], later  # ! time.time

    @workflow.signal
    def add(self) -> None:
        self.added = dt.now(calendar.UTC)  # ! datetime.now

    @workflow.query
    def age(self) -> float:
        return time.time()  # ! time.time


@workflow.defn
class Chances:
    """Throws dice."""

    @workflow.run
    async def run(self) -> Any:
        uuid.uuid4()  # ! uuid.uuid4
        uuid.uuid1()  # ! uuid.uuid1
        uuid.uuid5(uuid.NAMESPACE_DNS, "a")
        random.choice([1])  # ! random.choice
        random.Random()  # ! random.Random()
        random.Random(7).random()
        os.urandom(3)  # ! os.urandom
        secrets.token_hex()  # ! secrets.token_hex
        os.environ["HOME"]  # ! os.environ
        os.environ.get("HOME")  # ! os.environ
        return os.getenv("HOME")  # ! os.getenv


@workflow.defn
class World:
    """Touches files, sockets, processes and threads."""

    @workflow.run
    async def run(self) -> Any:
        open("a")  # ! open  # noqa: ASYNC230, SIM115
        Path("a").read_text()  # ! Path.read_text  # noqa: ASYNC240
        Path.cwd()  # ! Path.cwd
        Path("a").with_suffix(".b")
        paths.exists("a")  # ! os.path.exists  # noqa: ASYNC240
        paths.join("a", "b")
        os.listdir(".")  # ! os.listdir
        os.fspath("a")
        socket.socket(socket.AF_INET)  # ! socket.socket
        subprocess.run(["true"], stdout=subprocess.PIPE)  # ! subprocess.run  # noqa: ASYNC221
        threading.Thread(target=len).start()  # ! threading.Thread
        _lock.acquire()  # ! thread.lock.acquire
        ThreadPoolExecutor(1)  # ! concurrent.futures.ThreadPoolExecutor
        await asyncio.to_thread(len, "")  # ! asyncio.to_thread
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, len, "")  # ! loop.run_in_executor
        try:
            await asyncio.open_connection("a")  # ! asyncio.open_connection
        except TimeoutError:
            quote("a")
        input()  # ! input  # noqa: ASYNC250


@workflow.defn
class Sets:
    """Depends on the order of sets."""

    def __init__(self) -> None:
        self.seen = set()
        self.kept = set()
        self.kept = []

    @workflow.run
    async def run(self, given: set[int], other: list[int]) -> Any:
        for number in {1, 2}:  # ! iteration over a set
            self.seen.add(number)
        for number in set(other):  # ! iteration over a set
            self.seen.add(number)
        for number in given:  # ! iteration over a set
            self.seen.add(number)
        for number in self.seen:  # ! iteration over a set
            other.append(number)
        for number in self.kept:
            other.append(number)
        for color in prices.COLORS:  # ! iteration over a set
            other.append(color)
        local = {1} | given
        local |= {3}
        first = [n + 1 for n in local]  # ! iteration over a set
        second = {n: n for n in frozenset(other)}  # ! iteration over a set
        third = list({1, 2})  # ! iteration over a set
        fourth = ",".join({"a", "b"})  # ! iteration over a set
        fifth = [*given.union(other)]  # ! iteration over a set
        sixth = [n for m in other for n in {m}]  # ! iteration over a set
        for key in second.keys() - given:  # ! iteration over a set
            other.append(key)
        tasks = [asyncio.ensure_future(asyncio.sleep(n)) for n in first]
        await asyncio.wait(tasks)
        for task in asyncio.as_completed(tasks):
            await task
        await asyncio.wait(set(tasks))  # ! iteration over a set
        asyncio.as_completed({asyncio.sleep(1)})  # ! iteration over a set
        await asyncio.gather(*{asyncio.sleep(1)})  # ! iteration over a set
        return third, fourth, fifth, sixth

    @workflow.query
    def fine(self, given: set[int], many: list[int]) -> Any:
        total = sum(n for n in given) + len({n + 1 for n in given}) + max(given)
        listed = sorted(n for n in given)
        once = dict.fromkeys(many)
        for number in once:
            total += number
        for number in (n for n in listed if n in given):
            total += number
        many = list(many)
        return total, any(n > 3 for n in given)


@workflow.defn
class Callers:
    """Is blameless by itself."""

    @workflow.run
    async def run(self, letter: Letter) -> Any:
        basket = Basket()
        prices.price(3)
        prices.even(4)
        weight()
        cached()
        third(2)
        Receipt()
        Note()
        prices.counter.count()
        return basket.listed(), letter


class Base:
    """What workflows of this package have in common."""

    def stamp(self) -> float:
        return time.time()  # ! time.time


@workflow.defn
class Derived(Base):
    """Inherits a fault."""

    @workflow.run
    async def run(self) -> float:
        return self.stamp()


@workflow.defn
class Allowed:
    """Knows what it does."""

    @workflow.run
    async def run(self) -> Any:
        time.time()  # orchestrator: allow
        dt.now()  # orchestrator: allow: for a log line only
        random.choice([1, 2])  # orchestrator: allow (the call ends here)
        with workflow.unsafe.sandbox_unrestricted():
            open("a")  # noqa: ASYNC230, SIM115
            os.listdir(".")
        return time.time()  # ! time.time


@workflow.defn
class Blameless:
    """Does everything in the right way, and names what is not its own."""

    time = 3

    @workflow.run
    async def run(self, time: int, random: list[int]) -> Any:
        workflow.now()
        workflow.time()
        workflow.random().random()
        workflow.uuid4()
        workflow.logger.info("%s", time)
        await workflow.sleep(timedelta(seconds=time))
        await workflow.execute_activity(
            read, "a", start_to_close_timeout=timedelta(1), retry_policy=RetryPolicy()
        )
        await workflow.execute_activity_method(
            Accounts.pay, start_to_close_timeout=timedelta(seconds=1)
        )
        await workflow.execute_activity_class(Deliver, start_to_close_timeout=timedelta(seconds=1))
        await workflow.execute_activity(
            activities.read, "b", result_type=Letter, start_to_close_timeout=timedelta(1)
        )
        random.sort()
        random.append(self.time)
        open = [uuid.UUID(int=3), dt(2020, 1, 1), timedelta(1)]
        open.append(Clocks.run)
        lock = asyncio.Lock()
        async with lock, asyncio.timeout(3):
            await asyncio.wait_for(lock.acquire(), 1)
        return print(open), Path("a") / "b", workflow.wait, Accounts
