"""The first moments of a run: its arguments, its object, and what a dynamic one says of itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from orchestrator.common import RawValue
from orchestrator.definition.workflow import DynamicWorkflowConfig, WorkflowDefinition
from orchestrator.replay.handlers import check_count, decode
from orchestrator.replay.values import Values
from orchestrator.wire.payload import Payload


def arguments_of(
    definition: WorkflowDefinition, payloads: Sequence[Payload], values: Values
) -> list[Any]:  # Any: user's values
    """What the run method is called with.

    Raises:
        ConversionError: an argument does not fit, or their number.
    """
    if definition.is_dynamic:
        return [[RawValue(payload) for payload in payloads]]
    what = f"workflow {definition.name!r}"
    check_count(definition.signature, len(payloads), what=what)
    return decode(values, payloads, definition.signature, what=what)


def instance_of(definition: WorkflowDefinition, args: Sequence[Any]) -> object:  # Any: as above
    """A fresh object of the workflow's class."""
    made: object = definition.cls(*(args if definition.takes_init_args else ()))
    return made


def failure_types_of(
    definition: WorkflowDefinition,
    instance: object,
    ask_read_only: Callable[[str, Callable[[], Any]], Any],  # Any: what is asked
) -> Sequence[type[BaseException]]:
    """Which exceptions a dynamic workflow wants to fail its run beside others.

    Raises:
        TypeError: its `@workflow.dynamic_config` gives something else than a config.
    """
    function = definition.dynamic_config
    if function is None:
        return ()
    config: object = ask_read_only("a dynamic config", lambda: function(instance))
    if not isinstance(config, DynamicWorkflowConfig):
        raise TypeError(
            f"@workflow.dynamic_config of {definition.name}: expected a "
            f"workflow.DynamicWorkflowConfig, found {config!r}"
        )
    return config.failure_exception_types
