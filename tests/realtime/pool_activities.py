"""Activities for a pool of processes: found there by their names."""

from __future__ import annotations

import os
import threading

from orchestrator import activity
from orchestrator.exceptions import CancelledError


class Stubborn(Exception):
    """An error that does not survive pickling."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__("it is stubborn")
        self.lock = threading.Lock()


@activity.defn
def pid() -> int:
    return os.getpid()


@activity.defn
def look(factor: int = 2) -> list[object]:
    found = activity.info()
    converted = activity.payload_converter().to_payload(factor).content().decode()
    return [found.activity_type, found.attempt, list(found.heartbeat_details), converted]


@activity.defn
def wait() -> str:
    activity.heartbeat("waiting")
    activity.wait_for_cancelled_sync(timeout=20)
    if not activity.is_cancelled():
        return "never"
    raise CancelledError("stopped", str(activity.cancellation_details()))


@activity.defn
def wait_for_shutdown() -> str:
    activity.heartbeat("waiting")
    activity.wait_for_worker_shutdown_sync(timeout=20)
    return f"{activity.is_worker_shutdown()} {activity.is_cancelled()}"


@activity.defn
def fail_after_beating() -> None:
    for number in range(50):
        activity.heartbeat(number)
    raise Stubborn(1, 2)


@activity.defn
def beat_with_a_lock() -> str:
    with activity.shield_thread_cancel_exception():
        activity.heartbeat(threading.Lock())
    if activity.is_cancelled():
        raise CancelledError
    return "never"


@activity.defn
def give_a_lock() -> object:
    return threading.Lock()


@activity.defn
def die() -> None:
    os._exit(1)


class Counter:
    def __init__(self, start: int) -> None:
        self.start = start

    @activity.defn
    def count_from(self, number: int) -> int:
        return self.start + number
