"""The workflows of the reference apps live random lives, and any prefix of each replays."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from random import Random
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.definition.registry import Registry
from orchestrator.definition.workflow import WorkflowDefinition
from tests.replay.driver import Driven
from tests.replay.play import arguments_of, play, signals_of, values_of

ROOT = Path(__file__).parents[2]
APPS = sorted(path.parent.name for path in (ROOT / "workers").glob("*/app.py"))


def _app(name: str) -> ModuleType:
    return importlib.import_module(f"workers.{name}.app")


WORKFLOWS = [(name, cls) for name in APPS for cls in _app(name).workflows]


def test_there_are_reference_workflows() -> None:
    assert {name for name, _ in WORKFLOWS} >= {"greeter", "orders"}


@pytest.mark.parametrize(("name", "cls"), WORKFLOWS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), random=st.randoms(use_true_random=False))
def test_any_prefix_of_any_life_of_a_reference_workflow_replays(
    name: str, cls: type, data: st.DataObject, random: Random
) -> None:
    registry = Registry(activities=_app(name).activities)
    definition = WorkflowDefinition.of(cls)
    driven = Driven(cls, *data.draw(arguments_of(definition)))
    signals = signals_of(driven, definition)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        play(
            driven,
            random,
            result_of=lambda kind: data.draw(values_of(registry.activities[kind].ret_type)),
            signals=lambda: data.draw(signals),
        )
        driven.check_replays()
