"""One call of an activity's function: arguments in, a result or a failure out.

Runs where the user's code runs: on the loop, in a thread or in another process. Nothing that user
code raises gets past here; a failure is an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.activity import CompleteAsyncError
from orchestrator.common import RawValue
from orchestrator.converter import DataConverter
from orchestrator.definition.activity import ActivityDefinition
from orchestrator.exceptions import ApplicationError, CancelledError, ConversionError
from orchestrator.wire.failure import Failure
from orchestrator.wire.payload import Payload


@dataclass(frozen=True, slots=True)
class Ended:
    """How a call ended. `by_cancellation`: it raised one, whoever asked.

    `last_details` are those of the last heartbeat, where only the caller's side knows them. An
    outcome of None: the code left its attempt to be completed from outside.
    """

    outcome: Payload | Failure | None
    by_cancellation: bool = False
    last_details: tuple[Payload, ...] | None = None


async def call_async(
    definition: ActivityDefinition, payloads: Sequence[Payload], values: DataConverter
) -> Ended:
    """Call an async function."""
    try:
        arguments = decode_arguments(definition, payloads, values)
        result = await definition.function(*arguments)
    except GeneratorExit:
        raise  # The coroutine is thrown away with its loop; there is nobody to answer.
    except (
        BaseException
    ) as error:  # the boundary of user code: even SystemExit ends an attempt only
        return ended_by(error, values)
    return returned(result, values)


def call_sync(
    definition: ActivityDefinition, payloads: Sequence[Payload], values: DataConverter
) -> Ended:
    """Call a sync function, in this thread."""
    try:
        arguments = decode_arguments(definition, payloads, values)
        result = definition.function(*arguments)
    except (
        BaseException
    ) as error:  # the boundary of user code: even SystemExit ends an attempt only
        return ended_by(error, values)
    return returned(result, values)


def ended_by(error: BaseException, values: DataConverter) -> Ended:
    """The end of a call that raised `error`."""
    if isinstance(error, CompleteAsyncError):
        return Ended(None)
    by_cancellation = isinstance(error, asyncio.CancelledError | CancelledError)
    if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
        error = error.with_traceback(error.__traceback__.tb_next)  # our own frame says nothing
    return Ended(values.to_failure(error), by_cancellation=by_cancellation)


def decode_arguments(
    definition: ActivityDefinition, payloads: Sequence[Payload], values: DataConverter
) -> list[Any]:  # Any: user's values
    """The arguments by the function's annotations; missing ones at the end fall to defaults.

    A misfit is tried again, as in Temporal: a release that knows the argument may be on its way.

    Raises:
        ConversionError: there are too many or too few, or one does not fit; the text names it.
    """
    if definition.is_dynamic:
        return [[RawValue(payload) for payload in payloads]]
    names, given = definition.parameters, len(payloads)
    if given > len(names) and not definition.takes_more:
        raise ConversionError(
            f"activity {definition.name!r}: expected at most {_count(len(names))} "
            f"({', '.join(names) or 'it takes none'}), found {given}"
        )
    if given < definition.required:
        missing = ", ".join(repr(name) for name in names[given : definition.required])
        raise ConversionError(
            f"activity {definition.name!r}: expected at least {_count(definition.required)}, "
            f"found {given}; missing: {missing}"
        )
    hints = list(definition.arg_types or ())[:given]
    try:
        return values.from_payloads(payloads, hints)
    except ConversionError as error:
        raise ConversionError(_misfit(definition, payloads, hints, values, error)) from error


def _misfit(
    definition: ActivityDefinition,
    payloads: Sequence[Payload],
    hints: list[Any],  # Any: annotations are of no common type
    values: DataConverter,
    whole: ConversionError,
) -> str:
    """Which argument it is: each is tried alone."""
    for index, payload in enumerate(payloads):
        try:
            values.from_payloads([payload], hints[index : index + 1])
        except ConversionError as error:
            inner = error.__cause__ if isinstance(error.__cause__, ConversionError) else error
            known = index < len(definition.parameters)
            named = f" {definition.parameters[index]!r}" if known else ""
            return f"activity {definition.name!r}, argument {index + 1}{named}: {inner}"
    return f"activity {definition.name!r}: {whole}"


def returned(result: Any, values: DataConverter) -> Ended:  # Any: user's value
    """A result that cannot travel is final: the work is done, and doing it again would repeat its
    effects for the same result."""
    try:
        return Ended(values.to_payloads([result])[0])
    except Exception as error:  # the boundary of converters, which users may write
        text = str(error).removeprefix("value 1: ").removeprefix("value 1, ")
        failure = ApplicationError(
            f"the activity's result: {text}", type=type(error).__name__, non_retryable=True
        )
        return Ended(values.to_failure(failure))


def _count(number: int) -> str:
    return f"{number} argument" if number == 1 else f"{number} arguments"
