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
            ValueError: one is not decorated, two have the same name, or two are dynamic.
        """
        self.workflows: dict[str, WorkflowDefinition] = {}
        self.activities: dict[str, ActivityDefinition] = {}
        self.dynamic_workflow: WorkflowDefinition | None = None
        self.dynamic_activity: ActivityDefinition | None = None
        for cls in workflows:
            workflow = WorkflowDefinition.of(cls)
            if workflow.is_dynamic:
                if self.dynamic_workflow is not None:
                    other = self.dynamic_workflow.cls
                    raise ValueError(f"two workflows are dynamic: {other!r} and {cls!r}")
                self.dynamic_workflow = workflow
                continue
            if workflow.name in self.workflows:
                other = self.workflows[workflow.name].cls
                raise ValueError(
                    f"two workflows are named {workflow.name!r}: {other!r} and {cls!r}"
                )
            self.workflows[workflow.name] = workflow
        for function in activities:
            activity = ActivityDefinition.of(function)
            if activity.is_dynamic:
                if self.dynamic_activity is not None:
                    taken = self.dynamic_activity.function
                    raise ValueError(f"two activities are dynamic: {taken!r} and {function!r}")
                self.dynamic_activity = activity
                continue
            if activity.name in self.activities:
                raise ValueError(
                    f"two activities are named {activity.name!r}: "
                    f"{self.activities[activity.name].function!r} and {function!r}"
                )
            self.activities[activity.name] = activity

    def workflow(self, name: str) -> WorkflowDefinition | None:
        """What runs a workflow of this type: its own definition, else the dynamic one."""
        return self.workflows.get(name, self.dynamic_workflow)

    def activity(self, name: str) -> ActivityDefinition | None:
        """What runs an activity of this type: its own definition, else the dynamic one."""
        return self.activities.get(name, self.dynamic_activity)

    @property
    def all_activities(self) -> Sequence[ActivityDefinition]:
        """Every activity, the dynamic one last."""
        dynamic = [] if self.dynamic_activity is None else [self.dynamic_activity]
        return [*self.activities.values(), *dynamic]

    @property
    def has_workflows(self) -> bool:
        """Whether there is any workflow."""
        return bool(self.workflows) or self.dynamic_workflow is not None

    @property
    def has_activities(self) -> bool:
        """Whether there is any activity."""
        return bool(self.all_activities)
