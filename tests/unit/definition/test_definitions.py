"""What decorators accept, find and refuse."""

from __future__ import annotations

import pytest

from orchestrator import activity, workflow
from orchestrator.definition.activity import ActivityDefinition
from orchestrator.definition.registry import Registry
from orchestrator.definition.workflow import WorkflowDefinition


@workflow.defn(name="greet")
class Greet:
    @workflow.init
    def __init__(self, name: str) -> None:
        self.name = name

    @workflow.run
    async def run(self, name: str) -> int:
        return len(name)

    @workflow.signal(name="rename")
    def change(self, name: str) -> None:
        self.name = name

    @workflow.query
    def current(self) -> str:
        return self.name


@activity.defn
async def shout(text: str) -> str:
    return text.upper()


class Shouter:
    @activity.defn(name="method")
    def shout(self, text: str) -> str:
        return text


@activity.defn
class Callable_:
    def __call__(self, text: str) -> str:
        return text


def test_a_workflow_class_is_read_whole():
    found = WorkflowDefinition.of(Greet)
    assert (found.name, found.arg_types, found.ret_type) == ("greet", (str,), int)
    assert found.takes_init_args
    assert set(found.signals) == {"rename"}
    assert set(found.queries) == {"current"}


def test_functions_bound_methods_and_instances_are_activities():
    registry = Registry(workflows=[Greet], activities=[shout, Shouter().shout, Callable_()])
    assert set(registry.activities) == {"shout", "method", "Callable_"}
    assert registry.activities["shout"].is_async
    assert all(each.arg_types == (str,) for each in registry.activities.values())


def test_duplicates_are_refused():
    with pytest.raises(ValueError, match="two activities"):
        Registry(activities=[shout, shout])
    with pytest.raises(ValueError, match="two workflows"):
        Registry(workflows=[Greet, Greet])


def test_a_class_in_place_of_an_instance_is_refused():
    with pytest.raises(ValueError, match="instance"):
        ActivityDefinition.of(Callable_)


def test_an_inherited_run_and_an_undecorated_override_are_refused():
    with pytest.raises(ValueError, match="inherits"):
        workflow.defn(type("Child", (Greet,), {}))


def test_a_class_without_run_and_a_local_or_sync_run_are_refused():
    with pytest.raises(ValueError, match=r"no @workflow\.run"):
        workflow.defn(type("Empty", (), {}))
    with pytest.raises(ValueError, match="async def"):
        workflow.run(lambda self: None)

    async def run(self: object) -> None: ...

    with pytest.raises(ValueError, match="top of its module"):
        workflow.run(run)


def test_outside_of_an_activity_or_workflow_the_faces_say_so():
    with pytest.raises(RuntimeError, match="not in activity code"):
        activity.info()
    with pytest.raises(RuntimeError, match="not in workflow code"):
        workflow.now()
