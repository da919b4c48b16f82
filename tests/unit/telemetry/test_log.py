"""Logs are one event a line, with fields, and nothing in a value can forge another line."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from orchestrator.telemetry.log import bind, configure, escape_controls, get_logger


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _logger_as_it_was() -> Iterator[None]:
    loggers = [logging.getLogger("orchestrator"), logging.getLogger()]
    before = [(list(logger.handlers), logger.level) for logger in loggers]
    yield
    for logger, (handlers, level) in zip(loggers, before, strict=True):
        logger.handlers[:] = handlers
        logger.setLevel(level)


def _json_of(stream: io.StringIO) -> dict[str, object]:
    (line,) = stream.getvalue().splitlines()
    found: dict[str, object] = json.loads(line)
    return found


def test_an_event_is_one_json_object_when_the_stream_is_no_terminal() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    get_logger("worker").info("timer_fired", delay_ms=7)
    found = _json_of(stream)
    assert found.pop("timestamp")
    assert found == {
        "event": "timer_fired",
        "delay_ms": 7,
        "level": "info",
        "logger": "orchestrator.worker",
    }


def test_bound_fields_stand_in_every_event() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    logger = bind(get_logger("orchestrator.worker"), namespace="n", workflow_id="w")
    bind(logger, run_id="r", attempt=2).warning("attempt_lost")
    found = _json_of(stream)
    assert (found["namespace"], found["workflow_id"]) == ("n", "w")
    assert (found["run_id"], found["attempt"]) == ("r", 2)


def test_a_field_may_have_a_name_that_logging_uses() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    get_logger("worker").info("queue_declared", name="q", args=[1])
    assert _json_of(stream)["name"] == "q"


def test_records_of_the_standard_library_are_rendered_alike() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    logging.getLogger("orchestrator.replay").info("read %d events", 7, extra={"run_id": "r"})
    found = _json_of(stream)
    assert (found["event"], found["run_id"]) == ("read 7 events", "r")


def test_a_percent_sign_in_an_event_is_text() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    get_logger("worker").info("100%d_done")
    assert _json_of(stream)["event"] == "100%d_done"


def test_a_terminal_gets_text_with_colours() -> None:
    stream = Terminal()
    configure(stream=stream, environment={})
    get_logger("worker").info("timer_fired", delay_ms=7)
    assert "timer_fired" in stream.getvalue()
    assert "\x1b[" in stream.getvalue()


def test_no_color_is_obeyed() -> None:
    stream = Terminal()
    configure(stream=stream, environment={"NO_COLOR": "1"})
    get_logger("worker").info("timer_fired", delay_ms=7)
    assert "\x1b" not in stream.getvalue()
    assert "delay_ms=7" in stream.getvalue()


def test_an_empty_no_color_means_nothing() -> None:
    stream = Terminal()
    configure(stream=stream, environment={"NO_COLOR": ""})
    get_logger("worker").info("timer_fired")
    assert "\x1b[" in stream.getvalue()


@pytest.mark.parametrize("as_json", [True, False])
def test_a_value_cannot_forge_a_line_or_drive_a_terminal(as_json: bool) -> None:
    stream = io.StringIO()
    configure(json=as_json, stream=stream)
    get_logger("worker").info("a\nb", workflow_id="x\r\n\x1b[2J\u202e\x9b", key=["\x1b\n"])
    text = stream.getvalue()
    assert len(text.splitlines()) == 1
    assert not {"\x1b", "\r", "\u202e", "\x9b"} & set(text)


def test_a_traceback_keeps_its_lines_but_no_other_controls() -> None:
    stream = io.StringIO()
    configure(json=False, stream=stream)
    try:
        raise ValueError("bad \x1b[2J")
    except ValueError:
        get_logger("worker").exception("attempt_failed")
    text = stream.getvalue()
    assert "\nTraceback" in text
    assert "\x1b" not in text


def test_events_below_the_level_are_not_written() -> None:
    stream = io.StringIO()
    configure(level="warning", stream=stream)
    get_logger("worker").info("timer_fired")
    assert stream.getvalue() == ""


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="LOUD"):
        configure(level="loud", stream=io.StringIO())


def test_a_second_configuration_replaces_the_first() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure(stream=first)
    configure(stream=second)
    get_logger("worker").info("timer_fired")
    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1


def test_an_application_with_its_own_logging_gets_our_records(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, logger="orchestrator"):
        get_logger("worker").info("timer_fired", delay_ms=7)
    (record,) = caplog.records
    assert record.msg == "timer_fired"
    assert vars(record)["fields"] == {"delay_ms": 7}


def test_a_record_reads_with_its_fields_where_others_write_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    get_logger("worker").warning(
        "workflow_task_failed", workflow_id="a\nb", failure="no", exception="one\n  two\n"
    )
    (record,) = caplog.records
    assert record.getMessage() == (
        "workflow_task_failed workflow_id='a\\nb' failure='no'\none\n  two"
    )


def test_escapes_are_readable() -> None:
    assert escape_controls("a\x00b\u2028ü\ud800") == "a\\x00b\\u2028ü\\ud800"


def test_a_whole_process_logs_alike_each_record_once() -> None:
    stream = io.StringIO()
    configure(stream=stream, level="debug", whole_process=True)
    get_logger("worker").debug("ours")
    logging.getLogger("shop").info("theirs %s", 7)
    logging.getLogger("shop").debug("too much")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line["logger"]) for line in lines] == [
        ("ours", "orchestrator.worker"),
        ("theirs 7", "shop"),
    ]
    configure(stream=io.StringIO())
    logging.getLogger("shop").warning("no longer ours")
    assert len(stream.getvalue().splitlines()) == 2


def test_a_lost_connection_is_told_in_our_words_only() -> None:
    stream = io.StringIO()
    configure(stream=stream, whole_process=True)
    logging.getLogger("aiormq.connection").warning("reader exited abnormally")
    logging.getLogger("aiormq.channel").error("a bug")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["a bug"]
