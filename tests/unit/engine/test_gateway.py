"""Start messages on the memory adapters: one run for each request, one answer, nothing lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path

import msgspec
import pytest

from orchestrator.adapters.memory.broker import MemoryBroker, MemoryConsumer
from orchestrator.core.transition import ForcedClose
from orchestrator.engine.gateway import Gateway
from orchestrator.exceptions import UnavailableError
from orchestrator.limits import (
    JSON_DEPTH_MAX,
    MESSAGE_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    REASON_CHARS_MAX,
    REQUEST_ABSENCES_MAX,
    REQUEST_ATTEMPTS_MAX,
)
from orchestrator.ports.broker import DeadQueue, Delivery, Outgoing, Published, RequestsQueue
from orchestrator.ports.store import RunView
from orchestrator.telemetry.metrics import Counters
from orchestrator.wire import codec
from orchestrator.wire.events import WorkflowExecutionStarted, WorkflowExecutionTerminated
from orchestrator.wire.messages import ErrorResponse, Response, StartResponse
from orchestrator.wire.options import RunStatus
from tests.unit.memory_engine import NAMESPACE, WORKFLOW, Engine

EXAMPLE = Path(__file__).parents[3] / "schemas/examples/start.json"


def start(**fields: object) -> bytes:
    """A start message; a field of value None is left out."""
    whole: dict[str, object] = {
        "type": "start",
        "request_id": "r1",
        "workflow_id": WORKFLOW,
        "workflow_type": "Order",
        "task_queue": "orders",
        **fields,
    }
    return msgspec.json.encode({name: value for name, value in whole.items() if value is not None})


class Office:
    """A gateway on one engine, a client, and the dead letters."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.client = MemoryBroker(engine.broker._exchange)
        self.counters = Counters()
        self.expected: list[int] = []
        self.dead: list[Delivery] = []
        self.gateway = Gateway(
            engine.store,
            engine.broker,
            engine.dispatcher,
            namespace=NAMESPACE,
            expect=lambda shard, due_at_ms: self.expected.append(due_at_ms),
            clock=engine.clock,
            counters=self.counters,
        )
        self.consumer: MemoryConsumer

    async def open(self) -> None:
        await self.client.open()
        self.consumer = await self.engine.broker.consume(
            RequestsQueue(), self.gateway.take, prefetch=10
        )
        await self.client.consume(DeadQueue(), self.dead.extend, prefetch=100)

    async def send(self, body: bytes) -> None:
        """Publish a request without waiting for an answer."""
        self.client.publish(Outgoing(to=RequestsQueue(), body=body))
        await self.engine.settle()

    async def ask(self, body: bytes) -> Response:
        answer = await self.client.request(RequestsQueue(), body, timeout_ms=1_000)
        await self.engine.settle()
        return codec.response_decoder.decode(answer)

    async def refusal(self, body: bytes) -> ErrorResponse:
        answer = await self.ask(body)
        assert isinstance(answer, ErrorResponse)
        return answer

    async def unfinished(self) -> int:
        """Requests that were not acknowledged."""
        return len(self.consumer.in_hand) + (await self.client.ready(RequestsQueue()) or 0)

    async def newest(self) -> RunView:
        run = await self.engine.store.run(WORKFLOW)
        assert run is not None
        return run

    async def first_event(self) -> WorkflowExecutionStarted:
        event = await self.engine.store.event(WORKFLOW, (await self.newest()).run_id, 1)
        assert event is not None
        assert isinstance(event.attributes, WorkflowExecutionStarted)
        return event.attributes


@pytest.fixture
async def office(engine: Engine) -> AsyncIterator[Office]:
    made = Office(engine)
    await made.open()
    yield made
    await made.gateway.drain()
    await made.client.close()


