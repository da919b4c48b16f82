"""What activity code imports. The worker sets the context around each attempt.

Names and meanings are those of Temporal's Python SDK.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from orchestrator.definition.activity import defn

__all__ = ["defn", "Info", "info", "heartbeat", "is_cancelled", "in_activity", "logger"]


@dataclass(frozen=True)
class Info:
    """What is known about the attempt."""

    activity_id: str
    activity_type: str
    attempt: int
    heartbeat_details: Sequence[Any]  # Any: user's values
    heartbeat_timeout: timedelta | None
    schedule_to_close_timeout: timedelta | None
    scheduled_time: datetime
    start_to_close_timeout: timedelta | None
    started_time: datetime
    task_queue: str
    workflow_id: str
    workflow_namespace: str
    workflow_run_id: str
    workflow_type: str


class ActivityContext(Protocol):
    """What the worker gives to one attempt. Its methods may be called from any thread."""

    @property
    def info(self) -> Info: ...

    def heartbeat(self, *details: Any) -> None:  # Any: user's values
        """Note a sign of life; never blocks, the last details win."""
        ...

    def is_cancelled(self) -> bool: ...


current_context: ContextVar[ActivityContext] = ContextVar("orchestrator_activity")
"""Set by the worker around an attempt."""


def in_activity() -> bool:
    """Whether the caller is activity code."""
    return current_context.get(None) is not None


def info() -> Info:
    """What is known about the attempt.

    Raises:
        RuntimeError: the caller is not activity code, as with the functions below.
    """
    return _context().info


def heartbeat(*details: Any) -> None:  # Any: user's values
    """Say that the attempt is alive; the next attempt finds `details` in its info."""
    _context().heartbeat(*details)


def is_cancelled() -> bool:
    """Whether the attempt was asked to end."""
    return _context().is_cancelled()


class _Logger(logging.LoggerAdapter[logging.Logger]):
    """Adds the attempt to each record."""

    def process(
        self,
        msg: Any,  # Any: logging's own type
        kwargs: MutableMapping[str, Any],  # Any: logging's own type
    ) -> tuple[Any, MutableMapping[str, Any]]:  # Any: logging's own type
        context = current_context.get(None)
        if context is not None:
            found = context.info
            fields = {
                "namespace": found.workflow_namespace,
                "workflow_id": found.workflow_id,
                "run_id": found.workflow_run_id,
                "activity_id": found.activity_id,
                "activity_type": found.activity_type,
                "attempt": found.attempt,
            }
            kwargs["extra"] = {**kwargs.get("extra", {}), "activity": fields}
        return msg, kwargs


logger = _Logger(logging.getLogger("orchestrator.activity"), {})
"""For activity code: the attempt is in each record's `activity`."""


def _context() -> ActivityContext:
    context = current_context.get(None)
    if context is None:
        raise RuntimeError("not in activity code: a worker must be running this function")
    return context
