"""Updates on the real core: validated, let in, handled, seen to their end; and all of it again."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from orchestrator import workflow
from orchestrator.common import RawValue
from orchestrator.core.updates import UpdateRejection
from orchestrator.exceptions import ActivityError, ApplicationError, CancelledError
from orchestrator.limits import COMMIT_COMMANDS_MAX, UPDATES_MAX, UPDATES_OPEN_MAX
from orchestrator.replay.facts import Commands, TaskFailure
from orchestrator.wire import commands as c
from orchestrator.wire import events as e
from orchestrator.wire.events import WorkflowTaskFailureCause
from orchestrator.workflow import HandlerUnfinishedPolicy
from tests.replay.driver import CONVERTER, Driven, kinds

pytestmark = pytest.mark.filterwarnings(
    "ignore::orchestrator.workflow.UnfinishedUpdateHandlersWarning"
)
CLOSE = timedelta(seconds=5)


async def call(name: str) -> Any:
    return await workflow.execute_activity(name, start_to_close_timeout=CLOSE)


@workflow.defn
class Cart:
    """Takes items until told to close; `room` bounds them."""

    @workflow.init
    def __init__(self, room: int = 2) -> None:
        self.room = room
        self.items: list[str] = []
        self.closed = False
        self.seen: list[Any] = []

    @workflow.run
    async def run(self, room: int = 2) -> list[str]:
        await workflow.wait_condition(lambda: self.closed)
        return self.items

    @workflow.update
    def add(self, item: str) -> int:
        self.items.append(item)
        return len(self.items)

    @add.validator
    def check_add(self, item: str) -> None:
        if len(self.items) >= self.room:
            raise ApplicationError(f"no room for {item}", type="Full")

    @workflow.update
    async def order(self, item: str) -> str:
        self.items.append(f"{item}?")
        got = await call("fetch")
        self.items.append(item)
        return f"{item} from {got}"

    @workflow.update
    async def fail(self, how: str) -> None:
        if how == "late":
            await call("fetch")
        if how == "bug":
            raise KeyError(how)
        raise ApplicationError(how, "detail", type="Bad")

    @workflow.update(name="whoami")
    async def who(self) -> list[str | None]:
        async def inner() -> str:
            info = workflow.current_update_info()
            assert info is not None
            return f"{info.name} {info.id}"

        return [await asyncio.create_task(inner())]

    @workflow.signal
    def put(self, item: str) -> None:
        assert workflow.current_update_info() is None
        self.items.append(item)

    @workflow.signal
    def close(self) -> None:
        self.closed = True

    @workflow.query
    def content(self) -> list[str]:
        return self.items


def rejection(driven: Driven) -> BaseException:
    """Why the only rejected update was not let in."""
    (found,) = driven.rejections
    assert isinstance(found, UpdateRejection)
    return CONVERTER.from_failure(found.failure)


def test_an_update_is_let_in_and_completed_in_one_task() -> None:
    driven = Driven(Cart)
    driven.step()
    assert kinds(driven.step(driven.updated("add", "cola"))) == [
        "AcceptUpdate add",
        "CompleteUpdate add",
    ]
    assert driven.outcome("add") == 1
    assert driven.types("Update") == [
        "WorkflowExecutionUpdateAccepted",
        "WorkflowExecutionUpdateCompleted",
    ]
    driven.step(driven.signaled("close"))
    assert driven.result() == ["cola"]
    driven.check_replays()


def test_an_update_waits_for_an_activity_over_several_tasks() -> None:
    driven = Driven(Cart)
    driven.step()
    driven.step(driven.updated("order", "pizza"))
    assert driven.types("Update") == ["WorkflowExecutionUpdateAccepted"]
    driven.step(driven.completed("fetch", "oven"))
    assert driven.outcome("order") == "pizza from oven"
    driven.step(driven.signaled("close"))
    assert driven.result() == ["pizza?", "pizza"]
    driven.check_replays()


def test_an_update_comes_with_the_first_task_and_finds_an_initialised_object() -> None:
    driven = Driven(Cart, 1)
    assert kinds(driven.step(driven.updated("add", "cola"))) == [
        "AcceptUpdate add",
        "CompleteUpdate add",
    ]
    driven.step(driven.signaled("close"))
    assert driven.result() == ["cola"]
    driven.check_replays()


def test_a_rejected_update_leaves_no_trace_in_the_history() -> None:
    driven = Driven(Cart, 0)
    driven.step()
    before = list(driven.history)
    driven.step(driven.updated("add", "cola"))
    assert driven.history == before
    error = rejection(driven)
    assert isinstance(error, ApplicationError)
    assert (error.type, error.message) == ("Full", "no room for cola")
    driven.step(driven.signaled("close"))
    assert driven.result() == []
    driven.check_replays()


def test_a_validator_sees_what_the_update_before_it_in_the_same_task_has_done() -> None:
    driven = Driven(Cart, 1)
    driven.step()
    news = [driven.updated("add", item, id=item) for item in ("a", "b")]
    assert kinds(driven.step(*news)) == ["AcceptUpdate a", "CompleteUpdate a"]
    assert [one.request.update_id for one in driven.rejections] == ["b"]
    driven.step(driven.signaled("close"))
    assert driven.result() == ["a"]
    driven.check_replays()


def test_signals_and_updates_are_handled_in_the_order_in_which_they_came_also_on_replay() -> None:
    driven = Driven(Cart, 10)
    driven.step()
    driven.step(
        driven.signaled("put", "1"),
        driven.updated("add", "2", id="a"),
        driven.signaled("put", "3"),
        driven.updated("add", "4", id="b"),
        driven.signaled("close"),
    )
    assert driven.result() == ["1", "2", "3", "4"]
    driven.check_replays()


def test_the_same_id_again_has_one_effect_whenever_it_comes() -> None:
    driven = Driven(Cart, 10)
    driven.step()
    driven.step(driven.updated("order", "pizza", id="u"), driven.updated("order", "pizza", id="u"))
    before = len(driven.history)
    driven.step(driven.updated("order", "pizza", id="u"))
    driven.step(driven.completed("fetch", "oven"))
    driven.step(driven.updated("order", "pizza", id="u"))
    assert driven.types("UpdateAccepted") == ["WorkflowExecutionUpdateAccepted"]
    assert driven.types("ActivityTaskScheduled") == ["ActivityTaskScheduled"]
    assert len(driven.history) > before
    driven.step(driven.signaled("close"))
    assert driven.result() == ["pizza?", "pizza"]


def test_all_who_send_one_id_in_one_task_hear_that_it_was_rejected() -> None:
    driven = Driven(Cart, 0)
    driven.step()
    again = driven.updated("add", "cola", id="u")
    driven.step(again, again)
    assert driven.rejections[0].request.operation_ids == ("operation-u", "operation-u")


def test_a_rejected_id_may_be_tried_again() -> None:
    driven = Driven(Cart, 0)
    driven.step()
    driven.step(driven.updated("add", "cola", id="u"))
    driven.step(driven.updated("add", "cola", id="u"))
    assert len(driven.rejections) == 2


@workflow.defn
class Judge:
    """Its validators do what they must not, or what they may."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.done = False

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: self.done)
        return self.notes

    @workflow.update
    def judge(self, words: list[str]) -> list[str]:
        self.notes += words
        return words

    @judge.validator
    def look(self, words: list[str]) -> None:
        info = workflow.current_update_info()
        assert info is not None
        words.append(info.id)
        if words[0] == "command":
            workflow.start_activity("no", start_to_close_timeout=CLOSE)
        if words[0] == "task":
            asyncio.ensure_future(asyncio.sleep(1))  # noqa: RUF006  # it is refused
        if words[0] == "bug":
            raise KeyError("any error rejects")
        if words[0] == "cancel":
            raise asyncio.CancelledError
        if words[0] == "outside":
            open("/dev/null")  # noqa: SIM115  # it is refused when guarded

    @workflow.signal
    def finish(self) -> None:
        self.done = True


