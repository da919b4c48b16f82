"""Cron schedules: which time comes next, in which time zone, and what is no schedule."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from orchestrator.core.cron import CronScheduleError, next_cron_ms, read_cron
from orchestrator.units import to_datetime, to_epoch_ms


def following(schedule: str, after: str, *, started: str | None = None) -> str:
    now_ms = to_epoch_ms(datetime.fromisoformat(after).astimezone(UTC))
    begun = started or after
    started_ms = to_epoch_ms(datetime.fromisoformat(begun).astimezone(UTC))
    found = next_cron_ms(schedule, started_ms=started_ms, now_ms=now_ms)
    assert found is not None
    return to_datetime(found).strftime("%Y-%m-%d %H:%M:%S")


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("* * * * *", "2026-01-31 10:31:00"),
        ("*/15 * * * *", "2026-01-31 10:45:00"),
        ("30 10 * * *", "2026-02-01 10:30:00"),
        ("0 0 1 * *", "2026-02-01 00:00:00"),
        ("0 9-17/4 * * *", "2026-01-31 13:00:00"),
        ("5/20 * * * *", "2026-01-31 10:45:00"),
        ("0 12 * * MON-FRI", "2026-02-02 12:00:00"),
        ("0 12 * * 7", "2026-02-01 12:00:00"),
        ("0 0 29 2 *", "2028-02-29 00:00:00"),
        ("0 0 ? JUN sun", "2026-06-07 00:00:00"),
        ("0 0 13 * 5", "2026-02-06 00:00:00"),
        ("0,30 8 * * *", "2026-02-01 08:00:00"),
        ("@hourly", "2026-01-31 11:00:00"),
        ("@daily", "2026-02-01 00:00:00"),
        ("@weekly", "2026-02-01 00:00:00"),
        ("@yearly", "2027-01-01 00:00:00"),
    ],
)
def test_the_next_time_is_the_first_that_fits_after_now(schedule: str, expected: str) -> None:
    assert following(schedule, "2026-01-31T10:30:30+00:00") == expected


def test_a_time_that_is_now_is_not_the_next_one() -> None:
    assert following("30 10 * * *", "2026-01-31T10:30:00+00:00") == "2026-02-01 10:30:00"


def test_intervals_count_from_the_start_of_the_run_and_pass_over_what_it_missed() -> None:
    begun = "2026-01-31T10:00:00+00:00"
    assert following("@every 1h30m", begun) == "2026-01-31 11:30:00"
    late = following("@every 1h30m", "2026-01-31T14:00:00+00:00", started=begun)
    assert late == "2026-01-31 14:30:00"


def test_a_schedule_may_be_of_another_time_zone() -> None:
    rome = "CRON_TZ=Europe/Rome 0 9 * * *"
    assert following(rome, "2026-01-31T10:30:30+00:00") == "2026-02-01 08:00:00"
    assert following(rome, "2026-07-31T10:30:30+00:00") == "2026-08-01 07:00:00"
    tonga = "CRON_TZ=Pacific/Tongatapu 0 0 * * *"
    assert following(tonga, "2026-01-31T10:30:30+00:00") == "2026-01-31 11:00:00"


def test_a_local_time_that_the_clocks_leave_out_is_passed_over() -> None:
    rome = "CRON_TZ=Europe/Rome 30 2 * * *"
    assert following(rome, "2026-03-28T12:00:00+00:00") == "2026-03-30 00:30:00"


def test_a_local_time_that_the_clocks_show_twice_counts_twice() -> None:
    rome = "CRON_TZ=Europe/Rome 30 2 * * *"
    assert following(rome, "2026-10-24T12:00:00+00:00") == "2026-10-25 00:30:00"
    assert following(rome, "2026-10-25T00:30:00+00:00") == "2026-10-25 01:30:00"


@pytest.mark.parametrize(
    "schedule",
    [
        "",
        "often",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "5-1 * * * *",
        "*/0 * * * *",
        "1,,2 * * * *",
        "x * * * *",
        "* * * foo *",
        "-1 * * * *",
        "² * * * *",
        "0 0 30 2 *",
        "@every 0s",
        "@every soon",
        "@every 99999999999999h",
        "CRON_TZ=Mars/Olympus 0 0 * * *",
        "CRON_TZ=../../etc/passwd 0 0 * * *",
    ],
)
def test_what_is_no_schedule_is_refused_by_name(schedule: str) -> None:
    with pytest.raises(CronScheduleError, match="cron schedule"):
        read_cron(schedule)
