"""The audit finds each violation that is planted in a ledger, and nothing in an honest one."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.testing.audit import Check, Interruption, audit_attempts
from orchestrator.testing.ledger import ActivityName, Begun, Ended, Row

PAY = ActivityName("order-1", "run-1", 5)


def begin(at_us: int, *, attempt: int = 1, pid: int = 1) -> Begun:
    return Begun(
        time_us=at_us,
        pid=pid,
        workflow_id=PAY.workflow_id,
        run_id=PAY.run_id,
        scheduled_event_id=PAY.scheduled_event_id,
        activity_type="pay",
        attempt=attempt,
    )


def end(at_us: int, *, attempt: int = 1, pid: int = 1, outcome: str = "completed") -> Ended:
    return Ended(
        time_us=at_us,
        pid=pid,
        workflow_id=PAY.workflow_id,
        run_id=PAY.run_id,
        scheduled_event_id=PAY.scheduled_event_id,
        activity_type="pay",
        attempt=attempt,
        outcome=outcome,
    )


def killed(pid: int, at_us: int) -> Interruption:
    return Interruption(pid=pid, kind="killed", from_us=at_us)


def frozen(pid: int, from_us: int, to_us: int) -> Interruption:
    return Interruption(pid=pid, kind="frozen", from_us=from_us, to_us=to_us)


def audit(
    *rows: Row, recorded_us: int | None = None, done: Sequence[Interruption] = ()
) -> tuple[Check, Check, Check]:
    recorded = {} if recorded_us is None else {PAY: recorded_us}
    late, overlap, repeated = audit_attempts(rows, recorded_us=recorded, interruptions=done)
    return late, overlap, repeated


def broken(checks: Sequence[Check]) -> list[bool]:
    return [not check.kept for check in checks]


def test_one_attempt_that_ends_is_fine() -> None:
    checks = audit(begin(10), end(20), recorded_us=30)

    assert broken(checks) == [False, False, False]
    assert "1 attempts, 1 recorded" in checks[0].measured


def test_an_attempt_after_the_recorded_result_is_found() -> None:
    late, _, _ = audit(
        begin(10), end(20), begin(40, attempt=2, pid=2), end(50, attempt=2, pid=2), recorded_us=30
    )

    assert len(late.violations) == 1
    assert "attempt 2 in process 2" in late.violations[0]


def test_an_attempt_before_the_recorded_result_is_no_late_one() -> None:
    late, _, _ = audit(begin(10), end(20), begin(30, attempt=2), end(40, attempt=2), recorded_us=30)

    assert late.kept


def test_who_was_frozen_while_the_result_was_recorded_may_begin_late() -> None:
    rows = (begin(10, attempt=2, pid=2), end(20, attempt=2, pid=2), begin(60), end(70))

    assert audit(*rows, recorded_us=30, done=[frozen(1, 5, 55)])[0].kept
    assert not audit(*rows, recorded_us=30, done=[frozen(1, 5, 25)])[0].kept
    assert not audit(*rows, recorded_us=30, done=[frozen(2, 5, 55)])[0].kept


def test_two_attempts_at_the_same_time_are_found() -> None:
    _, overlap, _ = audit(
        begin(10), begin(15, attempt=2, pid=2), end(20), end(25, attempt=2, pid=2)
    )

    assert len(overlap.violations) == 1
    assert "was running when" in overlap.violations[0]


def test_a_third_attempt_may_not_overlap_the_first() -> None:
    _, overlap, _ = audit(
        begin(10),
        begin(15, attempt=2, pid=2),
        end(20, attempt=2, pid=2),
        begin(30, attempt=3, pid=3),
        end(40, attempt=3, pid=3),
        end(50),
        done=[frozen(1, 12, 13)],
    )

    assert overlap.kept, "the first was frozen before both"
    _, overlap, _ = audit(
        begin(10),
        end(50),
        begin(15, attempt=2, pid=2),
        end(20, attempt=2, pid=2),
        begin(30, attempt=3, pid=3),
        end(40, attempt=3, pid=3),
    )
    assert len(overlap.violations) == 2


def test_the_zombie_overlaps_with_leave() -> None:
    rows = (begin(10), begin(15, attempt=2, pid=2), end(20, attempt=2, pid=2), end(60))

    assert audit(*rows, done=[frozen(1, 12, 55)])[1].kept
    assert not audit(*rows, done=[frozen(2, 12, 55)])[1].kept
    assert not audit(*rows, done=[frozen(1, 17, 55)])[1].kept, "frozen after the second began"


def test_an_attempt_ends_with_its_process() -> None:
    rows = (begin(10), begin(30, attempt=2, pid=2), end(40, attempt=2, pid=2))

    assert broken(audit(*rows, done=[killed(1, 20)])) == [False, False, False]
    assert not audit(*rows)[1].kept, "nobody killed it, so it still runs"


def test_an_attempt_that_never_ended_is_found() -> None:
    _, overlap, _ = audit(begin(10))

    assert "never ended" in overlap.violations[0]


def test_a_repeat_without_a_reason_is_found() -> None:
    _, _, repeated = audit(begin(10), end(20), begin(30, attempt=2), end(40, attempt=2))

    assert len(repeated.violations) == 1
    assert repeated.measured.startswith("1 repeated, 0 interrupted")


def test_a_result_that_died_with_its_process_may_be_made_again() -> None:
    rows = (begin(10), end(20), begin(30, attempt=2, pid=2), end(40, attempt=2, pid=2))

    assert audit(*rows, done=[killed(1, 25)])[2].kept
    assert not audit(*rows, done=[killed(1, 35)])[2].kept, "killed after the repeat had begun"
    assert not audit(*rows, done=[killed(2, 25)])[2].kept


def test_a_retry_of_a_failure_is_no_repeat() -> None:
    _, _, repeated = audit(
        begin(10), end(20, outcome="failed"), begin(30, attempt=2), end(40, attempt=2)
    )

    assert repeated.kept
    assert "0 repeated, 0 interrupted, 1 retries" in repeated.measured


def test_one_interruption_excuses_no_repeat_of_another_attempt() -> None:
    _, _, repeated = audit(
        begin(10),
        begin(30, attempt=2, pid=2),
        end(40, attempt=2, pid=2),
        begin(50, attempt=3, pid=3),
        end(60, attempt=3, pid=3),
        done=[killed(1, 20)],
    )

    assert len(repeated.violations) == 1
    assert repeated.measured.startswith("2 repeated, 1 interrupted")


def test_an_attempt_that_was_cancelled_in_a_shutdown_may_be_repeated() -> None:
    rows = (begin(10), end(20, outcome="cancelled"), begin(30, attempt=2, pid=2))

    assert audit(*rows, end(40, attempt=2, pid=2))[2].kept


def test_the_same_attempt_number_in_one_process_twice_is_two_attempts() -> None:
    _, overlap, repeated = audit(begin(10), begin(12), end(20), end(30))

    assert (overlap.kept, repeated.kept) == (False, False)


def test_an_attempt_that_was_frozen_before_its_code_may_begin_after_the_one_that_replaced_it() -> (
    None
):
    replaced = [begin(20, attempt=2, pid=2), end(60, attempt=2, pid=2)]
    rows = [*replaced, begin(50, pid=1), end(70, pid=1)]

    assert broken(audit(*rows, recorded_us=65, done=[frozen(1, 5, 45)])) == [False, False, False]
    assert broken(audit(*rows, recorded_us=65, done=[frozen(2, 5, 45)])) == [False, False, True]
    assert broken(audit(*rows, recorded_us=65)) == [False, True, True]
    assert audit(*rows, done=[frozen(1, 5, 15)])[1].violations, "back before the second began"