@pytest.mark.parametrize("what", ["command", "task"])
def test_a_validator_that_changes_the_run_fails_the_task(what: str) -> None:
    driven = Driven(Judge)
    driven.step()
    failed = driven.attempt(driven.updated("judge", [what]))
    assert isinstance(failed, TaskFailure)
    assert failed.cause is WorkflowTaskFailureCause.WORKFLOW_CODE
    assert "a validator must not change the workflow" in failed.failure.message


@pytest.mark.parametrize("what", ["bug", "cancel"])
def test_any_exception_of_a_validator_rejects(what: str) -> None:
    driven = Driven(Judge)
    driven.step()
    driven.step(driven.updated("judge", [what]))
    assert len(driven.rejections) == 1
    assert driven.types("Update") == []


def test_a_handler_gets_arguments_that_its_validator_has_not_touched() -> None:
    driven = Driven(Judge)
    driven.step()
    driven.step(driven.updated("judge", ["fine"]))
    assert driven.outcome("judge") == ["fine"]
    driven.step(driven.signaled("finish"))
    assert driven.result() == ["fine"]
    driven.check_replays()


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("nothing", ["x"], "no update handler is named 'nothing'; known: add, fail, order, whoami"),
        ("add", [], "takes 1 argument"),
        ("add", [[1]], "argument 1 'item' of 'add' does not fit"),
    ],
)
def test_what_no_handler_can_take_is_rejected(name: str, args: list[Any], words: str) -> None:
    driven = Driven(Cart)
    driven.step(driven.updated(name, *args))
    assert words in str(rejection(driven))
    driven.step(driven.signaled("close"))
    assert driven.result() == []
    driven.check_replays()


