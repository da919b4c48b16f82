"""The logger of workflow code: silent while history is replayed."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from orchestrator.replay.context import current_run_or_none
from orchestrator.replay.run import WorkflowRun
from orchestrator.replay.updates import current_update_info


class LoggerAdapter(logging.LoggerAdapter[logging.Logger]):
    """Adds the run to each record; silent while history is replayed.

    Attributes:
        workflow_info_on_message: Append the run to the text as well, for formats without fields.
        workflow_info_on_extra: The run as a dict in the record's `workflow`.
        full_workflow_info_on_extra: `workflow.info()` in the record's `workflow_info`.
    """

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__(logger, {})
        self.workflow_info_on_message = False
        self.workflow_info_on_extra = True
        self.full_workflow_info_on_extra = False

    def isEnabledFor(self, level: int) -> bool:
        """Whether a record of this level would be written now."""
        current = current_run_or_none()
        if current is not None and current.replaying_history:
            return False
        return super().isEnabledFor(level)

    def process(
        self,
        msg: Any,  # Any: logging's own type
        kwargs: MutableMapping[str, Any],  # Any: logging's own type
    ) -> tuple[Any, MutableMapping[str, Any]]:  # Any: logging's own type
        """Add what the attributes ask for."""
        current = current_run_or_none()
        if current is None:
            return msg, kwargs
        fields = _fields(current)
        extra: dict[str, object] = {}
        if self.workflow_info_on_extra:
            extra["workflow"] = fields
        if self.full_workflow_info_on_extra:
            extra["workflow_info"] = current.info
        kwargs["extra"] = {**extra, **(kwargs.get("extra") or {})}
        return (f"{msg} ({fields})" if self.workflow_info_on_message else msg), kwargs


def _fields(current: WorkflowRun) -> dict[str, object]:
    facts, update = current.facts, current_update_info()
    fields: dict[str, object] = {
        "attempt": facts.started.attempt,
        "namespace": facts.namespace,
        "run_id": facts.run_id,
        "task_queue": facts.started.task_queue,
        "workflow_id": facts.workflow_id,
        "workflow_type": facts.started.workflow_type,
    }
    if update is not None:
        fields |= {"update_id": update.id, "update_name": update.name}
    return fields


logger = LoggerAdapter(logging.getLogger("orchestrator.workflow"))
"""For workflow code: silent on replay, with the run in each record's `workflow`."""
