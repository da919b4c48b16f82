"""A payload codec sees every value that leaves or enters a process, and never inside of workflow
code; what is stored shows no value."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import msgspec
import pytest

from orchestrator.client import (
    ActivityFailureError,
    ActivityStartOptions,
    Client,
    WorkflowFailureError,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from orchestrator.common import RawValue, RetryPolicy
from orchestrator.converter import (
    ChainedPayloadCodec,
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    Payload,
    PayloadCodec,
)
from orchestrator.exceptions import (
    ApplicationError,
    ConversionError,
    PayloadTooLargeError,
    TerminatedError,
)
from orchestrator.ids import RunId, standalone_workflow_id
from orchestrator.limits import PAYLOAD_BYTES_MAX
from orchestrator.testing import WorkflowEnvironment
from orchestrator.wire import codec as wire_codec
from orchestrator.worker import Replayer, Worker
from tests.unit.converter.coded import (
    ACTIVITIES,
    QUEUE,
    SECRET,
    WORKFLOWS,
    Continuing,
    Failing,
    Family,
    Pulsing,
    ReversingCodec,
    Whispering,
    whisper,
)


def converter(codec: PayloadCodec, *, hide: bool = False) -> DataConverter:
    if not hide:
        return DataConverter(payload_codec=codec)
    return DataConverter(
        payload_codec=codec,
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )


@asynccontextmanager
async def environment(
    values: DataConverter, *, cached: int | None = None
) -> AsyncIterator[WorkflowEnvironment]:
    async with (
        await WorkflowEnvironment.start_time_skipping(data_converter=values) as env,
        Worker(
            env.client,
            task_queue=QUEUE,
            workflows=WORKFLOWS,
            activities=ACTIVITIES,
            max_cached_workflows=cached,
        ),
    ):
        yield env


async def stored(client: Client, workflow_id: str) -> str:
    """The history of a run as the store holds it."""
    history = await client.get_workflow_handle(workflow_id).fetch_history()
    return "".join(str(wire_codec.event_fields(event)) for event in history.events)


async def replays(client: Client, workflow_id: str, values: DataConverter) -> None:
    history = await client.get_workflow_handle(workflow_id).fetch_history()
    await Replayer(workflows=WORKFLOWS, data_converter=values).replay_workflow(history)


@pytest.mark.parametrize("cached", [None, 0], ids=["cached", "replayed"])
async def test_every_value_of_a_run_goes_through_the_codec(cached: int | None) -> None:
    codec = ReversingCodec()
    values = converter(codec, hide=True)
    async with environment(values, cached=cached) as env:
        handle = await env.client.start_workflow(
            Whispering.run, SECRET, id="w", task_queue=QUEUE, memo={"word": f"note {SECRET}"}
        )
        await env.sleep(5)
        await handle.signal(Whispering.add, f"signal {SECRET}")
        words = await handle.query(Whispering.with_prefix, "- ")
        expected = [
            f"note {SECRET}",
            f"{SECRET} after {SECRET}",
            f"loud: {SECRET}",
            SECRET,
            f"signal {SECRET}",
        ]
        assert words == [f"- {word}" for word in expected]
        description = await handle.describe()
        assert await description.memo() == {"word": f"note {SECRET}"}
        assert await description.memo_value("word", type_hint=str) == f"note {SECRET}"
        await handle.signal(Whispering.add, "over")
        assert await handle.result() == [*expected, "over"]
        assert SECRET not in await stored(env.client, "w")
        await replays(env.client, "w", values)
    assert not codec.seen_in_workflow


async def test_every_value_of_a_standalone_activity_goes_through_the_codec() -> None:
    values = converter(ReversingCodec(), hide=True)
    async with environment(values) as env:
        options = ActivityStartOptions(
            id="a", task_queue=QUEUE, start_to_close_timeout=timedelta(minutes=1)
        )
        found = await env.client.execute_activity(whisper, SECRET, **options)
        assert found == f"{SECRET} after {SECRET}"
        never = RetryPolicy(maximum_attempts=1)
        failing = await env.client.start_activity(whisper, SECRET, retry_policy=never, **options)
        with pytest.raises(ActivityFailureError) as failed:
            await failing.result()
        cause = failed.value.cause
        assert isinstance(cause, ApplicationError)
        assert (cause.message, list(cause.details)) == (f"not {SECRET}", [SECRET])
        store = env.client.services.store
        runs = [row async for row in env.client.list_activities()]
        assert len(runs) == 2
        for run in runs:
            pages = store.history(standalone_workflow_id("a"), RunId(run.activity_run_id))
            events = [event async for page in pages for event in page]
            assert SECRET not in "".join(str(wire_codec.event_fields(one)) for one in events)


async def test_a_failed_run_tells_its_failure_to_who_has_the_codec_only() -> None:
    values = converter(ReversingCodec(), hide=True)
    async with environment(values) as env:
        handle = await env.client.start_workflow(Failing.run, SECRET, id="f", task_queue=QUEUE)
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
        outer = failed.value.cause
        assert isinstance(outer, ApplicationError)
        assert (outer.message, outer.type) == (f"outer {SECRET}", "Outer")
        assert list(outer.details) == [SECRET]
        inner = outer.cause
        assert isinstance(inner, ApplicationError)
        assert (inner.message, inner.type) == (f"inner {SECRET}", "ValueError")
        assert SECRET not in await stored(env.client, "f")
        assert "coded.py" not in await stored(env.client, "f")
        await replays(env.client, "f", values)


async def test_without_encoded_attributes_messages_are_plain_and_details_are_not() -> None:
    async with environment(converter(ReversingCodec())) as env:
        handle = await env.client.start_workflow(Failing.run, SECRET, id="f", task_queue=QUEUE)
        with pytest.raises(WorkflowFailureError):
            await handle.result()
        assert (await stored(env.client, "f")).count(SECRET) == 2  # messages of the two links


async def test_a_successor_reads_what_it_inherits() -> None:
    values = converter(ReversingCodec())
    async with environment(values) as env:
        handle = await env.client.start_workflow(
            Continuing.run, args=["a", 2], id="c", task_queue=QUEUE, memo={"word": SECRET}
        )
        assert await handle.result() == f"a and {SECRET}"
        assert SECRET not in await stored(env.client, "c")
        await replays(env.client, "c", values)


async def test_children_local_activities_memos_and_updates_are_encoded_too() -> None:
    values = converter(ReversingCodec(), hide=True)
    async with environment(values) as env:
        handle = await env.client.start_workflow(Family.run, SECRET, id="f", task_queue=QUEUE)
        assert await handle.execute_update(Family.ask, SECRET) == SECRET
        for word, text in (("fail", f"{SECRET} failed"), ("refuse", f"{SECRET} refused")):
            with pytest.raises(WorkflowUpdateFailedError) as failed:
                await handle.execute_update(Family.ask, word)
            assert isinstance(failed.value.cause, ApplicationError)
            assert failed.value.cause.message == text
        assert await handle.result() == [SECRET, f"{SECRET} and {SECRET}", SECRET]
        for workflow_id in ("f", "child"):
            assert SECRET not in await stored(env.client, workflow_id)
            await replays(env.client, workflow_id, values)


async def test_details_of_a_termination_are_encoded() -> None:
    async with environment(converter(ReversingCodec())) as env:
        handle = await env.client.start_workflow(
            Whispering.run, "w", id="t", task_queue=QUEUE, memo={"word": "n"}
        )
        await handle.terminate(SECRET, reason="enough")
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
        cause = failed.value.cause
        assert isinstance(cause, TerminatedError)
        assert list(cause.details) == [SECRET]
        assert SECRET not in await stored(env.client, "t")


async def test_a_run_whose_codec_fails_stalls_and_goes_on_when_the_key_is_back() -> None:
    codec = ReversingCodec()
    async with environment(converter(codec)) as env:
        handle = await env.client.start_workflow(
            Continuing.run, args=["a", 0], id="b", task_queue=QUEUE, memo={"word": "n"}
        )
        codec.is_broken = True
        await env.sleep(2)
        problem = (await handle.describe()).problem or ""
        assert "payload" in problem
        assert "the key is gone" in problem
        codec.is_broken = False
        assert await handle.result() == "a and n"
        codec.is_broken = True
        with pytest.raises(ConversionError, match="the key is gone"):
            await handle.result()
        with pytest.raises(ConversionError, match="could not encode"):
            await handle.signal(Whispering.add, "x")
        codec.is_broken = False


async def test_a_query_that_cannot_be_decoded_is_answered_so() -> None:
    async with environment(converter(ReversingCodec())) as env:
        await env.client.start_workflow(
            Whispering.run, "w", id="q", task_queue=QUEUE, memo={"word": "n"}
        )
        await env.sleep(1)
        handle = Client(env.client.services).get_workflow_handle("q")  # without the codec
        foreign = RawValue(Payload.of_bytes(b"no payload", encoding="binary/reversed"))
        with pytest.raises(WorkflowQueryFailedError, match="could not decode"):
            await handle.query("with_prefix", foreign)


async def test_plain_start_messages_are_read_by_workers_with_a_codec() -> None:
    async with environment(converter(ReversingCodec())) as env:
        plain = Client(env.client.services)
        await plain.start_workflow(
            Continuing.run, args=["plain", 0], id="p", task_queue=QUEUE, memo={"word": "m"}
        )
        assert await env.client.get_workflow_handle("p").result() == "plain and m"


class Joining(PayloadCodec):
    """Makes one payload of many; or so many of each as it is told to."""

    def __init__(self, copies: int | None = None) -> None:
        self.copies = copies

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        if self.copies is not None:
            return list(payloads) * self.copies
        text = b"[" + b",".join(payload.to_bytes() for payload in payloads) + b"]"
        return [Payload.of_bytes(text, encoding="joined")]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        if payloads and payloads[0].encoding == "joined":
            return msgspec.json.decode(payloads[0].content(), type=list[Payload])
        return list(payloads)


async def test_a_codec_may_put_the_arguments_of_a_call_together() -> None:
    values = converter(Joining())
    async with environment(values) as env:
        run = env.client.execute_workflow(
            Continuing.run, args=["joined", 1], id="j", task_queue=QUEUE, memo={"word": "m"}
        )
        assert await run == "joined and m"
        await replays(env.client, "j", values)


@pytest.mark.parametrize("copies", [0, 2])
async def test_a_codec_that_loses_or_doubles_a_single_value_is_refused(copies: int) -> None:
    with pytest.raises(ConversionError, match="expected 1 payload"):
        await converter(Joining(copies)).seal({"note": DataConverter().to_payloads(["x"])[0]})


async def test_heartbeat_details_that_cannot_be_encoded_stop_and_fail_the_activity() -> None:
    codec = ReversingCodec()
    codec.refused = b"unspeakable"
    async with environment(converter(codec)) as env:
        message = await env.client.execute_workflow(Pulsing.run, id="p", task_queue=QUEUE)
        assert "could not encode" in message


async def test_a_failure_that_cannot_be_encoded_is_told_without_its_values() -> None:
    codec = ReversingCodec()
    values = converter(codec)
    codec.refused = SECRET.encode()
    error = ApplicationError("loud", SECRET, type="Loud", non_retryable=True)
    told = await values.encode_failure(error)
    codec.refused = None
    read = await values.decode_failure(told)
    assert isinstance(read, ApplicationError)
    assert (read.type, read.non_retryable, list(read.details)) == ("Loud", True, [])
    assert read.message.startswith("loud [values were left out: ")


async def test_what_a_codec_makes_of_a_value_is_held_to_the_size_limit() -> None:
    class Swelling(ReversingCodec):
        async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
            return [Payload.of_bytes(p.content() * 2, encoding="big") for p in payloads]

    values = converter(Swelling())
    with pytest.raises(PayloadTooLargeError):
        await values.encode(["x" * (PAYLOAD_BYTES_MAX // 2 + 1)])


async def test_several_codecs_are_undone_in_reverse_order() -> None:
    marks: list[str] = []

    class Marking(PayloadCodec):
        def __init__(self, mark: str) -> None:
            self.mark = mark

        async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
            marks.append(f"+{self.mark}")
            return list(payloads)

        async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
            marks.append(f"-{self.mark}")
            return list(payloads)

    values = converter(ChainedPayloadCodec(Marking("a"), Marking("b")))
    await values.decode(await values.encode(["x"]))
    assert marks == ["+a", "+b", "-b", "-a"]
