"""What the demo shows of its progress."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.cli.demo.progress import Progress, count_steps
from orchestrator.cli.demo.scene import find_workers
from orchestrator.cli.demo.show import Show
from orchestrator.cli.exits import CommandError
from orchestrator.testing.audit import Check
from orchestrator.testing.ledger import Begun, Ended


def begin(step: str, *, pid: int = 1) -> Begun:
    return Begun(
        time_us=1,
        pid=pid,
        workflow_id="w",
        run_id="r",
        scheduled_event_id=5,
        activity_type=step,
        attempt=1,
    )


def end(step: str, outcome: str = "completed", *, pid: int = 1) -> Ended:
    return Ended(
        time_us=2,
        pid=pid,
        workflow_id="w",
        run_id="r",
        scheduled_event_id=5,
        activity_type=step,
        attempt=1,
        outcome=outcome,
    )


def moment() -> Progress:
    rows = [begin("refund"), begin("refund"), end("refund")]
    steps = count_steps(rows, killed=())
    return Progress(
        placed=10, ended=4, outcomes=Counter(delivered=3, declined=1), steps=steps, workers=2
    )


def plain_show() -> tuple[Show, io.StringIO]:
    output = io.StringIO()
    return Show(Console(file=output, force_terminal=False)), output


def test_attempts_are_counted_by_step_and_fate() -> None:
    rows = [
        begin("validate_and_pay"),
        end("validate_and_pay"),
        begin("validate_and_pay"),
        end("validate_and_pay", "failed"),
        begin("deliver_order"),
        begin("deliver_order", pid=2),
        begin("remind_restaurant"),
    ]

    steps = count_steps(rows, killed={2})

    pay, deliver = steps["validate_and_pay"], steps["deliver_order"]
    assert (pay.running, pay.completed, pay.failed, pay.lost) == (0, 1, 1, 0)
    assert (deliver.running, deliver.lost) == (1, 1)
    assert steps["remind_restaurant"].running == 1
    assert next(iter(steps)) == "validate_and_pay"


def test_progress_without_a_terminal_is_a_plain_line() -> None:
    show, output = plain_show()
    with show:
        show.progress(moment())
        show.progress(moment())

    assert output.getvalue() == (
        "  0.0 s  4/10 orders ended (1 declined, 3 delivered), 1 steps running, 2 workers\n"
    ), "and not more than one a second"


def test_nothing_is_told_of_the_progress_once_it_is_over() -> None:
    show, output = plain_show()
    show.end_progress()
    show.progress(moment(), now=True)

    assert output.getvalue() == ""


def test_progress_at_a_terminal_is_a_table() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=120, no_color=True)
    with Show(console) as show:
        show.progress(moment())

    assert "4/10" in output.getvalue()
    assert "validate_and_pay" in output.getvalue()


def test_checks_show_what_was_measured_and_the_first_violations() -> None:
    show, output = plain_show()
    broken = Check("every order ended", "3 orders", tuple(f"order-{n}: open" for n in range(12)))

    show.checks([Check("nothing overlaps [so]", "5 attempts"), broken])

    text = output.getvalue()
    assert "ok      nothing overlaps [so]: 5 attempts" in text
    assert "FAILED  every order ended: 3 orders" in text
    assert "order-9: open" in text
    assert "order-10: open" not in text
    assert "and 2 more" in text


def test_long_lines_are_neither_wrapped_nor_marked_up_without_a_terminal() -> None:
    show, output = plain_show()

    show.lines("redis-cli", ["[bold]" + "x" * 500])

    assert "[bold]" + "x" * 500 + "\n" in output.getvalue()


def test_the_orders_app_is_found_here_before_anywhere_else(tmp_path: Path) -> None:
    (tmp_path / "workers/orders").mkdir(parents=True)
    (tmp_path / "workers/orders/app.py").touch()

    assert find_workers(tmp_path) == tmp_path
    assert (find_workers(tmp_path / "elsewhere") / "workers/orders/app.py").is_file()


def test_without_a_checkout_the_demo_says_where_to_run_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.cli.demo.scene.__file__", str(tmp_path / "a/b/c/d.py"))

    with pytest.raises(CommandError, match="from a checkout"):
        find_workers(tmp_path)
