"""What the bench measures by, without servers."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess

import pytest

from orchestrator.cli.bench.command import burned_text, report_text
from orchestrator.cli.bench.meter import Meter, Reading, children_of, cpu_us, listener_of
from orchestrator.cli.bench.run import Burned, Measured, Plan, Report
from orchestrator.cli.bench.workload import Latencies, in_flight


def test_a_percentile_is_a_value_that_was_measured() -> None:
    latencies = Latencies(tuple(float(number) for number in range(101)))
    assert [latencies.percentile(p) for p in (0, 50, 95, 99, 100)] == [0, 50, 95, 99, 100]


def test_percentiles_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="no latencies"):
        Latencies(()).percentile(50)


async def test_as_many_are_in_flight_as_asked_and_each_once() -> None:
    running = most = 0
    seen: list[int] = []

    async def call(number: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        seen.append(number)
        await asyncio.sleep(0)
        running -= 1

    latencies = await in_flight(call, count=20, at_a_time=4)
    assert (sorted(seen), most, len(latencies.sorted_ms)) == (list(range(20)), 4, 20)


def test_work_of_this_process_is_metered_and_a_stranger_s_is_not() -> None:
    with Meter({"me": [os.getpid()], "nobody": []}) as meter:
        sum(number * number for number in range(200_000))
    assert set(meter.reading.cpu_us) == {"me"}
    assert meter.reading.cpu_us["me"] > 0
    assert cpu_us(2**30) == 0


def test_a_listener_of_this_machine_is_found_by_its_url() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert listener_of(f"redis://127.0.0.1:{port}/0") == (os.getpid(),)
    assert listener_of("redis://redis.invalid:6379/0") == ()
    with subprocess.Popen(["sleep", "60"]) as child:
        assert child.pid in children_of(os.getpid())
        child.kill()
    assert child.pid not in children_of(os.getpid())


def test_a_report_names_what_each_process_took() -> None:
    one = Measured.of(Reading(2.0, {"client": 4000, "redis": 1000}), count=10)
    report = Report(
        plan=Plan(runs=10, worker_processes=0),
        loaded=one,
        loaded_ms={"p50": 1.5},
        idle=one,
        idle_ms={"p50": 2.5},
        raw=Measured.of(Reading(1.0, {"client": 2000}), count=10),
        ratio=2.5,
        calls={"redis_scripts": 5.0, "none": 0.0},
    )
    text = report_text(report)
    assert "loaded                           5.0         400         100         500" in text
    assert "raw calls                       10.0         200           -         200" in text
    assert "2.50 times" in text
    assert "calls per workflow: redis_scripts 5.0" in text
    assert "none" not in text


def test_two_processes_are_compared_to_one() -> None:
    text = burned_text(Burned(activities=16, each_ms=250, seconds={1: 4.0, 2: 2.0}))
    assert "2 worker process(es): 2.00 s (2.00 times as fast)" in text
