"""Requests of clients that speak AMQP only: from the message to the run, and the answer back.

A request exists nowhere but in its message until the store has it. So a delivery is acknowledged
last: after the run is there (or the refusal is definite), its wake-up was sent and the asker was
answered; or after the dead queue has confirmed what can never be done. While a server is away the
delivery stays in hand and the same act is tried again once a second, for some seconds: then another
process may have it, whose servers answer. A crash anywhere means a redelivery, and the redelivery
finds what was done, because the request id names the run.

What cannot be understood goes to the dead queue with the reason. What policies refuse does not:
refusing doubles is what they are for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import assert_never

from orchestrator.core.shard import shard_of
from orchestrator.core.start import StartOptions, options_of, start_of
from orchestrator.exceptions import (
    InvalidNameError,
    MalformedMessageError,
    MisconfiguredError,
    PayloadTooLargeError,
    RPCError,
    UnavailableError,
)
from orchestrator.ids import Namespace, ShardId, WorkflowId
from orchestrator.limits import (
    DRIVEN_BY_ARMER_MS,
    IDLE_POLL_MS,
    MESSAGE_BYTES_MAX,
    REASON_CHARS_MAX,
    REQUEST_ABSENCES_MAX,
    REQUEST_ATTEMPTS_MAX,
)
from orchestrator.ports.broker import Broker, Delivery, Outgoing, ReplyTo
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import Attached, Full, StartAnswer, Started, StartRefused, Store
from orchestrator.relay.burial import bury
from orchestrator.relay.dispatch import Dispatcher
from orchestrator.telemetry.log import bind, get_logger
from orchestrator.telemetry.metrics import Counters
from orchestrator.wire import codec
from orchestrator.wire.messages import (
    LATER_REQUESTS,
    REQUESTS,
    ErrorResponse,
    RequestName,
    Response,
    StartResponse,
)
from orchestrator.wire.options import RunStatus

Expect = Callable[[ShardId, int], None]
"""Something is due on a shard at a time: drive it."""
_CANNOT_BE = (MalformedMessageError, InvalidNameError, PayloadTooLargeError, RPCError)


class _LeftToOthersError(Exception):
    """The act under way is left to whoever gets the delivery next."""


class Gateway:
    """Does the requests of one namespace. Owns a task for each delivery in work; the consumer's
    prefetch bounds their number."""

    def __init__(
        self,
        store: Store,
        broker: Broker,
        dispatcher: Dispatcher,
        *,
        namespace: Namespace,
        expect: Expect,
        clock: Clock,
        counters: Counters,
    ) -> None:
        self._store = store
        self._broker = broker
        self._dispatcher = dispatcher
        self._namespace = namespace
        self._expect = expect
        self._clock = clock
        self._counters = counters
        self._log = bind(get_logger(__name__), namespace=namespace)
        self._is_store_away = False
        self._draining = asyncio.Event()
        self._work: set[asyncio.Task[None]] = set()

    def take(self, deliveries: Sequence[Delivery]) -> None:
        """Take a batch from the queue of requests. Never waits, never raises."""
        for delivery in deliveries:
            work = asyncio.get_running_loop().create_task(self._do(delivery))
            self._work.add(work)
            work.add_done_callback(self._work.discard)

    async def drain(self) -> None:
        """Finish what is in work. What waits for a server that is away is given back."""
        self._draining.set()
        while self._work:
            await asyncio.wait(self._work)

    def abort(self) -> None:
        """Cancel everything in work: it is delivered again, elsewhere."""
        for work in self._work:
            work.cancel()

    async def _do(self, delivery: Delivery) -> None:
        self._counters.add("gateway_requests_taken")
        try:
            await self._request(delivery)
        except _LeftToOthersError:
            delivery.give_back()

    async def _request(self, delivery: Delivery) -> None:
        try:
            options = _read(delivery.body)
            answer = await self._start(options)
        except _CANNOT_BE as error:
            await self._bury(delivery, _refusal(delivery.body, error))
            return
        except _LeftToOthersError:
            raise
        except Exception as error:  # the boundary of one request: the others must go on
            self._log.exception("request_failed")
            await self._bury(delivery, _refusal(delivery.body, error))
            return
        await self._settle(delivery, options, answer)

    async def _start(self, options: StartOptions) -> StartAnswer:
        """The store's answer. While the store is away it is asked once a second, for a while; then
        the request is left to a process that may reach it.

        Raises:
            Exception: what was not foreseen went wrong `REQUEST_ATTEMPTS_MAX` times in a row.
        """
        failures = absences = 0
        while True:
            try:
                answer = await self._store.start(start_of(options, now_ms=self._clock.now_ms()))
                self._is_store_away = False
                return answer
            except _CANNOT_BE:
                raise
            except (UnavailableError, MisconfiguredError) as error:
                if not self._is_store_away:
                    self._log.warning("requests_wait_for_store", reason=str(error))
                self._is_store_away = True
                absences += 1
                if absences == REQUEST_ABSENCES_MAX:
                    raise _LeftToOthersError from None
            except Exception:  # the boundary to the store: it may be a passing trouble
                failures += 1
                if failures == REQUEST_ATTEMPTS_MAX:
                    raise
            await self._pause()

    async def _settle(self, delivery: Delivery, options: StartOptions, answer: StartAnswer) -> None:
        """Tell everybody whom the outcome concerns; the asker's delivery is acknowledged last."""
        woken = asyncio.Event()
        woken.set()
        match answer:
            case Started(run_id=run_id, new=new):
                self._counters.add("gateway_runs_started" if new else "gateway_starts_repeated")
                if new:
                    self._drive(options, now_ms=answer.now_ms)
                if answer.wake is not None:
                    woken.clear()
                    workflow_id = WorkflowId(options.workflow_id)
                    self._dispatcher.wake(workflow_id, answer.wake, lambda _: woken.set())
                self._answer(delivery, _started(options, run_id, started=new))
            case Attached(run_id=run_id):
                self._counters.add("gateway_starts_attached")
                self._answer(delivery, _started(options, run_id, started=False))
            case StartRefused():
                self._counters.add("gateway_starts_refused")
                response = _taken(options, answer)
                self._log.info("start_refused", reason=response.message)
                self._answer(delivery, response)
            case Full(unread=unread):
                message = f"the run has {unread} unread entries; repeat the request later"
                request_id = options.request_id
                self._answer(
                    delivery,
                    ErrorResponse(code="unavailable", message=message, request_id=request_id),
                )
            case _ as unknown:
                assert_never(unknown)
        await woken.wait()  # Sent or lost: a lost wake-up is made again from its row.
        delivery.ack()

    def _drive(self, options: StartOptions, *, now_ms: int) -> None:
        """Who arms what is due soon drives it, beside the shard's owner."""
        shard = shard_of(
            self._namespace, WorkflowId(options.workflow_id), shards=self._store.shards
        )
        times_ms = (options.start_delay_ms, options.run_timeout_ms, options.execution_timeout_ms)
        for time_ms in times_ms:
            if time_ms and time_ms <= DRIVEN_BY_ARMER_MS:
                self._expect(shard, now_ms + time_ms)

    async def _bury(self, delivery: Delivery, refusal: ErrorResponse) -> None:
        """Move what cannot be done to the dead queue, answer, and only then acknowledge."""
        self._counters.add("gateway_requests_dead")
        self._log.warning(
            "request_dead",
            code=refusal.code,
            reason=refusal.message,
            request_id=_cut(refusal.request_id),
        )
        is_buried = await bury(
            self._broker,
            self._clock,
            delivery,
            f"{refusal.code}: {refusal.message}",
            leaving=self._draining,
        )
        if not is_buried:
            raise _LeftToOthersError
        self._answer(delivery, refusal)
        delivery.ack()

    def _answer(self, delivery: Delivery, response: Response) -> None:
        if delivery.reply_to:
            self._broker.publish(
                Outgoing(
                    to=ReplyTo(delivery.reply_to),
                    body=codec.encode(response),
                    correlation_id=delivery.correlation_id,
                )
            )

    async def _pause(self) -> None:
        """Wait a second before the next try.

        Raises:
            _LeftToOthersError: there is no next try, the process goes.
        """
        if not self._draining.is_set():
            await self._clock.wait(self._draining, timeout_ms=IDLE_POLL_MS)
        if self._draining.is_set():
            raise _LeftToOthersError


