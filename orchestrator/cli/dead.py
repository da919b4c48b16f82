"""`orchestrator dead`: messages that could not be understood."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter, validators

from orchestrator.cli.exits import CommandError, ExitCode
from orchestrator.cli.options import Connection, settings_of
from orchestrator.cli.output import SumFormat, write_json, write_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.ports.broker import Broker, Delivery

dead = App(name="dead", help="Look at messages that could not be understood.")
_COLUMNS = ("REASON", "BYTES", "BODY")
_LIMIT = 50
_WAIT_SECONDS = 5.0


@dead.command(name="list")
async def list_(
    *,
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=10_000))] = _LIMIT,
    output: SumFormat = "table",
    connection: Connection = Connection(),
) -> None:
    """Show dead letters with the reason of each, the oldest first. They stay where they are.

    Parameters
    ----------
    limit
        At most so many.
    """
    from orchestrator.wiring import services_of

    settings = settings_of(connection)
    if settings.connection.embedded:
        raise CommandError("there is no RabbitMQ behind memory://")
    broker = services_of(settings).broker
    try:
        await broker.open()
        letters = await _peek(broker, limit)
        if output == "table":
            rows = ((one.reason or "?", str(len(one.body)), _text(one.body)) for one in letters)
            write_table(_COLUMNS, rows)
        else:
            for one in letters:
                write_json({"reason": one.reason, "body": _text(one.body)})
    finally:
        await broker.close()  # What is in hand, unacknowledged, goes back to its place.


async def _peek(broker: Broker, limit: int) -> Sequence[Delivery]:
    """The first letters; all of them stay unacknowledged."""
    import asyncio

    from orchestrator.ports.broker import DeadQueue

    expected = min(limit, await broker.ready(DeadQueue()) or 0)
    if expected == 0:
        return []
    found: list[Delivery] = []
    enough = asyncio.Event()

    def take(batch: Sequence[Delivery]) -> None:
        found.extend(batch)
        if len(found) >= expected:
            enough.set()

    consumer = await broker.consume(DeadQueue(), take, prefetch=expected)
    try:
        async with asyncio.timeout(_WAIT_SECONDS):
            await enough.wait()
    except TimeoutError:
        if not found:
            raise CommandError(
                "RabbitMQ has dead letters but gave none; somebody else is looking at them",
                ExitCode.TIMED_OUT,
            ) from None
    finally:
        await consumer.stop()
    return found[:expected]


def _text(body: bytes) -> str:
    return body.decode(errors="backslashreplace")