@pytest.mark.parametrize("how", ["at once", "late"])
def test_a_failure_is_the_outcome_of_its_update_and_the_run_goes_on(how: str) -> None:
    driven = Driven(Cart)
    driven.step()
    driven.step(driven.updated("fail", how))
    if how == "late":
        driven.step(driven.completed("fetch"))
    error = driven.outcome("fail")
    assert isinstance(error, ApplicationError)
    assert (error.message, error.details, error.type) == (how, ("detail",), "Bad")
    driven.step(driven.signaled("close"))
    assert driven.result() == []
    driven.check_replays()


def test_a_bug_in_a_handler_fails_the_task_and_nothing_is_accepted() -> None:
    driven = Driven(Cart)
    driven.step()
    failed = driven.attempt(driven.updated("fail", "bug"))
    assert isinstance(failed, TaskFailure)
    assert driven.types("Update") == []


def test_what_the_definition_lists_as_failures_fails_the_update() -> None:
    driven = Driven(Cart, failure_exception_types=[KeyError])
    driven.step()
    driven.step(driven.updated("fail", "bug"))
    assert isinstance(driven.outcome("fail"), ApplicationError)
    assert driven.is_open
    driven.step(driven.signaled("close"))
    driven.check_replays()


def test_the_update_is_known_in_its_handler_and_in_tasks_made_there() -> None:
    driven = Driven(Cart)
    driven.step(driven.updated("whoami", id="u1"), driven.signaled("put", "x"))
    assert driven.outcome("u1") == ["whoami u1"]
    driven.step(driven.signaled("close"))
    driven.check_replays()


@workflow.defn
class Parting:
    """Ends while updates run, or waits for them; `how` says which."""

    def __init__(self) -> None:
        self.go = False

    @workflow.run
    async def run(self, how: str) -> str:
        await workflow.wait_condition(lambda: self.go)
        if how == "fail":
            raise ApplicationError("over")
        if how == "again":
            workflow.continue_as_new(how)
        if how == "wait":
            await workflow.wait_condition(workflow.all_handlers_finished)
        return "ended"

    @workflow.signal
    def end(self) -> None:
        self.go = True

    @workflow.update
    async def slow(self) -> str:
        return str(await call("work"))

    @workflow.update
    async def late(self) -> None:
        await workflow.wait_condition(lambda: self.go)
        for _ in range(9):
            await asyncio.sleep(0)
        await call("work")

    @workflow.update(unfinished_policy=HandlerUnfinishedPolicy.ABANDON)
    async def loose(self) -> None:
        await call("work")

    @workflow.update
    def release(self) -> str:
        self.go = True
        return "released"

    @workflow.update
    async def leave(self) -> None:
        workflow.continue_as_new("wait")

    @workflow.update
    async def busy(self) -> str:
        self.go = True
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return "done"


def test_an_update_that_ends_with_its_run_has_its_outcome_before_the_end() -> None:
    for name in ("release", "busy"):
        driven = Driven(Parting, "return")
        driven.step()
        driven.step(driven.updated(name))
        assert driven.types()[-3:] == [
            "WorkflowExecutionUpdateAccepted",
            "WorkflowExecutionUpdateCompleted",
            "WorkflowExecutionCompleted",
        ]
        driven.check_replays()


