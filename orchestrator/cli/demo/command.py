"""`orchestrator demo`: food orders on RabbitMQ and Redis, with accidents, checked at the end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter, validators

from orchestrator.cli.exits import CommandError, ExitCode

if TYPE_CHECKING:
    from orchestrator.cli.demo.orders import PlacedOrder
    from orchestrator.cli.demo.show import Show
    from orchestrator.testing.audit import Check
    from orchestrator.testing.servers import Choice

_ORDERS = 200
_CHAOS_ORDERS = 500


async def demo(
    *,
    engine: Literal["real", "memory"] = "real",
    orders: Annotated[int | None, Parameter(validator=validators.Number(gte=10))] = None,
    chaos: Annotated[bool, Parameter(negative="")] = False,
) -> ExitCode:
    """Run food orders through three workers, kill one half-way, and check every account.

    RabbitMQ and Redis are started for the demo alone, on ports and folders of their own, by Docker
    or from the PATH, and stopped at its end. The orders are placed by plain JSON messages. A ledger
    outside of both servers tells what really happened; the demo fails when it does not add up.

    Parameters
    ----------
    engine
        real: RabbitMQ and Redis, or, where they cannot be had, the embedded engine. memory: the
        embedded engine at once.
    orders
        How many orders; 200, or 500 with --chaos.
    chaos
        One accident after another: kill -9 of a worker, of Redis, of RabbitMQ, and of RabbitMQ with
        all its data deleted.
    """
    from orchestrator.cli.demo.orders import place_orders
    from orchestrator.cli.demo.scene import find_workers
    from orchestrator.cli.demo.show import Show
    from orchestrator.telemetry.log import configure

    if chaos and engine == "memory":
        raise CommandError("--chaos breaks servers, and --engine memory has none")
    folder = find_workers(Path.cwd())
    placed = place_orders(orders or (_CHAOS_ORDERS if chaos else _ORDERS))
    # What breaks is broken on purpose, and told by the show.
    configure(level="critical")
    with _ended_by_sigterm(), Show() as show:
        checks = await _play(show, folder, placed, engine=engine, chaos=chaos)
        show.checks(checks)
        return ExitCode.DONE if all(check.kept for check in checks) else ExitCode.FAILED


async def _play(
    show: Show, folder: Path, orders: Sequence[PlacedOrder], *, engine: str, chaos: bool
) -> Sequence[Check]:
    """The play on the scene that was asked for, or without servers on the embedded one.

    Raises:
        CommandError: there are no servers to break.
    """
    from orchestrator.cli.demo.scene import NoServersError
    from orchestrator.testing.servers import look

    if engine == "memory":
        show.say("the embedded engine: no servers, everything in this process")
        return await _play_embedded(show, folder, orders)
    choice = look()
    if choice.kind == "none":
        problem = f"no servers: {choice.reason}"
    else:
        show.say(f"servers: {choice.reason}")
        try:
            return await _play_real(show, folder, orders, choice, chaos=chaos)
        except NoServersError as error:
            problem = str(error)
    if chaos:
        raise CommandError(f"--chaos needs servers to break; {problem}", ExitCode.UNAVAILABLE)
    show.say(problem, style="yellow")
    show.say("the same on the embedded engine, everything in this process", style="yellow")
    return await _play_embedded(show, folder, orders)


async def _play_embedded(
    show: Show, folder: Path, orders: Sequence[PlacedOrder]
) -> Sequence[Check]:
    from orchestrator.cli.demo.embedded import embedded_scene
    from orchestrator.cli.demo.play import calm

    async with embedded_scene(folder) as scene:
        return await calm(scene, show, orders)


async def _play_real(
    show: Show, folder: Path, orders: Sequence[PlacedOrder], choice: Choice, *, chaos: bool
) -> Sequence[Check]:
    from orchestrator.cli.demo import play
    from orchestrator.cli.demo.scene import real_scene
    from orchestrator.testing.servers import Servers

    show.say("RabbitMQ and Redis are starting")
    async with real_scene(Servers(choice), folder) as scene:
        show.say("both answer")
        return await (play.chaos if chaos else play.calm)(scene, show, orders)


@contextmanager
def _ended_by_sigterm() -> Generator[None, None, None]:
    """Let SIGTERM end the demo as Ctrl-C does: what it started is stopped first."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # a coroutine is running
    asked = asyncio.Event()

    def stop() -> None:
        asked.set()
        task.cancel()

    loop.add_signal_handler(signal.SIGTERM, stop)
    try:
        yield
    except asyncio.CancelledError:
        if not asked.is_set():
            raise
        raise CommandError("stopped by SIGTERM", ExitCode.INTERRUPTED) from None
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