@pytest.fixture
def seconds_fly(office: Office, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every wait of the gateway is over in the next turn; what was waited for is noted."""
    waits: list[int] = []

    async def at_once(event: asyncio.Event, *, timeout_ms: int) -> None:
        waits.append(timeout_ms)
        await asyncio.sleep(0)

    monkeypatch.setattr(office.engine.clock, "wait", at_once)
    return waits


def unavailable(office: Office, monkeypatch: pytest.MonkeyPatch, *, times: int) -> None:
    """The store does its next `times` starts, and their answers are lost."""
    begin, calls = office.engine.store.start, count(1)

    async def lose(table: object) -> object:
        answer = await begin(table)  # type: ignore[arg-type]  # passed through
        if next(calls) <= times:
            raise UnavailableError("the connection was cut after the script ran")
        return answer

    monkeypatch.setattr(office.engine.store, "start", lose)


async def terminate(office: Office) -> None:
    await office.engine.store.force_close(
        ForcedClose(
            workflow_id=WORKFLOW,
            event=WorkflowExecutionTerminated(reason="enough"),
            status=RunStatus.TERMINATED,
        )
    )


async def test_a_plain_message_starts_a_run_and_is_answered(office: Office) -> None:
    answer = await office.ask(start(input=[{"item": "pizza"}, 2]))
    assert answer == StartResponse(request_id="r1", workflow_id=WORKFLOW, run_id="r1", started=True)
    assert (await office.newest()).status is RunStatus.RUNNING
    inputs = (await office.first_event()).input
    assert [payload.content() for payload in inputs] == [b'{"item":"pizza"}', b"2"]
    assert [task.workflow_id for task in office.engine.wakeups] == [WORKFLOW]
    assert await office.unfinished() == 0


async def test_the_published_example_is_such_a_message(office: Office) -> None:
    answer = await office.ask(EXAMPLE.read_bytes())
    assert isinstance(answer, StartResponse)
    assert (answer.started, answer.workflow_id) == (True, "order-1")


async def test_a_message_that_nobody_waits_for_starts_a_run_too(office: Office) -> None:
    await office.send(start())
    assert (await office.newest()).run_id == "r1"
    assert await office.unfinished() == 0


async def test_an_answer_says_plainly_whether_it_started(office: Office) -> None:
    body = await office.client.request(RequestsQueue(), start(), timeout_ms=1_000)
    assert msgspec.json.decode(body) == {
        "type": "started",
        "request_id": "r1",
        "workflow_id": WORKFLOW,
        "run_id": "r1",
        "started": True,
    }


async def test_everything_optional_reaches_the_first_event(office: Office) -> None:
    await office.ask(
        start(
            execution_timeout_ms=60_000,
            run_timeout_ms=50_000,
            task_timeout_ms=5_000,
            start_delay_ms=3_000,
            retry_policy={"initial_interval_ms": 200, "maximum_attempts": 3},
            memo={"note": {"table": 4}},
        )
    )
    event = await office.first_event()
    assert (event.execution_timeout_ms, event.run_timeout_ms) == (60_000, 50_000)
    assert (event.task_timeout_ms, event.first_task_backoff_ms) == (5_000, 3_000)
    assert event.retry_policy is not None
    assert type(event.retry_policy).__name__ == "RetryOptions"
    assert event.retry_policy.initial_interval_ms == 200
    assert event.retry_policy.backoff_coefficient == 2.0
    assert event.memo["note"].content() == b'{"table":4}'


async def test_a_delayed_start_sends_no_wake_up_and_is_driven_when_it_is_near(
    office: Office,
) -> None:
    await office.ask(start(start_delay_ms=1_500))
    assert office.engine.wakeups == []
    assert office.expected == [office.engine.clock.ms + 1_500]


async def test_arguments_keep_their_text_but_not_their_white_space(office: Office) -> None:
    number = "12345678901234567890123"
    await office.send(
        start(input=None)[:-1] + b',"input":[ {"n" : %s,\n "x": 1.10} ]}' % number.encode()
    )
    [payload] = (await office.first_event()).input
    assert payload.content() == b'{"n":%s,"x":1.10}' % number.encode()


# Repeats and policies -----------------------------------------------------------------------------


async def test_a_repeated_request_finds_its_run_and_starts_nothing(office: Office) -> None:
    await office.ask(start())
    again = await office.ask(start())
    assert again == StartResponse(request_id="r1", workflow_id=WORKFLOW, run_id="r1", started=False)
    assert office.counters.value("gateway_runs_started") == 1
    assert office.counters.value("gateway_starts_repeated") == 1


@pytest.mark.parametrize("request_id", ["r1", None])
async def test_a_repeat_after_the_end_of_its_run_starts_nothing(
    office: Office, request_id: str | None
) -> None:
    first = await office.ask(start(request_id=request_id))
    await terminate(office)
    again = await office.ask(start(request_id=request_id, id_reuse_policy="allow_duplicate"))
    assert isinstance(first, StartResponse)
    assert again == msgspec.structs.replace(first, started=False)
    assert (await office.newest()).status is RunStatus.TERMINATED


async def test_without_request_id_the_workflow_id_counts(office: Office) -> None:
    answer = await office.ask(start(request_id=None))
    assert answer == StartResponse(
        request_id=WORKFLOW, workflow_id=WORKFLOW, run_id=WORKFLOW, started=True
    )


async def test_a_new_request_follows_a_closed_run_if_the_policy_allows(office: Office) -> None:
    await office.ask(start())
    await terminate(office)
    refused = await office.refusal(start(request_id="r2", id_reuse_policy="reject_duplicate"))
    assert refused.code == "already_exists"
    assert "run 'r1', terminated" in refused.message
    answer = await office.ask(start(request_id="r3"))
    assert isinstance(answer, StartResponse)
    assert (answer.run_id, answer.started) == ("r3", True)


async def test_an_open_run_refuses_another_request_by_default(office: Office) -> None:
    await office.ask(start())
    refused = await office.refusal(start(request_id="r2"))
    assert (refused.code, refused.request_id) == ("already_exists", "r2")
    assert "is taken by Order run 'r1', running" in refused.message
    assert "use_existing" in refused.message
    assert office.dead == []
    assert await office.unfinished() == 0


async def test_an_open_run_answers_for_itself_when_asked_to(office: Office) -> None:
    await office.ask(start())
    answer = await office.ask(start(request_id="r2", id_conflict_policy="use_existing"))
    assert answer == StartResponse(
        request_id="r2", workflow_id=WORKFLOW, run_id="r1", started=False
    )


async def test_an_open_run_makes_place_when_told_to(office: Office) -> None:
    await office.ask(start())
    replacing = start(request_id="r2", id_conflict_policy="terminate_existing")
    answers = [await office.ask(replacing) for _ in range(2)]
    assert [a.started for a in answers if isinstance(a, StartResponse)] == [True, False]
    assert (await office.newest()).run_id == "r2"


# Trouble ------------------------------------------------------------------------------------------


async def test_a_start_whose_answer_was_lost_is_the_same_run(
    office: Office, seconds_fly: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    unavailable(office, monkeypatch, times=3)
    answer = await office.ask(start())
    assert isinstance(answer, StartResponse)
    assert answer.run_id == "r1"
    assert len(office.engine.wakeups) == 1
    assert seconds_fly == [1_000] * 3


async def test_while_the_store_is_away_a_request_stays_in_hand(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    unavailable(office, monkeypatch, times=10**6)
    await office.send(start())
    assert len(office.consumer.in_hand) == 1
    assert office.dead == []


async def test_a_request_that_waits_for_the_store_is_left_to_a_process_that_reaches_it(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    unavailable(office, monkeypatch, times=10**6)
    await office.send(start())
    await office.consumer.stop()  # As one does whose store is away.
    for _ in range(REQUEST_ABSENCES_MAX - 1):
        assert len(office.consumer.in_hand) == 1
        office.engine.clock.ms += 1_000
        await office.engine.settle()
    assert len(office.consumer.in_hand) == 0
    assert await office.client.ready(RequestsQueue()) == 1


async def test_a_drain_gives_back_what_waits_for_the_store(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    unavailable(office, monkeypatch, times=10**6)
    await office.send(start())
    await office.consumer.stop()
    await office.gateway.drain()
    assert len(office.consumer.in_hand) == 0
    assert await office.client.ready(RequestsQueue()) == 1


async def test_a_redelivery_after_a_crash_wakes_and_answers_again(office: Office) -> None:
    """As if the process died after the store's act: the run is there, nobody was told."""
    await office.engine.start(request_id="r1")
    assert office.engine.wakeups == []
    answer = await office.ask(start())
    assert isinstance(answer, StartResponse)
    assert len(office.engine.wakeups) == 1


async def test_a_lost_wake_up_does_not_keep_the_request(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.send(start(task_queue="nobody-declared-this"))
    assert (await office.newest()).status is RunStatus.RUNNING
    assert await office.unfinished() == 0


async def test_the_ack_waits_until_the_wake_up_is_sent(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[Callable[[Published], None]] = []

    def hold(message: Outgoing, done: Callable[[Published], None] | None = None) -> None:
        assert done is not None
        held.append(done)

    monkeypatch.setattr(office.engine.broker, "publish", hold)
    await office.send(start())
    assert await office.unfinished() == 1
    held[0](Published.CONFIRMED)
    await office.engine.settle()
    assert await office.unfinished() == 0


async def test_a_dead_letter_is_published_until_it_is_confirmed(
    office: Office, seconds_fly: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, outcomes = office.engine.broker.publish, [Published.UNKNOWN, Published.UNROUTABLE]

    def fail(message: Outgoing, done: Callable[[Published], None] | None = None) -> None:
        if outcomes and done is not None:
            asyncio.get_running_loop().call_soon(done, outcomes.pop())
        else:
            publish(message, done)

    monkeypatch.setattr(office.engine.broker, "publish", fail)
    await office.send(b"{")
    assert [letter.body for letter in office.dead] == [b"{"]
    assert seconds_fly == [1_000] * 2
    assert await office.unfinished() == 0


async def test_a_request_that_meets_a_defect_is_tried_again_then_dead_then_the_next_is_done(
    office: Office, seconds_fly: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, calls = office.engine.store.start, count(1)

    async def fail(table: object) -> object:
        if next(calls) <= REQUEST_ATTEMPTS_MAX:
            raise RuntimeError("a defect")
        return await begin(table)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(office.engine.store, "start", fail)
    office.client.publish(Outgoing(to=RequestsQueue(), body=start()))
    for _ in range(REQUEST_ATTEMPTS_MAX):
        await office.engine.settle()
    [letter] = office.dead
    assert letter.reason is not None
    assert letter.reason.startswith("internal: the request failed, which is a defect: RuntimeError")
    assert isinstance(await office.ask(start()), StartResponse)


# Bad input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b"", "invalid_argument", "not JSON"),
        (b"\xff\xfe", "invalid_argument", "not UTF-8"),
        (b"[]", "invalid_argument", "Expected `object`, got `array`"),
        (b"[" * (JSON_DEPTH_MAX + 1), "invalid_argument", "nested deeper than 64"),
        (b"{}", "invalid_argument", "missing required field"),
        (start(workflow_id=None), "invalid_argument", "missing required field `workflow_id`"),
        (
            start(input={"a": 1}),
            "invalid_argument",
            "`array`, got `object` - at `$.input`",
        ),
        (start(input="pizza"), "invalid_argument", "Expected `array`, got `str` - at `$.input`"),
        (start(worklow_id="x"), "invalid_argument", "unknown field `worklow_id`"),
        (start(retry_policy={"attempts": 3}), "invalid_argument", "unknown field `attempts`"),
        (start(type="stop"), "invalid_argument", "expected a request of type start, found 'stop'"),
        (start(type="signal"), "unimplemented", "found 'signal', which this release cannot do"),
        (start(type=5), "invalid_argument", "Expected `str`"),
        (
            start(workflow_id=5),
            "invalid_argument",
            "got `int` - at `$.workflow_id`",
        ),
        (start(workflow_id=""), "invalid_argument", "workflow id: expected a text"),
        (start(workflow_id="a{b}"), "invalid_argument", "workflow id: expected no braces"),
        (start(request_id="a\nb"), "invalid_argument", "request id: expected no control"),
        (start(workflow_type="t" * 1_001), "invalid_argument", "at most 1000 bytes"),
        (start(task_queue="two words"), "invalid_argument", "task queue: expected"),
        (start(id_reuse_policy="always"), "invalid_argument", "one of allow_duplicate, "),
        (start(id_conflict_policy="x"), "invalid_argument", "one of fail, use_existing, "),
        (start(run_timeout_ms=-1), "invalid_argument", "run_timeout_ms: expected 0 to"),
        (start(start_delay_ms=10**30), "invalid_argument", "start_delay_ms: expected 0 to"),
        (start(run_timeout_ms=1.5), "invalid_argument", "got `float` - at `$.run_timeout_ms`"),
        (start(retry_policy={"initial_interval_ms": 0}), "invalid_argument", "expected 1 to"),
        (start(retry_policy={"backoff_coefficient": 0.5}), "invalid_argument", "expected 1 or"),
        (start(retry_policy={"maximum_attempts": -1}), "invalid_argument", "expected 0 or more"),
        (start(retry_policy={"maximum_interval_ms": 5}), "invalid_argument", "expected 1000 to"),
        (start(input=["x" * PAYLOAD_BYTES_MAX]), "invalid_argument", "argument 1 has 2,097,154"),
        (start(memo={"m": "x" * PAYLOAD_BYTES_MAX}), "invalid_argument", "memo 'm' has 2,097,154"),
        (b" " * (MESSAGE_BYTES_MAX + 1), "invalid_argument", "a request has 4,194,305 bytes"),
        (start()[:-1] + b',"input":[NaN]}', "invalid_argument", "NaN is not JSON"),
        (start()[:-1] + b',"workflow_id":"b"}', "invalid_argument", "'workflow_id' stands twice"),
        (start()[:-1] + b',"input":[{"a":1,"a":2}]}', "invalid_argument", "'a' stands twice"),
        (start()[:-1] + b',"input":[1e999]}', "invalid_argument", "beyond a double"),
        (start()[:-1] + b',"input":[' + b"9" * 5_000 + b"]}", "invalid_argument", "5000 digits"),
        (start()[:-1] + b',"input":["\\ud800"]}', "invalid_argument", "surrogate"),
        (start()[:-1] + b',"input":["\xff"]}', "invalid_argument", "not UTF-8"),
    ],
    ids=count(),
)
async def test_what_cannot_be_a_request_is_answered_and_kept_with_its_reason(
    office: Office, body: bytes, code: str, message: str
) -> None:
    refusal = await office.refusal(body)
    assert refusal.code == code
    assert message in refusal.message
    [letter] = office.dead
    assert letter.body == body
    assert letter.reason == f"{code}: {refusal.message}"
    assert await office.unfinished() == 0
    assert isinstance(await office.ask(start()), StartResponse)


@pytest.mark.parametrize(
    ("body", "request_id"),
    [
        (start(type="signal"), "r1"),
        (start(worklow_id="x"), "r1"),
        (start(workflow_id="{}"), "r1"),
        (start(request_id=None, input=5), WORKFLOW),
        (start(request_id=7, workflow_id=8), ""),
        (b"{", ""),
    ],
    ids=count(),
)
async def test_a_refusal_repeats_the_request_id_if_there_is_one(
    office: Office, body: bytes, request_id: str
) -> None:
    assert (await office.refusal(body)).request_id == request_id


async def test_a_reason_that_quotes_a_novel_is_cut(office: Office) -> None:
    refusal = await office.refusal(start(**{"x" * 100_000: 1}))
    assert len(refusal.message) == REASON_CHARS_MAX
    assert refusal.message.startswith("expected a request: Object contains unknown field `xxx")


async def test_a_dead_letter_keeps_its_correlation_id(office: Office) -> None:
    office.client.publish(Outgoing(to=RequestsQueue(), body=b"{", correlation_id="c7"))
    await office.engine.settle()
    assert [letter.correlation_id for letter in office.dead] == ["c7"]


async def test_a_batch_with_a_bad_message_does_the_good_ones(office: Office) -> None:
    for body in (b"{", start(), b"[]", start(request_id="r2", workflow_id="order-2")):
        office.client.publish(Outgoing(to=RequestsQueue(), body=body))
    await office.engine.settle()
    assert office.counters.snapshot() == {
        "gateway_requests_dead": 2,
        "gateway_requests_taken": 4,
        "gateway_runs_started": 2,
    }
