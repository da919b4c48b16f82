"""The demo, on the embedded engine and on real servers: it adds up, says so, and leaves nothing."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.cli.app import main
from orchestrator.cli.demo.embedded import EmbeddedScene, embedded_scene
from orchestrator.cli.demo.orders import place_orders
from orchestrator.cli.demo.play import calm, performance
from orchestrator.cli.demo.show import Show
from orchestrator.testing.servers import Choice, Servers
from tests.engine.workers.kitchen import no_step_takes_time
from tests.house.source import ROOT

__all__ = ["no_step_takes_time"]


@pytest.fixture
async def scene() -> AsyncIterator[EmbeddedScene]:
    async with embedded_scene(ROOT) as opened:
        yield opened


@pytest.fixture
def show() -> Show:
    return Show(Console(file=io.StringIO()))


async def test_everything_adds_up(scene: EmbeddedScene, show: Show) -> None:
    checks = await calm(scene, show, place_orders(20))

    assert [violation for check in checks for violation in check.violations] == []
    assert checks[0].measured.startswith("20 orders: ")


async def test_a_worker_that_is_torn_down_does_nothing_more(
    scene: EmbeddedScene, show: Show
) -> None:
    orders = place_orders(3)
    async with performance(scene, show) as play:
        play.place(orders[:1])
        await scene.start_worker()
        await play.until_ended(orders[:1])
        await scene.kill_worker()
        assert scene.workers == 0
        rows = len(scene.rows())
        play.place(orders[1:])
        assert not await play.until_ended(orders[1:], patience_s=0.3)
        assert len(scene.rows()) == rows
        await scene.start_worker()
        assert await play.until_ended(orders)


async def test_an_order_that_has_not_ended_fails_the_check(
    scene: EmbeddedScene, show: Show
) -> None:
    orders = place_orders(2)
    async with performance(scene, show) as play:
        play.place(orders)
        assert not await play.until_ended(orders, patience_s=0.05)

        ended, *_ = await play.audit()

    assert ended.violations == ("order-0001: has not ended", "order-0002: has not ended")


async def test_the_history_reads_as_in_redis(scene: EmbeddedScene, show: Show) -> None:
    orders = place_orders(1)
    async with performance(scene, show) as play:
        play.place(orders)
        await scene.start_worker()
        await play.until_ended(orders)

        title, lines = await scene.look_inside(play.most_telling())

    assert "order-0001" in title
    assert lines[0].endswith('1) "1-0"')
    assert lines[2].endswith('"WorkflowExecutionStarted"')
    assert '\\"item\\":\\"salad\\"' in lines[6]


def test_the_command_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--engine", "memory", "--orders", "10"]) == 0

    output = capsys.readouterr().out
    assert "10/10 orders ended" in output
    assert output.count("\nok      ") == 8


@pytest.mark.parametrize(
    ("choice", "problem"),
    [
        (Choice(kind="none", reason="nothing is installed"), "no servers: nothing is installed"),
        (
            Choice(kind="path", reason="r", redis_path="false", rabbitmq_path="false"),
            "the servers do not start: false ended before it answered",
        ),
    ],
)
def test_without_servers_the_demo_says_so_and_does_the_same_in_one_process(
    choice: Choice,
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("orchestrator.testing.servers.look", lambda: choice)

    assert main(["demo", "--orders", "10"]) == 0
    output = capsys.readouterr().out
    assert problem in output
    assert "the same on the embedded engine" in output
    assert "10/10 orders ended" in output
    assert main(["demo", "--chaos"]) == 4
    assert problem in capsys.readouterr().err


def test_chaos_needs_servers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--engine", "memory", "--chaos"]) == 2

    assert "breaks servers" in capsys.readouterr().err


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the apps, in which everything that the demo starts has its place."""
    shutil.copytree(ROOT / "workers", tmp_path / "workers")
    (tmp_path / "tmp").mkdir()
    return tmp_path


def start_demo(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """The command in a process of its own, which may write to `folder/tmp` alone."""
    environment = {**os.environ, "TMPDIR": str(folder / "tmp"), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "demo", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=_hear_interrupts,
    )


def _hear_interrupts() -> None:
    """A job that a shell put into the background ignores SIGINT, and so would what it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def living_below(folder: Path) -> list[int]:
    """Processes that run in `folder` or below it."""
    found: list[int] = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if link.readlink().is_relative_to(folder):
                found.append(int(link.parts[2]))
        except OSError:
            continue  # It ended, or is another user's.
    return found


def test_the_demo_fails_when_the_books_do_not_add_up(checkout: Path) -> None:
    steps = checkout / "workers/orders/activities.py"
    honest = 'book("paid", order_id=order_id, idempotency_key=order_id'
    code = steps.read_text(encoding="utf-8")
    assert honest in code
    steps.write_text(
        code.replace(honest, honest + ' + f"/{activity.info().attempt}"'), encoding="utf-8"
    )

    demo = start_demo(checkout, "--engine", "memory", "--orders", "30")
    output, _ = demo.communicate(timeout=60)

    assert demo.returncode == 1, output
    assert "FAILED  paid once unless declined" in output
    assert "(delivered): paid and refunded: expected 1 and 0, found 2 and 0" in output


@pytest.mark.slow
@pytest.mark.servers
def test_the_demo_on_real_servers_adds_up_and_leaves_nothing(
    servers: Servers, checkout: Path
) -> None:
    demo = start_demo(checkout, "--orders", "60")
    output, _ = demo.communicate(timeout=150)

    assert demo.returncode == 0, output
    assert "60/60 orders ended" in output
    assert "XRANGE 'orc:{demo:" in output
    assert '1) "1-0"' in output
    assert output.count("\nok      ") == 8
    assert living_below(checkout) == []
    assert list((checkout / "tmp").iterdir()) == []


@pytest.mark.slow
@pytest.mark.servers
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_stops_what_it_started(
    servers: Servers, checkout: Path, number: signal.Signals
) -> None:
    demo = start_demo(checkout)
    assert demo.stdout is not None
    for line in demo.stdout:
        if "worker 3" in line:
            break
    else:
        pytest.fail("the demo ended before its workers were started")
    assert len(living_below(checkout)) > 3, "the demo itself and its workers at least"
    demo.send_signal(number)
    output, _ = demo.communicate(timeout=60)

    assert demo.returncode == 130, output
    assert living_below(checkout) == []
    assert list((checkout / "tmp").iterdir()) == []
