"""A start's policies become a table; what cannot be a start is refused with the reason."""

from __future__ import annotations

import pytest

from orchestrator.core.start import StartOptions, options_of, start_of
from orchestrator.core.transition import StartRun
from orchestrator.exceptions import InvalidNameError, RPCError
from orchestrator.limits import DURATION_MS_MAX
from orchestrator.wire import codec
from orchestrator.wire.options import Conflict, Priority, Reuse
from tests.unit.core.histories import T0


def start(**fields: object) -> StartRun:
    options = StartOptions(
        **{  # type: ignore[arg-type]  # fields of the Struct
            "workflow_id": "order-1",
            "workflow_type": "Order",
            "task_queue": "orders",
            "request_id": "r1",
            **fields,
        }
    )
    return start_of(options, now_ms=T0)


def test_the_request_id_is_the_run_id() -> None:
    table = start(request_id="r7")
    assert table.run.run_id == "r7"
    assert table.run.started.first_run_id == "r7"


@pytest.mark.parametrize(
    ("reuse", "after_completed", "after_failed"),
    [
        (Reuse.ALLOW_DUPLICATE, True, True),
        (Reuse.ALLOW_DUPLICATE_FAILED_ONLY, False, True),
        (Reuse.REJECT_DUPLICATE, False, False),
    ],
)
def test_the_reuse_policy_says_what_a_closed_run_allows(
    reuse: Reuse, after_completed: bool, after_failed: bool
) -> None:
    table = start(reuse=reuse)
    assert (table.after_completed, table.after_failed) == (after_completed, after_failed)


def test_the_conflict_policy_says_what_becomes_of_an_open_run() -> None:
    refuse, attach, replace = (start(conflict=conflict) for conflict in Conflict)
    assert (refuse.attach, refuse.terminate) == (False, None)
    assert attach.attach
    assert replace.terminate is not None
    assert replace.terminate.reason == "replaced by run r1"


@pytest.mark.parametrize(
    ("times", "expected_ms"),
    [
        ({}, None),
        ({"run_timeout_ms": 5_000}, 5_000),
        ({"execution_timeout_ms": 3_000}, 3_000),
        ({"run_timeout_ms": 5_000, "execution_timeout_ms": 3_000}, 3_000),
        ({"run_timeout_ms": 5_000, "start_delay_ms": 1_000}, 6_000),
    ],
)
def test_the_nearer_time_out_is_armed(times: dict[str, int], expected_ms: int | None) -> None:
    assert start(**times).run.run_timeout_ms == expected_ms


def test_a_task_time_out_is_at_most_two_minutes() -> None:
    assert start().run.started.task_timeout_ms == 10_000
    assert start(task_timeout_ms=999_999).run.started.task_timeout_ms == 120_000


@pytest.mark.parametrize(
    "fields",
    [
        {"workflow_id": "a{b}"},
        {"workflow_id": ""},
        {"workflow_id": "x" * 1001},
        {"workflow_type": "a\nb"},
        {"task_queue": "two words"},
        {"task_queue": "#"},
        {"request_id": "\x00"},
    ],
)
def test_names_that_cannot_be_keys_or_queues_are_refused(fields: dict[str, str]) -> None:
    with pytest.raises(InvalidNameError):
        start(**fields)


@pytest.mark.parametrize("time_ms", [-1, DURATION_MS_MAX + 1])
def test_a_time_below_zero_or_beyond_a_century_is_refused(time_ms: int) -> None:
    with pytest.raises(RPCError, match="run_timeout_ms: expected 0 to"):
        start(run_timeout_ms=time_ms)


def test_a_plain_message_is_a_start() -> None:
    request = codec.decode_request(
        b'{"type":"start","workflow_id":"order-1","workflow_type":"Order","task_queue":"orders",'
        b'"input":[{"item":"pizza"}],"id_conflict_policy":"use_existing"}'
    )
    options = options_of(request)
    assert options.request_id == "order-1"
    assert [payload.content() for payload in options.input] == [b'{"item":"pizza"}']
    assert options.conflict is Conflict.USE_EXISTING


def test_an_unknown_policy_in_a_message_names_the_known_ones() -> None:
    request = codec.decode_request(
        b'{"type":"start","workflow_id":"a","workflow_type":"b","task_queue":"c",'
        b'"id_reuse_policy":"always"}'
    )
    with pytest.raises(RPCError, match=r"expected one of allow_duplicate, .*found 'always'"):
        options_of(request)


def test_a_history_does_not_speak_of_a_priority_that_nobody_asked_for() -> None:
    assert b"priority" not in codec.encode(start(priority=Priority()).run.started)
    assert b"priority" in codec.encode(start(priority=Priority(priority_key=1)).run.started)
