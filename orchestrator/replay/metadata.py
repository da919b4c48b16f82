"""Queries that every run answers by itself: where it waits, and what it says about itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from orchestrator.definition.workflow import WorkflowDefinition
from orchestrator.replay.properties import Properties


class DescribedRun(Protocol):
    """What the answers are made of."""

    definition: WorkflowDefinition
    properties: Properties

    def stack(self) -> str: ...


def _stack(run: DescribedRun) -> object:
    return run.stack()


def _metadata(run: DescribedRun) -> object:
    """As Temporal's: the definition's handlers, and the details set by the code."""
    definition = run.definition
    return {
        "definition": {
            "type": definition.name,
            "queryDefinitions": _named(definition.queries),
            "signalDefinitions": _named(definition.signals),
            "updateDefinitions": _named(definition.updates),
        },
        "currentDetails": run.properties.current_details,
    }


def _named(handlers: Mapping[str | None, object]) -> list[dict[str, str]]:
    """By name, the dynamic one without."""
    return [{"name": name or ""} for name in sorted(handlers, key=lambda one: one or "")]


METADATA_QUERY = "__temporal_workflow_metadata"
BUILT_IN_QUERIES: Mapping[str, Callable[[DescribedRun], object]] = {
    "__stack_trace": _stack,
    METADATA_QUERY: _metadata,
}
