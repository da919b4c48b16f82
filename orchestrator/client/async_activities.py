"""An activity that is completed from outside: by a person, a callback, another program.

Its code has left it open (`activity.raise_complete_async`), or somebody decides in its place. There
is one outcome, whoever is first; whoever comes later is told that there is nothing to end.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec.structs import replace

from orchestrator.activity import ActivityCancellationDetails
from orchestrator.client.activity_operations import ActivityIds, ActivityOperations, Found
from orchestrator.core.attempts import canceled, completed, failed
from orchestrator.core.timeouts import detached_due_in_ms
from orchestrator.core.transition import FinishAttempt, Heartbeat
from orchestrator.exceptions import OrchestratorError, RPCError, RPCStatusCode
from orchestrator.ids import AttemptToken, TaskQueue
from orchestrator.limits import ASK_HOLDER_MS, MEETINGS_MAX
from orchestrator.ports.store import AttemptState, Finished, Gone
from orchestrator.relay.certainty import until_known
from orchestrator.relay.handover import Handover, leaving
from orchestrator.wire.inbox import AttemptStarted

_ABSENT = object()


class AsyncActivityCancelledError(OrchestratorError):
    """A heartbeat was answered with the wish that the activity shall end; `details` says why."""

    def __init__(self, details: ActivityCancellationDetails | None = None) -> None:
        super().__init__(details)
        self.details = details

    def __str__(self) -> str:
        return "the activity shall end: call report_cancellation when it has"


class AsyncActivityHandle(ActivityOperations):
    """An activity to heartbeat, complete, fail or report as cancelled; see
    `Client.get_async_activity_handle`. By its ids it may also be ended while it waits for a worker
    or for its next attempt. Every method raises RPCError NOT_FOUND when it has ended, or the
    attempt of the task token is not the current one any more."""

    async def heartbeat(self, *details: Any) -> None:  # Any: user's values
        """Say that the activity goes on; the next attempt, if there is one, finds `details`.

        Raises:
            AsyncActivityCancelledError: it was noted, and the activity shall end.
            RPCError: NOT_FOUND, as above, or because nobody has begun it.
        """
        payloads = tuple(await self._values.encode(details))
        found = await self._find()
        token = found.record.token
        if token is None or found.record.state is not AttemptState.RUNNING:
            raise self._not_found()
        beat = Heartbeat(
            name=found.name,
            token=token,
            details=payloads,
            due_in_ms=_beaten_due_in_ms(found, now_ms=self._services.clock.now_ms()),
        )
        answer = await until_known(
            lambda: self._services.store.heartbeat(beat), self._services.clock
        )
        if isinstance(answer, Gone):
            raise self._not_found()
        if answer.cancel_requested or answer.paused or answer.reset:
            raise AsyncActivityCancelledError(
                ActivityCancellationDetails(
                    cancel_requested=answer.cancel_requested,
                    paused=answer.paused,
                    reset=answer.reset,
                )
            )

    async def complete(self, result: Any = _ABSENT) -> None:  # Any: user's value
        """End the activity with `result`."""
        payload = None if result is _ABSENT else (await self._values.encode([result]))[0]
        await self._end(
            lambda found, token: completed(found.name, token, self._started(found), payload)
        )

    async def fail(
        self,
        error: BaseException,
        *,
        last_heartbeat_details: tuple[Any, ...] | list[Any] = (),  # Any: user's values
    ) -> None:
        """Fail the attempt; the activity's retry policy says whether there is another one.
        `last_heartbeat_details` are what that one finds."""
        failure = await self._values.encode_failure(error)
        if last_heartbeat_details:
            try:
                await self.heartbeat(*last_heartbeat_details)
            except AsyncActivityCancelledError:
                pass  # It ends now.
        await self._end(
            lambda found, token: failed(
                found.name, token, self._started(found), failure, found.scheduled.retry_policy
            )
        )

    async def report_cancellation(self, *details: Any) -> None:  # Any: user's values
        """End the activity as cancelled, after the workflow has asked for that.

        Raises:
            RPCError: FAILED_PRECONDITION, nobody has asked for it.
        """
        payloads = tuple(await self._values.encode(details))

        def end(found: Found, token: AttemptToken) -> FinishAttempt:
            if not found.record.cancel_requested:
                raise RPCError(
                    f"{self._described()} was not asked to end: complete it, or fail it",
                    RPCStatusCode.FAILED_PRECONDITION,
                )
            return canceled(found.name, token, self._started(found), payloads)

        await self._end(end)

    async def _end(self, end: Callable[[Found, AttemptToken], FinishAttempt]) -> None:
        """One outcome: the store takes the first. By ids the attempt may change under our hands."""
        by_ids = isinstance(self._target, ActivityIds)
        store, clock = self._services.store, self._services.clock
        for _ in range(MEETINGS_MAX if by_ids else 1):
            found = await self._find()
            token = found.record.token
            finish = end(found, token or AttemptToken(self._services.mint()))
            if token is None:
                finish = replace(finish, waiting_too=True)
            answer = await until_known(partial(store.finish, finish), clock)
            if not isinstance(answer, Gone):
                if isinstance(answer, Finished) and answer.wake is not None:
                    self._services.dispatcher.wake(found.name.workflow_id, answer.wake)
                if found.record.limits:
                    queue = TaskQueue(found.scheduled.task_queue)
                    leave = leaving(queue, found.name, found.record.limits)
                    await Handover(store).leave(leave)
                return
        raise self._not_found()

    def _started(self, found: Found) -> AttemptStarted:
        record = found.record
        return AttemptStarted(
            attempt=record.attempt,
            time_ms=record.started_at_ms or self._services.clock.now_ms(),
            identity=self._identity,
            last_failure=record.last_failure,
        )


def _beaten_due_in_ms(found: Found, *, now_ms: int) -> int | None:
    running_ms = max(0, now_ms - (found.record.started_at_ms or now_ms))
    due_in_ms = detached_due_in_ms(found.scheduled, running_ms=running_ms)
    if found.record.detached:
        return due_in_ms
    return ASK_HOLDER_MS if due_in_ms is None else min(due_in_ms, ASK_HOLDER_MS)
