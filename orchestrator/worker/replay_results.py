"""What replays of histories end with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.wire.history_json import WorkflowHistory


@dataclass(frozen=True)
class WorkflowReplayResult:
    """One replayed history; `replay_failure` None: its code does what it did."""

    history: WorkflowHistory
    replay_failure: Exception | None


@dataclass(frozen=True)
class WorkflowReplayResults:
    """What failed, by run id (by workflow id where a history names no run)."""

    replay_failures: Mapping[str, Exception]
