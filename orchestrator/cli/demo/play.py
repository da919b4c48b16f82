"""What happens in the demo: orders come in, something breaks, everything ends, the books are read.

The plot is the same on every scene. A play never decides whether it went well: the checks do.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from orchestrator.cli.demo.books import audit_orders
from orchestrator.cli.demo.orders import PlacedOrder
from orchestrator.cli.demo.progress import Progress, count_steps
from orchestrator.cli.demo.scene import RealScene, Scene
from orchestrator.cli.demo.show import Show
from orchestrator.client import WorkflowFailureError
from orchestrator.testing.audit import Check, attempts_of, audit_attempts
from orchestrator.testing.checker.life import check_life
from orchestrator.testing.checker.operations import Answer, Operation, OperationKind
from orchestrator.testing.checker.workflows import Histories, RunName
from orchestrator.testing.ledger import ActivityName
from orchestrator.wire import events as e

WORKERS = 3
_TICK_SECONDS = 0.25
_PATIENCE_SECONDS = 120.0
"""For a number of orders to end; what has not ended then counts as lost."""
_HISTORIES_AT_A_TIME = 20
_ACTIVITY_ENDS = (
    e.ActivityTaskCompleted,
    e.ActivityTaskFailed,
    e.ActivityTaskTimedOut,
    e.ActivityTaskCanceled,
)


@dataclass(frozen=True)
class Accident:
    """Something that goes wrong, and what is said about it."""

    what: str
    cause: Callable[[], Awaitable[str]]
    """Does it; what it returns is said as well."""


class Play:
    """One performance; see `performance`."""

    def __init__(self, scene: Scene, show: Show) -> None:
        self.scene = scene
        self.show = show
        self.orders: list[PlacedOrder] = []
        self.ends: dict[str, str] = {}
        self._answered: set[str] = set()
        self._by_request: dict[str, PlacedOrder] = {}
        self._news = asyncio.Event()

    def place(self, orders: Sequence[PlacedOrder]) -> None:
        """Publish the orders' start messages."""
        self.orders += orders
        self._by_request.update({order.request_id: order for order in orders})
        self.scene.ask(orders)

    async def until_ended(
        self,
        orders: Sequence[PlacedOrder],
        share: float = 1.0,
        *,
        patience_s: float = _PATIENCE_SECONDS,
    ) -> bool:
        """Wait until so many of `orders` have ended; False when they do not in time."""
        wanted = round(len(orders) * share)
        try:
            async with asyncio.timeout(patience_s):
                while sum(order.workflow_id in self.ends for order in orders) < wanted:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def audit(self) -> tuple[Check, ...]:
        """Read the ledger and the histories, and hold them against each other."""
        rows, histories = self.scene.rows(), await self._histories()
        return (
            *audit_orders(self.orders, self.ends, rows),
            *audit_attempts(
                rows,
                recorded_us=_recorded_us(histories),
                interruptions=self.scene.interruptions,
            ),
            *check_life(histories, log=self._log(), is_quiet=True),
        )

    def most_telling(self) -> PlacedOrder:
        """An order that had a step in the hands of a worker when that died, if there is one."""
        killed = {one.pid for one in self.scene.interruptions}
        attempts = attempts_of(self.scene.rows())
        lost = {
            name.workflow_id
            for name, all_of_it in attempts.items()
            for attempt in all_of_it
            if (attempt.ended is None and attempt.begun.pid in killed)
            or (attempt.ended is not None and attempt.ended.outcome == "cancelled")
        }
        return next((one for one in self.orders if one.workflow_id in lost), self.orders[0])

    async def watch(self) -> None:
        """Follow every order that was answered to its end, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                request_id, answer = await self.scene.answers.get()
                order = self._by_request[request_id]
                if answer.get("type") == "started":
                    self._answered.add(request_id)
                    group.create_task(self._follow(order), name=order.workflow_id)
                else:
                    self._end(order, f"refused: {answer.get('message')}")

    async def tell(self) -> None:
        """Show the progress until cancelled; notice a worker that ended by itself."""
        while True:
            self.tell_now(now=False)
            self.scene.check()
            await asyncio.sleep(_TICK_SECONDS)

    def tell_now(self, *, now: bool = True) -> None:
        """Show how far it is."""
        killed = {one.pid for one in self.scene.interruptions}
        moment = Progress(
            placed=len(self.orders),
            ended=len(self.ends),
            outcomes=Counter(self.ends.values()),
            steps=count_steps(self.scene.rows(), killed),
            workers=self.scene.workers,
            seconds=self.show.seconds,
        )
        self.show.progress(moment, now=now)

    async def _follow(self, order: PlacedOrder) -> None:
        handle = self.scene.client.get_workflow_handle(order.workflow_id, run_id=order.request_id)
        try:
            result = await handle.result()
            self._end(order, str(result["outcome"]))
        except WorkflowFailureError as error:
            self._end(order, f"failed: {error.cause}")

    def _end(self, order: PlacedOrder, how: str) -> None:
        self.ends[order.workflow_id] = how
        self._news.set()

    def _log(self) -> list[Operation]:
        """What the publisher knows of its starts. It repeats one until it is answered."""
        return [
            Operation(
                kind=OperationKind.START,
                workflow_id=order.workflow_id,
                key=order.request_id,
                answer=Answer.DONE,
            )
            for order in self.orders
            if order.request_id in self._answered and order.workflow_id in self.ends
        ]

    async def _histories(self) -> dict[RunName, list[e.HistoryEvent]]:
        """Of all orders that have ended."""
        histories: dict[RunName, list[e.HistoryEvent]] = {}
        slots = asyncio.Semaphore(_HISTORIES_AT_A_TIME)

        async def read(order: PlacedOrder) -> None:
            run = RunName(order.workflow_id, order.request_id)
            handle = self.scene.client.get_workflow_handle(run.workflow_id, run_id=run.run_id)
            async with slots:
                histories[run] = [event async for event in handle.fetch_history_events()]

        async with asyncio.TaskGroup() as group:
            for order in self.orders:
                if order.workflow_id in self.ends:
                    group.create_task(read(order))
        return histories


def _recorded_us(histories: Histories) -> dict[ActivityName, int]:
    """When each activity's result became known. An event's time is cut to a millisecond; the end
    of that millisecond is taken, so that nothing looks later than it was."""
    return {
        ActivityName(*run, event.attributes.scheduled_event_id): event.time_ms * 1000 + 999
        for run, events in histories.items()
        for event in events
        if isinstance(event.attributes, _ACTIVITY_ENDS)
    }


@asynccontextmanager
async def performance(scene: Scene, show: Show) -> AsyncGenerator[Play]:
    """A play that follows its orders and tells of its progress for as long as the block lasts."""
    play = Play(scene, show)
    async with asyncio.TaskGroup() as group:
        helpers = [group.create_task(play.watch()), group.create_task(play.tell())]
        yield play
        for helper in helpers:
            helper.cancel()


async def calm(scene: Scene, show: Show, orders: Sequence[PlacedOrder]) -> tuple[Check, ...]:
    """One worker is killed half-way; everything else is as on any day."""
    async with performance(scene, show) as play:
        play.place(orders)
        show.say(f"{len(orders)} orders are placed by plain JSON messages; nobody works yet")
        for _ in range(WORKERS):
            show.say(f"{await scene.start_worker()} is started")
        await play.until_ended(orders, 0.5)
        show.say(f"half of the orders have ended: {await scene.kill_worker()} dies", style="red")
        if await play.until_ended(orders):
            show.say("every order has ended", style="green")
        return await _curtain(play)


async def chaos(scene: RealScene, show: Show, orders: Sequence[PlacedOrder]) -> tuple[Check, ...]:
    """One accident after another, each in the middle of its share of the orders."""

    async def kill_worker() -> str:
        killed = await scene.kill_worker()
        return f"{killed} died, {await scene.start_worker()} is started"

    async def kill_redis() -> str:
        await scene.kill_redis()
        return "Redis is back, with its data"

    async def kill_rabbitmq() -> str:
        await scene.kill_rabbitmq()
        return "RabbitMQ is back, with its data"

    async def wipe_rabbitmq() -> str:
        await scene.wipe_rabbitmq()
        return "RabbitMQ is back, without a single queue or message"

    accidents = (
        Accident("kill -9 of a worker", kill_worker),
        Accident("kill -9 of Redis", kill_redis),
        Accident("kill -9 of RabbitMQ", kill_rabbitmq),
        Accident("kill -9 of RabbitMQ, and its data are deleted", wipe_rabbitmq),
    )
    async with performance(scene, show) as play:
        for _ in range(WORKERS):
            show.say(f"{await scene.start_worker()} is started")
        for number, accident in enumerate(accidents):
            share = orders[number :: len(accidents)]
            await _with_accident(play, share, accident)
        return await _curtain(play)


async def _with_accident(play: Play, orders: Sequence[PlacedOrder], accident: Accident) -> None:
    """Place `orders`, let it happen in the middle of them, and wait for their ends."""
    show, before = play.show, play.scene.repeats()
    first, last = orders[: len(orders) * 3 // 4], orders[len(orders) * 3 // 4 :]
    play.place(first)
    await play.until_ended(first, 0.3)
    play.place(last)  # in the very moment of the accident: some of these messages may be lost
    show.say(f"{accident.what}, while {len(orders)} orders are under way", style="red")
    show.say(await accident.cause())
    all_ended = await play.until_ended(orders)
    repeats = play.scene.repeats() - before
    text = f"all {len(orders)} orders have ended; {repeats} start messages were published again"
    if all_ended:
        show.say(text, style="green")


async def _curtain(play: Play) -> tuple[Check, ...]:
    """Workers end in good order before the books are read: what still ran would look lost."""
    await play.scene.stop_workers()
    play.tell_now()
    play.show.end_progress()
    play.show.lines(*await play.scene.look_inside(play.most_telling()))
    return await play.audit()
