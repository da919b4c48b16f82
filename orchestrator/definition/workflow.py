"""The decorators of a workflow class and what they find: `WorkflowDefinition`.

All checks happen when the class is decorated, so a mistake shows when the module is imported. The
class itself is not changed apart from one attribute that holds its definition.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from orchestrator.definition.signature import AnyFunction, read_signature

_RUN = "__orchestrator_run__"
_INIT = "__orchestrator_init__"
_SIGNAL = "__orchestrator_signal__"
_QUERY = "__orchestrator_query__"
_DEFINITION = "__orchestrator_workflow__"

_Class = TypeVar("_Class", bound=type)
_Function = TypeVar("_Function", bound=AnyFunction)


@dataclass(frozen=True)
class HandlerDefinition:
    """A signal or query handler of a class."""

    name: str
    function: AnyFunction
    arg_types: tuple[Any, ...] | None  # Any: annotations are of no common type
    ret_type: Any  # Any: as above
    attribute: str


@dataclass(frozen=True)
class WorkflowDefinition:
    """A workflow class as workers and clients see it; `takes_init_args`: `@workflow.init`."""

    name: str
    cls: type
    run: AnyFunction
    arg_types: tuple[Any, ...] | None  # Any: annotations are of no common type
    ret_type: Any  # Any: as above
    takes_init_args: bool
    signals: Mapping[str, HandlerDefinition]
    queries: Mapping[str, HandlerDefinition]

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
        return definition.name, definition.ret_type, definition.arg_types


@overload
def defn(cls: _Class, /) -> _Class: ...
@overload
def defn(*, name: str | None = None, sandboxed: bool = True) -> Callable[[_Class], _Class]: ...
def defn(
    cls: _Class | None = None, /, *, name: str | None = None, sandboxed: bool = True
) -> _Class | Callable[[_Class], _Class]:
    """Declare a workflow class; the default name is the class's. There is no importing sandbox,
    so `sandboxed` changes nothing and exists for code that is moved here.

    Raises:
        ValueError: the class breaks a rule; the text says which and what to do.
    """

    def decorate(target: _Class) -> _Class:
        definition = _define(target, target.__name__ if name is None else name)
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


@overload
def signal(function: _Function, /) -> _Function: ...
@overload
def signal(*, name: str | None = None) -> Callable[[_Function], _Function]: ...
def signal(
    function: _Function | None = None, /, *, name: str | None = None
) -> _Function | Callable[[_Function], _Function]:
    """Mark a method, sync or async, as the handler of a signal."""

    def decorate(target: _Function) -> _Function:
        setattr(target, _SIGNAL, target.__name__ if name is None else name)
        return target

    return decorate if function is None else decorate(function)


@overload
def query(function: _Function, /) -> _Function: ...
@overload
def query(*, name: str | None = None) -> Callable[[_Function], _Function]: ...
def query(
    function: _Function | None = None, /, *, name: str | None = None
) -> _Function | Callable[[_Function], _Function]:
    """Mark a sync method as the handler of a query; it may read but not change the workflow.

    Raises:
        ValueError: it is `async def`.
    """

    def decorate(target: _Function) -> _Function:
        if inspect.iscoroutinefunction(target):
            raise ValueError(f"query {target.__qualname__} must be a plain def: it may not wait")
        setattr(target, _QUERY, target.__name__ if name is None else name)
        return target

    return decorate if function is None else decorate(function)


def handler_name(handler: str | AnyFunction) -> str:
    """The name of a signal or query given by name or by its decorated method.

    Raises:
        ValueError: the method is neither.
    """
    if isinstance(handler, str):
        return handler
    found = getattr(handler, _SIGNAL, None) or getattr(handler, _QUERY, None)
    if not isinstance(found, str):
        raise ValueError(f"{handler!r} is decorated neither as a signal nor as a query")
    return found


def _define(cls: type, name: str) -> WorkflowDefinition:
    if not inspect.isclass(cls):
        raise ValueError(f"@workflow.defn belongs on a class, found {cls!r}")
    if not name:
        raise ValueError(f"{_where(cls)}: a workflow's name must not be empty")
    run_method = _find_run(cls)
    signature = read_signature(run_method, what=f"{_where(cls)}.run", skip_self=True)
    takes_init_args = bool(getattr(cls.__init__, _INIT, False))
    _check_init(cls, run_method, takes_init_args=takes_init_args)
    return WorkflowDefinition(
        name=name,
        cls=cls,
        run=run_method,
        arg_types=signature.arg_types,
        ret_type=signature.ret_type,
        takes_init_args=takes_init_args,
        signals=_handlers(cls, _SIGNAL),
        queries=_handlers(cls, _QUERY),
    )


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


def _handlers(cls: type, mark: str) -> Mapping[str, HandlerDefinition]:
    found: dict[str, HandlerDefinition] = {}
    kind = "signal" if mark == _SIGNAL else "query"
    for attribute in dir(cls):
        member = inspect.getattr_static(cls, attribute)
        name = getattr(member, mark, None)
        inherited = [
            base
            for base in cls.__mro__
            if isinstance(getattr(vars(base).get(attribute), mark, None), str)
        ]
        if not isinstance(name, str):
            if inherited:
                raise ValueError(
                    f"{_where(cls)}.{attribute} overrides a {kind} of {_where(inherited[0])} "
                    f"without @workflow.{kind}; decorate the override as well"
                )
            continue
        if name in found:
            raise ValueError(
                f"{_where(cls)} has two handlers of {kind} {name!r}: {found[name].attribute} and "
                f"{attribute}"
            )
        signature = read_signature(member, what=f"{_where(cls)}.{attribute}", skip_self=True)
        found[name] = HandlerDefinition(
            name, member, signature.arg_types, signature.ret_type, attribute
        )
    return found


def _where(cls: type) -> str:
    return getattr(cls, "__qualname__", repr(cls))
