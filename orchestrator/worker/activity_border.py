"""The border between a worker's activities and the outside: payloads cross it through the codec.

Only made where there is a codec. Arguments and details of attempts before are decoded before the
function is called; its result, its failure and its heartbeats are encoded before they are told.
"""

from __future__ import annotations

import msgspec

from orchestrator.activity import ActivityCancellationDetails
from orchestrator.converter import DataConverter
from orchestrator.exceptions import ApplicationError, ConversionError, PayloadTooLargeError
from orchestrator.wire.failure import Failure
from orchestrator.wire.payload import Payload
from orchestrator.worker.attempt import Abandoned, Attempt, Beat, Execute, Outcome


class ActivityBorder:
    """Stands around `execute`, which sees decoded payloads only."""

    def __init__(self, execute: Execute, values: DataConverter) -> None:
        self._execute = execute
        self._values = values

    async def execute(self, attempt: Attempt, beat: Beat) -> Outcome:
        """See `ActivityExecution.execute`. What cannot be decoded fails the attempt so that it is
        tried again: another worker may have the key."""
        try:
            arguments = await self._values.unseal(attempt.task.input)
            details = await self._values.unseal(attempt.begun.details)
        except ConversionError as error:
            return await self._values.encode_failure(error)
        attempt.task = msgspec.structs.replace(attempt.task, input=arguments)
        attempt.begun = msgspec.structs.replace(attempt.begun, details=details)
        beats = _Beats(attempt, beat, self._values)
        outcome = await self._execute(attempt, beats.beat)
        if beats.failure is not None and isinstance(outcome, Failure | Abandoned):
            return beats.failure
        return await self._sealed(outcome)

    async def _sealed(self, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Failure):
            return await self._values.seal_failure(outcome)
        if not isinstance(outcome, Payload):
            return outcome
        try:
            return await self._values.seal(outcome)
        except PayloadTooLargeError as error:
            too_large = ApplicationError(
                f"the activity's result: {error}", type=type(error).__name__, non_retryable=True
            )
            return await self._values.encode_failure(too_large)
        except ConversionError as error:
            return await self._values.encode_failure(error)


class _Beats:
    """Encodes the heartbeats of one attempt. Details that cannot be encoded stop and fail it."""

    def __init__(self, attempt: Attempt, beat: Beat, values: DataConverter) -> None:
        self._attempt = attempt
        self._beat = beat
        self._values = values
        self.failure: Failure | None = None

    async def beat(self, details: tuple[Payload, ...] | None) -> None:
        if details is None:
            await self._beat(None)
            return
        try:
            sealed = await self._values.seal(details)
        except (ConversionError, PayloadTooLargeError) as error:
            self.failure = await self._values.encode_failure(error)
            self._attempt.stop(ActivityCancellationDetails())
            return
        await self._beat(sealed)