def _read(body: bytes) -> StartOptions:
    if len(body) > MESSAGE_BYTES_MAX:
        raise PayloadTooLargeError("a request", len(body), MESSAGE_BYTES_MAX)
    return options_of(codec.decode_request(body))


def _refusal(body: bytes, error: Exception) -> ErrorResponse:
    """The answer to a request that cannot be done because of `error`."""
    is_readable = len(body) <= MESSAGE_BYTES_MAX
    name = codec.name_request(body) if is_readable else RequestName()
    match error:
        case MalformedMessageError() if name.type and name.type not in REQUESTS:
            is_later = name.type in LATER_REQUESTS
            code = "unimplemented" if is_later else "invalid_argument"
            known = ", ".join(REQUESTS)
            message = f"expected a request of type {known}, found {name.type!r}"
            if is_later:
                message += ", which this release cannot do; use the Python client"
        case RPCError():
            code, message = "invalid_argument", error.message
        case MalformedMessageError() | InvalidNameError() | PayloadTooLargeError():
            code, message = "invalid_argument", str(error)
        case _:
            code, message = "internal", f"the request failed, which is a defect: {error!r}"
    return ErrorResponse(code=code, message=_cut(message), request_id=name.request_id)


def _cut(text: str) -> str:
    return text if len(text) <= REASON_CHARS_MAX else f"{text[: REASON_CHARS_MAX - 1]}…"


def _started(options: StartOptions, run_id: str, *, started: bool) -> StartResponse:
    return StartResponse(
        request_id=options.request_id,
        workflow_id=options.workflow_id,
        run_id=run_id,
        started=started,
    )


def _taken(options: StartOptions, refused: StartRefused) -> ErrorResponse:
    found = (
        f"workflow id {options.workflow_id!r} is taken by {refused.workflow_type} "
        f"run {refused.run_id!r}, {refused.status.value}"
    )
    remedy = "another id_reuse_policy allows a new run"
    if refused.status is RunStatus.RUNNING:
        remedy = "id_conflict_policy use_existing answers with that run"
    return ErrorResponse(
        code="already_exists",
        message=f"{found}; choose another workflow id, or: {remedy}",
        request_id=options.request_id,
    )
