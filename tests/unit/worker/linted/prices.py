"""Functions and classes that the workflows name."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec


def price(count: int) -> float:
    return count * _dollar()


def _dollar() -> float:
    return random.random()  # ! random.random


def even(number: int) -> bool:
    return number == 0 or odd(number - 1)


def odd(number: int) -> bool:
    return number != 0 and even(number - 1) and time.time() > 0  # ! time.time


def never_named() -> float:
    return time.time()


def measured(function: Callable[[], Any]) -> Callable[[], Any]:
    @functools.wraps(function)
    def call() -> Any:
        began = time.perf_counter()  # ! time.perf_counter
        return function(), began

    return call


@measured
def weight() -> int:
    return random.randint(1, 2)  # ! random.randint


@functools.cache
def cached() -> float:
    return time.monotonic()  # ! time.monotonic


third = functools.partial(lambda a, b: (a, b, time.time_ns()), 1)  # ! time.time_ns


class Basket:
    """A class of its own, made by a workflow."""

    sizes: frozenset[int] = frozenset({1, 2})

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.items: list[str] = []
        self.mixed: Any = set()

    def listed(self) -> list[str]:
        self.mixed = []
        return [name.title() for name in self.names]  # ! iteration over a set

    @property
    def age(self) -> float:
        return datetime.now().timestamp()  # ! datetime.now

    @staticmethod
    def of_today() -> str:
        return str(datetime.today())  # ! datetime.today

    @classmethod
    def fresh(cls) -> str:
        return str(uuid4())  # ! uuid.uuid4

    def fine(self) -> list[str]:
        for size in sorted(self.sizes):
            self.items.append(str(size))
        for size in self.mixed:
            self.items.append(size)
        for size in self.sizes:  # ! iteration over a set
            self.items.append(str(size))
        return self.items


@dataclass
class Receipt:
    """Made by a workflow, with an id of its own."""

    number: UUID = field(default_factory=uuid4)  # ! uuid.uuid4
    lines: list[str] = field(default_factory=list)


class Note(msgspec.Struct):
    """As a receipt."""

    made: float = msgspec.field(default_factory=time.time)  # ! time.time


@dataclass
class Letter:
    """Only read by the workflow, made elsewhere."""

    number: UUID = field(default_factory=uuid4)


class Counter:
    """One object of it lives in the module."""

    def count(self) -> float:
        return time.time()  # ! time.time


counter = Counter()
COLORS = {"red", "green"}
