"""Logs as events with fields, for people at a terminal or for machines as JSON.

Everything goes through the standard library's loggers, so an application that configures logging
itself, or not at all, gets our records too: their message reads `event key=value …`, and their
fields stand in `record.fields`. `configure` renders records of both kinds alike. Control characters
are escaped: a workflow id cannot forge a line or drive a terminal.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO, TypeAlias, cast

import structlog
from structlog.stdlib import BoundLogger, ProcessorFormatter
from structlog.typing import EventDict, Processor

from orchestrator.telemetry.escaping import escape_controls

Logger: TypeAlias = BoundLogger
"""What `get_logger` gives, for annotations elsewhere."""
_ROOT = "orchestrator"
_FIELDS = "fields"
_SAID_BY_US = "aiormq.connection"
"""A logger whose records repeat, with a traceback, what events and errors of ours say: that a
connection was lost, or cannot be made."""
_LINES_FIELD = "exception"
"""A traceback is the only value of several lines."""


class _OurHandler(logging.StreamHandler[TextIO]):
    """Tells our handler from the application's."""


class _Event(str):
    """An event's name, which becomes a line with its fields where others write it.

    `logging` asks for the text only when a handler writes the record; ours takes the name.
    """

    __slots__ = ("fields",)
    fields: Mapping[str, object]

    def __new__(cls, name: str, fields: Mapping[str, object]) -> _Event:
        event = super().__new__(cls, name)
        event.fields = fields
        return event

    @property
    def name(self) -> str:
        """The bare name."""
        return str.__str__(self)

    def __str__(self) -> str:
        fields = dict(self.fields)
        lines = fields.pop(_LINES_FIELD, None)
        parts = [self.name, *(f"{key}={value!r}" for key, value in fields.items())]
        text = escape_controls(" ".join(parts))
        if not lines:
            return text
        return f"{text}\n{escape_controls(str(lines).rstrip(), keep_lines=True)}"


def configure(
    json: bool | None = None,
    level: int | str = logging.INFO,
    *,
    stream: TextIO | None = None,
    environment: Mapping[str, str] | None = None,
    whole_process: bool = False,
) -> None:
    """Write the package's logs to a stream. A second call replaces the first.

    Args:
        json: One JSON object a line; None: unless the stream is a terminal.
        level: Least level that is written: a number of `logging` or a name in any case.
        stream: Standard error when None.
        environment: `os.environ` when None. A non-empty NO_COLOR means no colours.
        whole_process: The logs of everybody else too, from info on, in the same form: for a process
            that is ours, where what user code logs would otherwise be lost.

    Raises:
        ValueError: `level` is no level.
    """
    target = sys.stderr if stream is None else stream
    variables = os.environ if environment is None else environment
    terminal = target.isatty()
    colors = terminal and not variables.get("NO_COLOR")
    handler = _OurHandler(target)
    handler.addFilter(_is_not_said_by_us)
    handler.setFormatter(_formatter(json=not terminal if json is None else json, colors=colors))
    ours, everybody = logging.getLogger(_ROOT), logging.getLogger()
    ours.setLevel(level.upper() if isinstance(level, str) else level)
    for logger in (ours, everybody):
        for old in [one for one in logger.handlers if isinstance(one, _OurHandler)]:
            logger.removeHandler(old)
    if whole_process:
        everybody.setLevel(max(ours.level, logging.INFO))
        everybody.addHandler(handler)
    else:
        ours.addHandler(handler)


def get_logger(name: str) -> BoundLogger:
    """The logger of a module; below `orchestrator`, whatever the name begins with."""
    full = name if f"{name}.".startswith(f"{_ROOT}.") else f"{_ROOT}.{name}"
    logger = structlog.wrap_logger(
        logging.getLogger(full),
        processors=[structlog.stdlib.filter_by_level, _to_record],
        wrapper_class=BoundLogger,
        context_class=dict,
    )
    return cast("BoundLogger", logger.bind())


def bind(
    logger: BoundLogger,
    *,
    namespace: str | None = None,
    workflow_id: str | None = None,
    run_id: str | None = None,
    attempt: int | None = None,
) -> BoundLogger:
    """`logger` with the fields that name what it speaks of; None leaves a field as it is."""
    fields = {
        "namespace": namespace,
        "workflow_id": workflow_id,
        "run_id": run_id,
        "attempt": attempt,
    }
    return logger.bind(**{name: value for name, value in fields.items() if value is not None})


def _is_not_said_by_us(record: logging.LogRecord) -> bool:
    return record.name != _SAID_BY_US


def _to_record(
    logger: object, method: str, event_dict: EventDict
) -> tuple[tuple[object, ...], dict[str, Any]]:  # Any: keyword arguments of logging
    """An event as arguments of a `logging` call. Fields stay in a dict of their own: as extras, a
    field called `name` would be refused."""
    event = event_dict.pop("event", "")
    passed = {key: event_dict.pop(key) for key in ("exc_info", "stack_info") if key in event_dict}
    # Text for `%` formatting: without arguments logging leaves the text alone.
    fields = dict(event_dict)
    return (_Event(event, fields),), {**passed, "extra": {_FIELDS: fields}}


def _formatter(*, json: bool, colors: bool) -> ProcessorFormatter:
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
        _lift_fields,
    ]
    renderer: Processor
    if json:
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=colors, exception_formatter=structlog.dev.plain_traceback
        )
    return ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _escape_values,
            renderer,
        ],
    )


def _lift_fields(logger: object, method: str, event_dict: EventDict) -> EventDict:
    """Our fields beside the event; what logging itself says of the record wins over a namesake."""
    message: object = event_dict["_record"].msg
    if isinstance(message, _Event):
        event_dict["event"] = message.name
    fields: object = event_dict.pop(_FIELDS, None)
    if isinstance(fields, dict):
        for key, value in cast("dict[str, object]", fields).items():
            event_dict.setdefault(key, value)
    return event_dict


def _escape_values(
    logger: object,
    method: str,
    event_dict: MutableMapping[str, Any],  # Any: structlog's own type
) -> dict[str, Any]:  # Any: as above
    return {escape_controls(key): _escaped(key, value) for key, value in event_dict.items()}


def _escaped(key: str, value: object) -> object:
    if not isinstance(value, str):
        return value  # both renderers escape inside nested values
    return escape_controls(value, keep_lines=key == _LINES_FIELD)
