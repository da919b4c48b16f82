"""Name → definition. Built once by a worker and not changed afterwards."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.definition.activity import ActivityDefinition
from orchestrator.definition.signature import AnyFunction
from orchestrator.definition.workflow import WorkflowDefinition


class Registry:
    """The workflows and activities that one worker can run."""

    def __init__(
        self, *, workflows: Sequence[type] = (), activities: Sequence[AnyFunction] = ()
    ) -> None:
        """Collect definitions.

        Raises:
            ValueError: one is not decorated, or two have the same name.
        """
        self.workflows: dict[str, WorkflowDefinition] = {}
        self.activities: dict[str, ActivityDefinition] = {}
        for cls in workflows:
            workflow = WorkflowDefinition.of(cls)
            if workflow.name in self.workflows:
                other = self.workflows[workflow.name].cls
                raise ValueError(
                    f"two workflows are named {workflow.name!r}: {other!r} and {cls!r}"
                )
            self.workflows[workflow.name] = workflow
        for function in activities:
            activity = ActivityDefinition.of(function)
            if activity.name in self.activities:
                raise ValueError(
                    f"two activities are named {activity.name!r}: "
                    f"{self.activities[activity.name].function!r} and {function!r}"
                )
            self.activities[activity.name] = activity
