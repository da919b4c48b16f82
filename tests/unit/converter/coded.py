"""A codec that tells what it was given, and workflows whose every value goes through it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from orchestrator import activity, workflow
from orchestrator.common import RetryPolicy
from orchestrator.converter import Payload, PayloadCodec
from orchestrator.exceptions import ActivityError, ApplicationError

QUEUE = "coded"
SECRET = "a secret"
_ENCODING = "binary/reversed"


class ReversingCodec(PayloadCodec):
    """Turns payloads around; asks the event loop for a turn each time, as real codecs do."""

    def __init__(self) -> None:
        self.is_broken = False
        self.refused: bytes | None = None
        self.seen_in_workflow = False
        self.decoded = 0

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        await self._wait()
        if self.refused and any(self.refused in payload.content() for payload in payloads):
            raise ValueError("refused")
        return [
            Payload.of_bytes(payload.to_bytes()[::-1], encoding=_ENCODING) for payload in payloads
        ]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        await self._wait()
        self.decoded += len(payloads)
        return [
            Payload.from_bytes(payload.content()[::-1])
            if payload.encoding == _ENCODING
            else payload
            for payload in payloads
        ]

    async def _wait(self) -> None:
        self.seen_in_workflow = self.seen_in_workflow or workflow.in_workflow()
        await asyncio.sleep(0)
        if self.is_broken:
            raise KeyError("the key is gone")


@activity.defn
async def whisper(word: str) -> str:
    """Beats with the word, and fails once with it."""
    found = activity.info()
    if found.attempt == 1:
        activity.heartbeat(word)
        raise ApplicationError(f"not {word}", word, type="Failed")
    return f"{word} after {found.heartbeat_details[0]}"


@activity.defn
async def shout(word: str) -> None:
    """Fails for good."""
    raise ApplicationError(f"loud: {word}", word, type="Loud", non_retryable=True)


@workflow.defn
class Whispering:
    """Keeps a word from everybody else."""

    def __init__(self) -> None:
        self.words: list[str] = []

    @workflow.run
    async def run(self, word: str) -> list[str]:
        """Its memo, an activity's result, a caught failure, then a signal."""
        self.words.append(workflow.memo_value("word", type_hint=str))
        self.words.append(
            await workflow.execute_activity(
                whisper,
                word,
                start_to_close_timeout=timedelta(minutes=1),
                retry_policy=RetryPolicy(initial_interval=timedelta(seconds=1)),
            )
        )
        try:
            await workflow.execute_activity(
                shout, word, start_to_close_timeout=timedelta(minutes=1)
            )
        except ActivityError as error:
            if isinstance(error.cause, ApplicationError):
                self.words += [error.cause.message, error.cause.details[0]]
        await workflow.wait_condition(lambda: "over" in self.words)
        return self.words

    @workflow.signal
    def add(self, word: str) -> None:
        """One more word."""
        self.words.append(word)

    @workflow.query
    def with_prefix(self, prefix: str) -> list[str]:
        """The words so far."""
        return [f"{prefix}{word}" for word in self.words]


@workflow.defn
class Failing:
    """Fails with a secret."""

    @workflow.run
    async def run(self, word: str) -> None:
        """As it says."""
        try:
            raise ValueError(f"inner {word}")
        except ValueError as error:
            raise ApplicationError(f"outer {word}", word, type="Outer") from error


@workflow.defn
class Continuing:
    """Hands its values over to its successor."""

    @workflow.run
    async def run(self, word: str, left: int) -> str:
        """The memo comes along untouched."""
        if left:
            workflow.continue_as_new(args=[word, left - 1])
        note = workflow.memo_value("word", type_hint=str)
        return f"{word} and {note}"


@activity.defn
async def pulse() -> str:
    """Beats with what cannot be encoded, and waits to be stopped."""
    activity.heartbeat("unspeakable")
    await activity.wait_for_cancelled()
    await asyncio.sleep(60)
    return "not stopped"


@workflow.defn
class Pulsing:
    """Tells how an activity ended."""

    @workflow.run
    async def run(self) -> str:
        """One attempt."""
        try:
            return await workflow.execute_activity(
                pulse,
                start_to_close_timeout=timedelta(minutes=1),
                retry_policy=RetryPolicy(maximum_attempts=1),
            )
        except ActivityError as error:
            return str(error.cause)


@workflow.defn
class Family:
    """Hands a word to a local activity, to a child and back."""

    @workflow.run
    async def run(self, word: str) -> list[str]:
        """What each made of it."""
        workflow.upsert_memo({"later": word})
        local = await workflow.execute_local_activity(
            echo, word, start_to_close_timeout=timedelta(minutes=1)
        )
        child = await workflow.start_child_workflow(
            Continuing.run, args=[word, 1], id="child", memo={"word": word}
        )
        return [local, await child, workflow.memo_value("later", type_hint=str)]

    @workflow.update
    async def ask(self, word: str) -> str:
        """The same word, or a failure with it."""
        if word == "fail":
            raise ApplicationError(f"{SECRET} failed", SECRET)
        return word

    @ask.validator
    def check(self, word: str) -> None:
        """Refuses one."""
        if word == "refuse":
            raise ValueError(f"{SECRET} refused")


@activity.defn
async def echo(word: str) -> str:
    """The same."""
    return word


WORKFLOWS = [Family, Whispering, Failing, Continuing, Pulsing]
ACTIVITIES = [whisper, shout, pulse, echo]
