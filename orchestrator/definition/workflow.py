"""The decorators of a workflow class and what they find: `WorkflowDefinition`.

All checks happen when the class is decorated, so a mistake shows when the module is imported. The
class itself is not changed apart from one attribute that holds its definition.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

from orchestrator.definition.handlers import (
    HandlerDefinition,
    queries_of,
    signals_of,
    updates_of,
)
from orchestrator.definition.signature import AnyFunction, Signature, read_signature
from orchestrator.ids import check_name

_RUN = "__orchestrator_run__"
_INIT = "__orchestrator_init__"
_CONFIG = "__orchestrator_dynamic_config__"
_DEFINITION = "__orchestrator_workflow__"

_Class = TypeVar("_Class", bound=type)
_Function = TypeVar("_Function", bound=AnyFunction)


@dataclass(frozen=True)
class DynamicWorkflowConfig:
    """What a dynamic workflow decides for one run, from its type and arguments."""

    failure_exception_types: Sequence[type[BaseException]] = ()
    """Exceptions that fail the run instead of the task, beside those of the definition."""


@dataclass(frozen=True)
class WorkflowDefinition:
    """A workflow class as workers and clients see it; `takes_init_args`: `@workflow.init`.

    Handlers are found by name, the dynamic one under None. Exceptions of the
    `failure_exception_types` fail the run; by default only those of `orchestrator.exceptions` do,
    and any other fails the task. A dynamic one takes runs of every type that has no definition of
    its own; its arguments are one list of `RawValue`.
    """

    name: str
    cls: type
    run: AnyFunction
    signature: Signature
    takes_init_args: bool
    signals: Mapping[str | None, HandlerDefinition]
    queries: Mapping[str | None, HandlerDefinition]
    updates: Mapping[str | None, HandlerDefinition] = field(
        default_factory=dict[str | None, HandlerDefinition]
    )
    failure_exception_types: tuple[type[BaseException], ...] = ()
    is_dynamic: bool = False
    dynamic_config: AnyFunction | None = None
    """Called before the run method of a dynamic workflow; may change nothing."""

    @property
    def arg_types(self) -> tuple[Any, ...] | None:  # Any: annotations are of no common type
        """Of the run method; None: not all annotated."""
        return self.signature.arg_types

    @property
    def ret_type(self) -> Any:  # Any: as above
        """Of the run method; None: not annotated."""
        return self.signature.ret_type

    @staticmethod
    def of(workflow: type) -> WorkflowDefinition:
        """The definition of a decorated class.

        Raises:
            ValueError: the class itself is not decorated with `@workflow.defn`.
        """
        found = vars(workflow).get(_DEFINITION)
        if not isinstance(found, WorkflowDefinition):
            raise ValueError(
                f"{_where(workflow)} is not a workflow: decorate it with @workflow.defn"
            )
        return found

    @staticmethod
    def of_run(run: AnyFunction) -> tuple[str, Any, tuple[Any, ...] | None]:  # Any: annotations
        """Workflow name, result type and argument types of a method decorated with `@run`.

        Raises:
            ValueError: it is not a run method, or its class is not decorated.
        """
        definition = getattr(inspect.unwrap(run), _DEFINITION, None)
        if not isinstance(definition, WorkflowDefinition):
            raise ValueError(f"{run!r} is not the @workflow.run method of a @workflow.defn class")
        if definition.is_dynamic:
            raise ValueError(f"{run!r} is of a dynamic workflow: give the workflow's type as text")
        return definition.name, definition.ret_type, definition.arg_types


@overload
def defn(cls: _Class, /) -> _Class: ...
@overload
def defn(
    *,
    name: str | None = None,
    dynamic: bool = False,
    sandboxed: bool = True,
    failure_exception_types: Sequence[type[BaseException]] = (),
) -> Callable[[_Class], _Class]: ...
def defn(
    cls: _Class | None = None,
    /,
    *,
    name: str | None = None,
    dynamic: bool = False,
    sandboxed: bool = True,
    failure_exception_types: Sequence[type[BaseException]] = (),
) -> _Class | Callable[[_Class], _Class]:
    """Declare a workflow class; the default name is the class's.

    Args:
        cls: The class, when the decorator is used without parentheses.
        name: What starts of this workflow say.
        dynamic: It takes the runs of every type that its worker has no class for; its run method
            takes one `Sequence[RawValue]`. At most one of a worker.
        sandboxed: Changes nothing: there is no importing sandbox. For code that is moved here.
        failure_exception_types: Exceptions that fail the run instead of the task.

    Raises:
        ValueError: the class breaks a rule; the text says which and what to do.
    """

    def decorate(target: _Class) -> _Class:
        if dynamic and name is not None:
            raise ValueError(f"{_where(target)}: give a name or dynamic=True, not both")
        given = getattr(target, "__name__", "") if name is None else name
        definition = _define(target, given, tuple(failure_exception_types), is_dynamic=dynamic)
        setattr(target, _DEFINITION, definition)
        setattr(definition.run, _DEFINITION, definition)
        return target

    return decorate if cls is None else decorate(cls)


def run(function: _Function) -> _Function:
    """Mark the one `async def` method that is the workflow.

    Raises:
        ValueError: it is not `async def`, or its class is local to a function.
    """
    if not inspect.iscoroutinefunction(function):
        raise ValueError(f"@workflow.run needs an async def method, found {function!r}")
    if "<locals>" in function.__qualname__:
        raise ValueError(
            f"{function.__qualname__}: a workflow class must stand at the top of its module, "
            "because other processes find it by import"
        )
    setattr(function, _RUN, True)
    return function


def init(function: _Function) -> _Function:
    """Mark `__init__` as taking the same arguments as the run method.

    Raises:
        ValueError: it is not `__init__`.
    """
    if function.__name__ != "__init__":
        raise ValueError(f"@workflow.init belongs on __init__, found {function.__qualname__}")
    setattr(function, _INIT, True)
    return function


def dynamic_config(function: _Function) -> _Function:
    """Mark the method of a dynamic workflow that gives its run's `DynamicWorkflowConfig`. It is
    called once, after `__init__` and before the run method, and may change nothing.

    Raises:
        ValueError: it is `async def`.
    """
    if inspect.iscoroutinefunction(function):
        raise ValueError(f"@workflow.dynamic_config needs a plain def, found {function!r}")
    setattr(function, _CONFIG, True)
    return function


def _define(
    cls: type,
    name: str,
    failure_exception_types: tuple[type[BaseException], ...],
    *,
    is_dynamic: bool,
) -> WorkflowDefinition:
    if not inspect.isclass(cls):
        raise ValueError(f"@workflow.defn belongs on a class, found {cls!r}")
    check_name(f"name of workflow {_where(cls)}", name)
    for kind in failure_exception_types:
        if not (inspect.isclass(kind) and issubclass(kind, BaseException)):
            raise ValueError(
                f"{_where(cls)}: failure_exception_types must be exception classes, found {kind!r}"
            )
    run_method = _find_run(cls)
    signature = read_signature(run_method, what=f"{_where(cls)}.run", skip_self=True)
    takes_init_args = bool(getattr(cls.__init__, _INIT, False))
    _check_init(cls, run_method, takes_init_args=takes_init_args)
    config = _find_config(cls)
    if config is not None and not is_dynamic:
        raise ValueError(f"{_where(cls)} has a @workflow.dynamic_config and is not dynamic")
    if is_dynamic and len(signature.names) != 1:
        raise ValueError(
            f"{_where(cls)} is dynamic, so its run method must take (args: Sequence[RawValue]); "
            f"found {list(signature.names)}"
        )
    return WorkflowDefinition(
        name=name,
        cls=cls,
        run=run_method,
        signature=signature,
        takes_init_args=takes_init_args,
        signals=signals_of(cls),
        queries=queries_of(cls),
        updates=updates_of(cls),
        failure_exception_types=failure_exception_types,
        is_dynamic=is_dynamic,
        dynamic_config=config,
    )


def _find_config(cls: type) -> AnyFunction | None:
    members = (inspect.getattr_static(cls, name) for name in dir(cls))
    return next((member for member in members if getattr(member, _CONFIG, False)), None)


def _find_run(cls: type) -> AnyFunction:
    own: list[AnyFunction] = [
        member for member in vars(cls).values() if getattr(member, _RUN, False)
    ]
    if len(own) > 1:
        raise ValueError(f"{_where(cls)} has {len(own)} @workflow.run methods, expected one")
    if own:
        return own[0]
    for base in cls.__mro__[1:]:
        for attribute, member in vars(base).items():
            if getattr(member, _RUN, False):
                raise ValueError(
                    f"{_where(cls)} inherits @workflow.run {attribute!r} from {_where(base)}; "
                    "define (and decorate) it on the class itself"
                )
    raise ValueError(f"{_where(cls)} has no @workflow.run method")


def _check_init(cls: type, run_method: AnyFunction, *, takes_init_args: bool) -> None:
    own_init: AnyFunction = inspect.getattr_static(cls, "__init__")
    if own_init is object.__init__:
        return
    parameters = list(inspect.signature(own_init).parameters.values())[1:]
    if takes_init_args:
        expected = list(inspect.signature(run_method).parameters.values())[1:]
        if [(p.name, p.annotation) for p in parameters] != [
            (p.name, p.annotation) for p in expected
        ]:
            raise ValueError(
                f"{_where(cls)}: the parameters of @workflow.init and @workflow.run must be the "
                f"same, found {[p.name for p in parameters]} and {[p.name for p in expected]}"
            )
        return
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    if any(p.default is inspect.Parameter.empty and p.kind not in variable for p in parameters):
        raise ValueError(
            f"{_where(cls)}.__init__ takes arguments; decorate it with @workflow.init to get those "
            "of the run method"
        )


def _where(cls: type) -> str:
    return getattr(cls, "__qualname__", repr(cls))
