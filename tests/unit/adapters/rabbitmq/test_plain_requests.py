"""Which start messages a program publishes again, and when it stops."""

from __future__ import annotations

import asyncio

import aio_pika
import pytest

from orchestrator.adapters.rabbitmq.plain_requests import REPEAT_S, PlainRequests, Unanswered
from orchestrator.ids import Namespace


@pytest.fixture
def unanswered() -> Unanswered:
    made = Unanswered()
    made.add("a", b"A")
    made.add("b", b"B")
    return made


def test_each_request_is_published_at_once_in_the_order_of_asking(unanswered: Unanswered) -> None:
    assert unanswered.take_due(0.0) == [b"A", b"B"]
    assert unanswered.repeats == 0


def test_nothing_is_published_again_too_soon(unanswered: Unanswered) -> None:
    unanswered.take_due(0.0)

    assert unanswered.take_due(REPEAT_S - 0.1) == []


def test_what_nobody_answers_is_published_again(unanswered: Unanswered) -> None:
    unanswered.take_due(0.0)
    assert unanswered.answered("a")

    assert unanswered.take_due(REPEAT_S) == [b"B"]
    assert unanswered.take_due(REPEAT_S * 1.5) == []
    assert unanswered.take_due(REPEAT_S * 2) == [b"B"]
    assert unanswered.repeats == 2


def test_a_lost_connection_makes_everything_due(unanswered: Unanswered) -> None:
    unanswered.take_due(0.0)
    unanswered.answered("b")
    unanswered.connection_lost()

    assert unanswered.take_due(0.1) == [b"A"]
    assert unanswered.repeats == 1


def test_a_second_answer_and_a_strange_one_say_nothing(unanswered: Unanswered) -> None:
    assert unanswered.answered("a")
    assert not unanswered.answered("a")
    assert not unanswered.answered("x")
    assert len(unanswered) == 1


async def test_a_connection_that_fails_while_it_is_left_does_not_keep_the_publisher_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = asyncio.Event()

    async def connect(url: str, timeout: float) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise ConnectionError("the close was not answered")

    monkeypatch.setattr(aio_pika, "connect", connect)
    requests = PlainRequests(
        "amqp://", Namespace("n"), routing_key="start", on_answer=lambda name, answer: None
    )
    publishing = asyncio.create_task(requests.run())
    await begun.wait()
    publishing.cancel()
    await asyncio.wait((publishing,), timeout=5)
    assert publishing.cancelled()