def test_a_handler_that_asks_for_more_after_the_end_gets_nothing() -> None:
    driven = Driven(Parting, "return")
    driven.step()
    with pytest.warns(workflow.UnfinishedUpdateHandlersWarning, match=r"'late' \(id 'late'\)"):
        commands = driven.step(driven.signaled("end"), driven.updated("late"))
    assert kinds(commands) == [
        "AcceptUpdate late",
        "CompleteWorkflowExecution",
    ]
    driven.check_replays()


@pytest.mark.parametrize("how", ["return", "fail", "again", "cancel"])
def test_ending_while_an_update_runs_warns(how: str) -> None:
    driven = Driven(Parting, how)
    driven.step()
    driven.step(driven.updated("slow", id="u7"))
    with pytest.warns(workflow.UnfinishedUpdateHandlersWarning, match="'slow' \\(id 'u7'\\)"):
        driven.step(driven.cancel_asked() if how == "cancel" else driven.signaled("end"))
    assert not driven.is_open
    assert driven.types("UpdateCompleted") == []
    driven.check_replays()


def test_ending_warns_of_signals_and_updates_apart_and_not_of_those_that_may_be_left() -> None:
    driven = Driven(Parting, "return")
    driven.step()
    driven.step(driven.updated("loose"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        driven.step(driven.signaled("end"))
    assert not driven.is_open
    driven.check_replays()


def test_a_run_can_wait_until_its_updates_have_ended() -> None:
    driven = Driven(Parting, "wait")
    driven.step()
    driven.step(driven.updated("slow"))
    driven.step(driven.signaled("end"))
    assert driven.is_open
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        driven.step(driven.completed("work", "pizza"))
    assert driven.result() == "ended"
    assert driven.outcome("slow") == "pizza"
    driven.check_replays()


def test_an_update_may_continue_as_new() -> None:
    driven = Driven(Parting, "return")
    driven.step()
    driven.step(driven.updated("leave"))
    assert driven.successor is not None
    assert driven.types("UpdateCompleted") == []
    driven.check_replays()


@workflow.defn
class Patient(Parting):
    @workflow.run
    async def run(self) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await workflow.wait_condition(workflow.all_handlers_finished)
        return "ended"


def test_cancelling_the_run_leaves_handlers_alone() -> None:
    driven = Driven(Patient)
    driven.step()
    driven.step(driven.updated("slow"))
    driven.step(driven.cancel_asked())
    driven.step(driven.completed("work", "pizza"))
    assert driven.outcome("slow") == "pizza"
    driven.check_replays()


@workflow.defn
class Canceller:
    """Cancels a handler's task from the run method."""

    def __init__(self) -> None:
        self.task: asyncio.Task[Any] | None = None

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: self.task is not None)
        await workflow.sleep(1)
        assert self.task is not None
        self.task.cancel()
        await workflow.wait_condition(workflow.all_handlers_finished)

    @workflow.update
    async def slow(self) -> None:
        self.task = asyncio.current_task()
        await asyncio.sleep(60)


def test_a_handler_that_is_cancelled_fails_its_update() -> None:
    driven = Driven(Canceller)
    driven.step()
    driven.step(driven.updated("slow"))
    driven.step(driven.fired(2))
    assert isinstance(driven.outcome("slow"), CancelledError)
    assert not driven.is_open
    driven.check_replays()


@workflow.defn
class Settings:
    """Its handlers are set while it runs."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.stop = False

    @workflow.run
    async def run(self) -> list[str]:
        workflow.set_update_handler("early", self.note)
        await workflow.sleep(1)
        workflow.set_update_handler("later", self.note, validator=self.check)
        await workflow.sleep(1)
        workflow.set_dynamic_update_handler(self.rest)
        workflow.set_update_handler("early", None)
        assert workflow.get_update_handler("early") is None
        assert workflow.get_update_handler("later") == self.note
        assert workflow.get_dynamic_update_handler() == self.rest
        await workflow.wait_condition(lambda: self.stop)
        return self.seen

    def note(self, text: str) -> str:
        self.seen.append(text)
        return text

    def check(self, text: str) -> None:
        if not text:
            raise ValueError("empty")

    def rest(self, name: str, args: Sequence[RawValue]) -> str:
        value = workflow.payload_converter().from_payload(args[0].payload, str)
        self.seen.append(f"{name}={value}")
        self.stop = name == "stop"
        return name


def test_handlers_are_set_replaced_and_removed_while_a_run_goes_on() -> None:
    driven = Driven(Settings)
    driven.step(driven.updated("early", "a", id="1"), driven.updated("later", "b", id="2"))
    assert driven.outcome("1") == "a"
    assert [one.request.update_id for one in driven.rejections] == ["2"]
    driven.step(driven.fired(1))
    driven.step(driven.updated("later", "c", id="3"), driven.updated("later", "", id="4"))
    assert [one.request.update_id for one in driven.rejections] == ["2", "4"]
    driven.step(driven.fired(2))
    driven.step(driven.updated("early", "d", id="5"), driven.updated("stop", "e", id="6"))
    assert (driven.outcome("5"), driven.outcome("6")) == ("early", "stop")
    assert driven.result() == ["a", "c", "early=d", "stop=e"]
    driven.check_replays()


def test_a_validator_without_a_handler_is_refused() -> None:
    driven = Driven(Settings)
    driven.step()
    with pytest.raises(ValueError, match="a validator needs a handler"):
        driven.run.handlers.set_update("x", None, lambda: None)


# Nondeterminism -----------------------------------------------------------------------------------


@workflow.defn(name="Cart")
class CartWithoutAdd:
    @workflow.run
    async def run(self, room: int = 2) -> None:
        await asyncio.Event().wait()


@workflow.defn(name="Cart")
class CartThatWaits(Cart):
    @workflow.run
    async def run(self, room: int = 2) -> None:
        await asyncio.Event().wait()

    @workflow.update
    async def add(self, item: str) -> int:
        return len(str(await call("count")))


@workflow.defn(name="Cart")
class StricterCart(Cart):
    @workflow.run
    async def run(self, room: int = 2) -> None:
        await asyncio.Event().wait()

    @workflow.update
    def add(self, item: str) -> int:
        return 1

    @add.validator
    def never(self, item: str) -> None:
        raise ApplicationError("no longer")


def accepted_add() -> Driven:
    driven = Driven(Cart)
    driven.step()
    driven.step(driven.updated("add", "cola"))
    return driven


def test_code_that_has_lost_a_handler_of_an_accepted_update_is_nondeterministic() -> None:
    answer = accepted_add().replay(CartWithoutAdd)
    assert isinstance(answer, TaskFailure)
    assert answer.cause is WorkflowTaskFailureCause.NONDETERMINISM
    assert "'add' (id 'add') accepted, but the code cannot take it" in answer.failure.message


def test_a_handler_that_no_longer_completes_its_update_is_nondeterministic() -> None:
    answer = accepted_add().replay(CartThatWaits)
    assert isinstance(answer, TaskFailure)
    assert "WorkflowExecutionUpdateCompleted 'add'" in answer.failure.message
    assert "ScheduleActivityTask 'count'" in answer.failure.message


def test_a_validator_is_not_asked_about_an_accepted_update_again() -> None:
    assert accepted_add().replay(StricterCart) == Commands()


# Bounds -------------------------------------------------------------------------------------------


def test_all_updates_of_a_task_are_let_in_by_its_first_commit() -> None:
    driven = Driven(Cart, 1_000)
    driven.step()
    count = COMMIT_COMMANDS_MAX + 50
    driven.step(*(driven.updated("add", "x", id=f"u{n}") for n in range(count)))
    types = driven.types("Update")
    assert (
        types
        == ["WorkflowExecutionUpdateAccepted"] * count
        + ["WorkflowExecutionUpdateCompleted"] * count
    )
    accepted, *_ = driven.parts[-count // COMMIT_COMMANDS_MAX - 1 :]
    assert sum(event.type.endswith("Accepted") for event in accepted.events) == count
    assert accepted.unfinished
    driven.check_replays()


def test_a_run_with_too_many_open_updates_refuses_more_without_asking_its_code() -> None:
    driven = Driven(Cart)
    driven.step()
    driven.step(*(driven.updated("order", "x", id=f"u{n}") for n in range(UPDATES_OPEN_MAX)))
    driven.step(driven.updated("order", "x", id="more"))
    (answer,) = driven.parts[-1].answers
    assert "500 updates are open" in answer.reply.refused
    driven.step(driven.completed("fetch"))
    driven.step(driven.updated("order", "x", id="more"))
    assert driven.state.updates["more"].completed_event_id is None


def test_a_run_that_has_had_too_many_updates_refuses_more_but_knows_the_old_ones() -> None:
    driven = Driven(Cart, 10_000)
    driven.step()
    for start in range(0, UPDATES_MAX, UPDATES_OPEN_MAX):
        numbers = range(start, start + UPDATES_OPEN_MAX)
        driven.step(*(driven.updated("add", "x", id=f"u{n}") for n in numbers))
    driven.step(driven.updated("add", "x", id="more"), driven.updated("add", "x", id="u7"))
    (answer,) = driven.parts[-1].answers
    assert (answer.operation_id, "2000 updates" in answer.reply.refused) == ("operation-more", True)


def test_an_activity_error_that_leaves_a_handler_fails_the_update() -> None:
    driven = Driven(Cart)
    driven.step()
    driven.step(driven.updated("order", "pizza"))
    driven.step(driven.failed("fetch", "no oven"))
    assert isinstance(driven.outcome("order"), ActivityError)
    driven.step(driven.signaled("close"))
    driven.check_replays()


def test_nothing_but_rejected_updates_moves_no_time_and_looks_at_no_condition() -> None:
    driven = Driven(Watcher)
    driven.step()
    driven.step(driven.updated("no"), after_ms=3_600_000)
    assert driven.is_open
    driven.step(driven.signaled("look"))
    assert driven.result() > 3_000
    driven.check_replays()


@workflow.defn
class Watcher:
    """Its condition becomes true by time alone, which it must not, and which must not matter."""

    @workflow.run
    async def run(self) -> float:
        begun = workflow.time()
        await workflow.wait_condition(lambda: workflow.time() > begun + 60)
        return workflow.time() - begun

    @workflow.signal
    def look(self) -> None:
        pass

    @workflow.update
    def no(self) -> None:
        pass

    @no.validator
    def never(self) -> None:
        raise ApplicationError("no")


def test_tasks_are_numbered_as_if_rejected_updates_had_never_come() -> None:
    driven = Driven(Names)
    driven.step()
    driven.step(driven.updated("add", 0, id="a"), driven.updated("add", 1, id="b"))
    driven.step(driven.updated("add", 0, id="c"), driven.updated("add", 2, id="d"))
    assert len(driven.rejections) == 2
    driven.check_replays()


@workflow.defn
class Names:
    """Its activities are named after its tasks, which nobody should do and which must hold."""

    @workflow.run
    async def run(self) -> None:
        await asyncio.Event().wait()

    @workflow.update
    async def add(self, number: int) -> None:
        async def work() -> None:
            task = asyncio.current_task()
            assert task is not None
            await call(task.get_name())

        await asyncio.create_task(work())

    @add.validator
    def check(self, number: int) -> None:
        if number == 0:
            raise ValueError("zero")


def test_an_accepted_update_holds_its_request_and_where_it_came() -> None:
    driven = Driven(Cart)
    driven.step()
    driven.step(
        driven.signaled("put", "1"), driven.updated("add", "2"), driven.signaled("put", "3")
    )
    accepted = next(
        event.attributes
        for event in driven.history
        if isinstance(event.attributes, e.WorkflowExecutionUpdateAccepted)
    )
    before = driven.history[accepted.sequencing_event_id - 1].attributes
    assert isinstance(before, e.WorkflowExecutionSignaled)
    assert CONVERTER.from_payloads(before.input) == ["1"]
    assert CONVERTER.from_payloads(accepted.input) == ["2"]
    assert isinstance(driven.tasks[-1][0], c.AcceptUpdate)


@workflow.defn
class Chatty:
    """Writes to the log in its handlers."""

    @workflow.run
    async def run(self) -> None:
        workflow.logger.warning("run")
        await asyncio.Event().wait()

    @workflow.update
    async def tell(self) -> None:
        workflow.logger.warning("told")


def test_a_log_line_of_a_handler_names_its_update(caplog: pytest.LogCaptureFixture) -> None:
    driven = Driven(Chatty)
    driven.step(driven.updated("tell", id="u1"))
    fields = {record.message: record.workflow for record in caplog.records}  # type: ignore[attr-defined]  # an extra field
    assert (fields["told"]["update_id"], fields["told"]["update_name"]) == ("u1", "tell")
    assert "update_id" not in fields["run"]
    driven.check_replays()
