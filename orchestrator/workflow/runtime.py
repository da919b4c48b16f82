"""What workflow code may know and draw: its run, the time, random numbers."""

from __future__ import annotations

import random as _random
import uuid as _uuid
from datetime import datetime

from orchestrator.converter import PayloadConverter
from orchestrator.metering import MetricMeter
from orchestrator.replay.context import current_run, current_run_or_none
from orchestrator.replay.run_info import Info
from orchestrator.units import to_datetime


def info() -> Info:
    """What is known about the run.

    Raises:
        RuntimeError: the caller is not workflow code, as with every function of this module.
    """
    current = current_run()
    return current.info if current.outbound is None else current.outbound.info()


def in_workflow() -> bool:
    """Whether the caller is workflow code."""
    return current_run_or_none() is not None


def now() -> datetime:
    """The time of the current task, aware, UTC; the same on replay."""
    return to_datetime(current_run().now_ms)


def time() -> float:
    """As `now`, in seconds since the epoch."""
    return current_run().now_ms / 1000


def time_ns() -> int:
    """As `now`, in nanoseconds since the epoch."""
    return current_run().now_ms * 1_000_000


def random() -> _random.Random:
    """The run's own generator; the same numbers on replay. Not for secrets."""
    current = current_run()
    current.check_writable("use random numbers")
    return current.randomness.generator


def random_seed() -> int:
    """What the run's generator was seeded with; it follows from the run id."""
    return current_run().randomness.seed


def new_random() -> _random.Random:
    """A generator of its own, for code that must not disturb the sequence of `random`."""
    current = current_run()
    current.check_writable("use random numbers")
    return current.randomness.new()


def uuid4() -> _uuid.UUID:
    """A random UUID of the run's own generator."""
    return _uuid.UUID(int=random().getrandbits(128), version=4)


def uuid7() -> _uuid.UUID:
    """A UUID that sorts by the time of the task; its rest is of the run's own generator."""
    noise = random().getrandbits(74)
    high = (current_run().now_ms & (2**48 - 1)) << 80 | 7 << 76 | (noise >> 62) << 64
    return _uuid.UUID(int=high | 2 << 62 | noise & (2**62 - 1))


def cancellation_reason() -> str | None:
    """What the request for cancellation said; None while there is none."""
    request = current_run().cancel_request
    return None if request is None else request.reason


def metric_meter() -> MetricMeter:
    """The meter of the worker's client, with namespace, task queue and workflow type on each value.
    Nothing is noted on replay, nor in queries."""
    return current_run().metric_meter


def payload_converter() -> PayloadConverter:
    """What converts this run's values; for what dynamic handlers get as RawValue."""
    return current_run().values.payload_converter
