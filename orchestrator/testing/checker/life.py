"""The whole judgement: every history, how they agree, and what clients were told."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.testing.audit import Check
from orchestrator.testing.checker.history import check_history
from orchestrator.testing.checker.operations import Operation, check_operations
from orchestrator.testing.checker.workflows import Histories, check_workflows


def check_life(
    histories: Histories, *, log: Sequence[Operation], is_quiet: bool
) -> tuple[Check, ...]:
    """Check what is left when workers and clients are done, or at any moment before.

    `is_quiet`: nothing is under way any more. What activities did is judged by
    `orchestrator.testing.audit`, and whether code of today does what histories say by
    `orchestrator.worker.Replayer`.
    """
    events = sum(map(len, histories.values()))
    impossible = (
        f"{name}: {complaint}"
        for name, history in histories.items()
        for complaint in check_history(history)
    )
    return (
        Check(
            "each history is possible",
            f"{len(histories)} runs, {events} events",
            tuple(impossible),
        ),
        Check(
            "chains of runs, parents and children agree",
            f"{len({name.workflow_id for name in histories})} workflow ids",
            check_workflows(histories, is_quiet=is_quiet),
        ),
        Check(
            "what clients were told is what happened",
            f"{len(log)} operations",
            check_operations(log, histories),
        ),
    )
