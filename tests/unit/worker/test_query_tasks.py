"""Queries: what they see, what they refuse, and that they leave no trace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest

from orchestrator.core.transition import ForcedClose
from orchestrator.exceptions import UnavailableError
from orchestrator.ids import RunId
from orchestrator.ports.broker import DeadQueue, Outgoing, WorkflowQueue
from orchestrator.ports.store import Closed
from orchestrator.wire import codec
from orchestrator.wire.events import WorkflowExecutionTerminated
from orchestrator.wire.messages import ErrorResponse, QueryResponse
from orchestrator.wire.options import QueryReject, RunStatus
from orchestrator.wire.payload import Payload
from orchestrator.wire.tasks import QueryTask
from tests.unit.memory_engine import NAMESPACE, QUEUE, RUN, WORKFLOW, Engine
from tests.unit.worker.shop import ChangedOrder
from tests.unit.worker.workers import (
    Worker,
    append_signal,
    ask,
    ask_for_text,
    order,
    signal,
    start,
    view,
)

_T = TypeVar("_T")


async def terminate(engine: Engine) -> None:
    close = ForcedClose(
        workflow_id=WORKFLOW,
        event=WorkflowExecutionTerminated(reason="enough"),
        status=RunStatus.TERMINATED,
    )
    assert isinstance(await engine.store.force_close(close), Closed)


async def test_a_query_reads_a_cached_run(bare: Engine) -> None:
    worker = await Worker(bare).open()
    await order(bare)
    before = await bare.types()
    assert await ask_for_text(bare, "added") == "[]"
    assert await bare.types() == before
    assert worker.counters.value("replays") == 1
    assert worker.counters.value("queries") == 1
    assert worker.in_hand() == 0


async def test_a_query_sees_a_signal_whose_wake_up_was_lost(bare: Engine) -> None:
    worker = await Worker(bare).open()
    await start(bare, "Diary")
    await append_signal(bare, "a")
    assert (await ask_for_text(bare, "noted")).count("[") == 2
    assert (await bare.types()).count("WorkflowExecutionSignaled") == 1
    assert worker.in_hand() == 0


async def test_a_query_before_the_first_task_lets_it_run(bare: Engine) -> None:
    await Worker(bare).open()
    await bare.start(workflow_type="Diary")
    assert await ask_for_text(bare, "noted") == "[]"


@pytest.mark.parametrize("cached", [0, 100])
async def test_a_closed_run_is_replayed_and_answers(bare: Engine, cached: int) -> None:
    worker = await Worker(bare, cached=cached).open()
    await order(bare)
    await signal(bare, "cola")
    replays = worker.counters.value("replays")
    for _ in range(2):
        assert await ask_for_text(bare, "added") == '["cola"]'
        assert await ask_for_text(bare, "added", run_id=RUN) == '["cola"]'
    expected = 1 if cached else 4
    assert worker.counters.value("replays") == replays + expected


async def test_a_terminated_run_answers_from_its_last_task(bare: Engine) -> None:
    await Worker(bare).open()
    await order(bare)
    await terminate(bare)
    assert await ask_for_text(bare, "added") == "[]"


async def test_a_run_that_ended_before_its_code_ran_says_so(bare: Engine) -> None:
    await bare.start(workflow_type="Order")
    await terminate(bare)
    await Worker(bare).open()
    answer = await ask(bare, "added")
    assert isinstance(answer, QueryResponse)
    assert answer.problem == "this run of 'Order' ended before its code ran"


async def test_an_older_run_is_asked_by_its_id_and_the_newest_without(bare: Engine) -> None:
    worker = await Worker(bare).open()
    await start(bare, "Chain", "5")
    await signal(bare, "go", name="next")
    newest = (await view(bare)).run_id
    assert newest != RUN
    assert await ask_for_text(bare, "counted", run_id=RUN) == "5"
    assert await ask_for_text(bare, "counted", run_id=newest) == "6"
    assert await ask_for_text(bare, "counted") == "6"
    assert worker.in_hand() == 0


async def test_the_cached_run_may_have_become_an_older_one(bare: Engine) -> None:
    await Worker(bare).open()
    await start(bare, "Chain", "5")
    await append_signal(bare, "go", name="next")
    assert await ask_for_text(bare, "counted", run_id=RUN) == "5"
    assert (await view(bare)).run_id != RUN


async def test_nobody_of_this_name_is_not_found(bare: Engine) -> None:
    await Worker(bare).open()
    for fields in ({}, {"run_id": "run-0"}):
        answer = await ask(bare, "added", **fields)
        assert isinstance(answer, ErrorResponse)
        assert (answer.code, answer.request_id) == ("not_found", "q1")
    await order(bare)
    answer = await ask(bare, "added", run_id="run-0")
    assert isinstance(answer, ErrorResponse)
    assert "'run-0'" in answer.message


@pytest.mark.parametrize(
    ("condition", "after_termination", "rejected"),
    [
        (QueryReject.NONE, True, False),
        (QueryReject.NOT_OPEN, False, True),
        (QueryReject.NOT_COMPLETED_CLEANLY, False, False),
        (QueryReject.NOT_COMPLETED_CLEANLY, True, True),
    ],
)
async def test_a_condition_rejects_closed_runs(
    bare: Engine, condition: QueryReject, after_termination: bool, rejected: bool
) -> None:
    await Worker(bare).open()
    await order(bare)
    open_answer = await ask(bare, "added", reject_condition=condition)
    assert isinstance(open_answer, QueryResponse)
    assert open_answer.rejected is None
    if after_termination:
        await terminate(bare)
    else:
        await signal(bare, "cola")
    answer = await ask(bare, "added", reject_condition=condition)
    assert isinstance(answer, QueryResponse)
    status = RunStatus.TERMINATED if after_termination else RunStatus.COMPLETED
    assert answer.rejected == (status if rejected else None)


async def test_a_condition_rejects_a_continued_run(bare: Engine) -> None:
    await Worker(bare).open()
    await start(bare, "Chain", "5")
    await signal(bare, "go", name="next")
    answer = await ask(bare, "counted", run_id=RUN, reject_condition=QueryReject.NOT_OPEN)
    assert isinstance(answer, QueryResponse)
    assert answer.rejected is RunStatus.CONTINUED_AS_NEW


async def test_a_stalled_run_answers_with_its_reason_and_is_not_tried_again(bare: Engine) -> None:
    worker = await Worker(bare).open()
    await start(bare, "Broken")
    failures = worker.counters.value("task_failures")
    for _ in range(3):
        answer = await ask(bare, "state")
        assert isinstance(answer, QueryResponse)
        assert answer.problem is not None
        assert "a bug" in answer.problem
    assert worker.counters.value("task_failures") == failures == 1


async def test_a_run_of_an_unknown_type_is_a_problem_and_not_a_failed_task(bare: Engine) -> None:
    stranger = await Worker(bare, workflows=[]).open()
    await bare.start()
    answer = await ask(bare, "added")
    assert isinstance(answer, QueryResponse)
    assert answer.problem == "this worker lacks workflow type 'Order'; known: none"
    assert await bare.types() == ["WorkflowExecutionStarted"]
    assert stranger.counters.value("task_failures") == 0


async def test_code_that_does_not_fit_a_quiet_run_is_a_problem_and_nothing_is_recorded(
    bare: Engine,
) -> None:
    first = await Worker(bare).open()
    await order(bare)
    await first.die()
    second = await Worker(bare, "w2", workflows=[ChangedOrder]).open()
    before = await bare.types()
    answer = await ask(bare, "added")
    assert isinstance(answer, QueryResponse)
    assert answer.problem is not None
    assert "nondeterminism" in answer.problem
    assert await bare.types() == before
    assert second.counters.value("task_failures") == 0


@pytest.mark.parametrize(
    ("query", "args", "message"),
    [
        ("fails", (), "no such thing"),
        ("nonsense", (), "no query handler is named 'nonsense'"),
        ("pay_again", (), "a query must not change the workflow"),
        ("has", (), "item"),
    ],
)
async def test_what_goes_wrong_in_a_handler_is_a_failure_for_the_asker_alone(
    bare: Engine, query: str, args: tuple[str, ...], message: str
) -> None:
    worker = await Worker(bare).open()
    await order(bare)
    before = await bare.types()
    answer = await ask(bare, query, *args)
    assert isinstance(answer, QueryResponse)
    assert answer.failure is not None
    assert message in answer.failure.message
    assert await bare.types() == before
    assert worker.counters.value("task_failures") == 0
    assert await ask_for_text(bare, "added") == "[]"


async def test_arguments_that_do_not_fit_are_a_failure(bare: Engine) -> None:
    await Worker(bare).open()
    await start(bare, "Order", "pizza")
    answer = await ask(bare, "has", input=(Payload.of_json(b"[1]"),))
    assert isinstance(answer, QueryResponse)
    assert answer.failure is not None


async def test_a_query_does_not_evaluate_conditions(bare: Engine) -> None:
    await Worker(bare).open()
    await order(bare)
    await ask(bare, "add_by_query")
    await bare.settle()
    assert (await view(bare)).status is RunStatus.RUNNING


async def test_the_stack_of_a_run_can_be_asked_for(bare: Engine) -> None:
    await Worker(bare).open()
    await order(bare)
    text = await ask_for_text(bare, "__stack_trace")
    assert "shop.py" in text
    assert "in run" in text


async def test_an_expired_query_is_dropped_and_changes_nothing(bare: Engine) -> None:
    await order(bare)
    question = QueryTask(
        namespace=NAMESPACE, workflow_id=WORKFLOW, query="added", expires_at_ms=bare.clock.ms
    )
    await publish_question(bare, question)
    worker = Worker(bare)
    await worker.open()
    await bare.settle()
    assert worker.counters.value("queries") == 0
    assert worker.in_hand() == 0


async def publish_question(engine: Engine, question: QueryTask) -> None:
    body = codec.encode(question)
    message = Outgoing(to=WorkflowQueue(QUEUE), body=body, reply_to="somebody")
    engine.broker.publish(message)
    await engine.settle()


async def test_a_query_without_an_end_is_not_taken_up_a_second_time(bare: Engine) -> None:
    await order(bare)
    holder = Worker(bare)
    await holder.broker.open()
    await holder.broker.consume(WorkflowQueue(QUEUE), lambda batch: None, prefetch=10)
    question = QueryTask(namespace=NAMESPACE, workflow_id=WORKFLOW, query="added")
    await publish_question(bare, question)
    await holder.broker.close()
    worker = await Worker(bare, "w2").open()
    await bare.settle()
    assert worker.counters.value("queries") == 0


async def test_a_query_waits_for_the_task_of_its_run(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Worker(bare).open()
    await start(bare, "Diary")
    commit, may_go = bare.store.commit, asyncio.Event()

    async def slow_commit(transition: object) -> object:
        await may_go.wait()
        return await commit(transition)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(bare.store, "commit", slow_commit)
    await signal(bare, "a")
    asked = asyncio.create_task(ask_for_text(bare, "noted"))
    await bare.settle()
    assert not asked.done()
    may_go.set()
    assert (await asked).count("[") == 2


async def test_a_query_during_an_outage_is_given_back_and_answered_after_it(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await Worker(bare).open()
    await order(bare)
    sync = bare.store.sync

    async def away(*args: object, **options: object) -> object:
        raise UnavailableError("the store is away")

    monkeypatch.setattr(bare.store, "sync", away)
    asked = asyncio.create_task(ask_for_text(bare, "added", expires_at_ms=bare.clock.ms + 60_000))
    await bare.settle()
    for _ in range(20):
        await bare.pass_time(1_000)
    monkeypatch.setattr(bare.store, "sync", sync)
    await bare.pass_time(1_000)
    assert await asked == "[]"
    assert worker.in_hand() == 0


async def test_a_query_that_blocks_is_cut_off_and_its_run_is_replayed(bare: Engine) -> None:
    blocking = False

    def guard(act: Callable[[], _T]) -> _T:
        answer = act()
        if blocking:
            raise TimeoutError("ran over its budget at shop.py:1")
        return answer

    worker = await Worker(bare, guard=guard).open()
    await order(bare)
    blocking = True
    answer = await ask(bare, "added")
    assert isinstance(answer, QueryResponse)
    assert answer.failure is not None
    assert "budget" in answer.failure.message
    assert len(worker.cache) == 0
    blocking = False
    assert await ask_for_text(bare, "added") == "[]"


async def test_an_undecodable_query_is_buried_and_its_asker_told(bare: Engine) -> None:
    await Worker(bare).open()
    buried: list[str | None] = []
    await bare.broker.consume(
        DeadQueue(), lambda batch: buried.extend(one.reason for one in batch), prefetch=10
    )
    body = b'{"type":"query_task","namespace":"default"}'
    answer = await bare.broker.request(WorkflowQueue(QUEUE), body, timeout_ms=2_000)
    error = codec.response_decoder.decode(answer)
    assert isinstance(error, ErrorResponse)
    assert error.code == "invalid_argument"
    await bare.settle()
    assert len(buried) == 1


async def test_a_query_on_a_delayed_start_says_that_it_is_held_back(bare: Engine) -> None:
    await Worker(bare).open()
    await bare.start(workflow_type="Diary", start_delay_ms=60_000)
    answer = await ask(bare, "noted")
    assert isinstance(answer, QueryResponse)
    assert answer.problem is not None
    assert "held back" in answer.problem
    assert (await view(bare, RunId(RUN))).history_length == 1
