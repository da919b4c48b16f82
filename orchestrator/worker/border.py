"""The border between a worker's workflow code and the outside: payloads cross it through the codec.

What comes in is decoded before the code is entered, what the code wished for is encoded before it
is committed; the code itself never waits for a codec. State that is folded from history keeps the
encoded form. A codec that fails, fails the task, which is tried again: keys may come back.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from orchestrator.converter import DataConverter
from orchestrator.exceptions import ConversionError, PayloadTooLargeError
from orchestrator.replay.facts import Activation, Completion, TaskFailure
from orchestrator.replay.run import WorkflowRun
from orchestrator.wire.events import HistoryEvent, MarkerRecorded, WorkflowTaskFailureCause
from orchestrator.wire.messages import QueryResponse, Response
from orchestrator.worker.user_code import UserCode

_T = TypeVar("_T")


class Border:
    """Of one worker. While `is_open` nothing changes on the way, and `activate` is not needed."""

    def __init__(self, values: DataConverter) -> None:
        self._values = values
        self.is_open = not values.has_codec

    async def activate(
        self, user_code: UserCode, run: WorkflowRun, activation: Activation
    ) -> Completion:
        """As `UserCode.activate`, with payloads decoded before and encoded after."""
        try:
            opened = await self.unseal_activation(activation)
        except ConversionError as error:
            return await self.failure_of(error)
        return await self.seal_completion(user_code.activate(run, opened))

    async def seal_completion(self, completion: Completion) -> Completion:
        """What the code wished for, or failed with, as it may leave."""
        if isinstance(completion, TaskFailure):
            return await self._sealed(completion)
        try:
            return await self._values.seal(completion)
        except (ConversionError, PayloadTooLargeError) as error:
            return await self.failure_of(error)

    async def unseal(self, value: _T) -> _T:
        """What came in, as the code reads it.

        Raises:
            ConversionError: the codec failed.
        """
        return await self._values.unseal(value)

    async def unseal_activation(self, activation: Activation) -> Activation:
        """The news decoded, and markers, which are news within a task; what else is recorded is
        compared by names only and stays as it is.

        Raises:
            ConversionError: the codec failed.
        """
        recorded = activation.recorded
        if recorded is not None:
            recorded = tuple([await self._unseal_marker(one) for one in recorded])
        news = await self._values.unseal(msgspec.structs.replace(activation, recorded=None))
        return msgspec.structs.replace(news, recorded=recorded)

    async def _unseal_marker(self, event: HistoryEvent) -> HistoryEvent:
        if isinstance(event.attributes, MarkerRecorded):
            return await self._values.unseal(event)
        return event

    async def failure_of(self, error: Exception) -> TaskFailure:
        """The task cannot go on because of `error`, which the codec has raised."""
        failure = self._values.to_failure(error)
        cause = WorkflowTaskFailureCause.PAYLOAD
        return await self._sealed(TaskFailure(cause=cause, failure=failure))

    async def seal_response(self, response: Response) -> Response:
        """An answer as it may leave; one that cannot be encoded becomes a failure."""
        if self.is_open or not isinstance(response, QueryResponse):
            return response
        try:
            return await self._values.seal(response)
        except (ConversionError, PayloadTooLargeError) as error:
            failure = await self._values.encode_failure(error)
            return QueryResponse(request_id=response.request_id, failure=failure)

    async def _sealed(self, failed: TaskFailure) -> TaskFailure:
        failure = await self._values.seal_failure(failed.failure)
        return TaskFailure(cause=failed.cause, failure=failure)
