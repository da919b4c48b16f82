"""The decorators of signal, query and update handlers, and what they find: `HandlerDefinition`.

A dynamic handler takes `(name, args)`, every signal, query or update that has no handler of its
own, its arguments as `Sequence[RawValue]`.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar, cast, overload

from orchestrator.definition.signature import AnyFunction, Signature, read_signature
from orchestrator.ids import check_name

_SIGNAL = "__orchestrator_signal__"
_QUERY = "__orchestrator_query__"
_UPDATE = "__orchestrator_update__"
_VALIDATOR = "__orchestrator_validator__"

_Function = TypeVar("_Function", bound=AnyFunction)
_Params = ParamSpec("_Params")
_Result = TypeVar("_Result")
_Result_co = TypeVar("_Result_co", covariant=True)


class HandlerUnfinishedPolicy(Enum):
    """What happens to a handler that is still running when its run ends."""

    WARN_AND_ABANDON = 1
    """It is given up, with a warning."""
    ABANDON = 2
    """It is given up."""


@dataclass(frozen=True)
class HandlerDefinition:
    """A signal, query or update handler. `name` None: it is dynamic. `validator` takes the same
    parameters as an update's `function`, and raises if the update is not to be let in."""

    name: str | None
    function: AnyFunction
    signature: Signature
    attribute: str = ""
    unfinished_policy: HandlerUnfinishedPolicy = HandlerUnfinishedPolicy.WARN_AND_ABANDON
    description: str | None = None
    validator: AnyFunction | None = None


class UpdateMethodMultiParam(Protocol[_Params, _Result_co]):
    """A method decorated as an update: called as before, and with a place for its validator."""

    def __call__(
        self, *args: _Params.args, **kwargs: _Params.kwargs
    ) -> _Result_co | Awaitable[_Result_co]: ...

    def validator(self, validator: Callable[_Params, None], /) -> Callable[_Params, None]:
        """Mark a plain `def` with the same parameters: what it raises rejects the update.

        Raises:
            ValueError: it is `async def`.
        """
        ...


class _Mark(NamedTuple):
    """What a decorator leaves on a method."""

    name: str | None
    unfinished_policy: HandlerUnfinishedPolicy
    description: str | None


@overload
def signal(function: _Function, /) -> _Function: ...
@overload
def signal(
    *,
    name: str | None = None,
    dynamic: bool = False,
    unfinished_policy: HandlerUnfinishedPolicy = ...,
    description: str | None = None,
) -> Callable[[_Function], _Function]: ...
def signal(
    function: _Function | None = None,
    /,
    *,
    name: str | None = None,
    dynamic: bool = False,
    unfinished_policy: HandlerUnfinishedPolicy = HandlerUnfinishedPolicy.WARN_AND_ABANDON,
    description: str | None = None,
) -> _Function | Callable[[_Function], _Function]:
    """Mark a method, sync or async, as the handler of a signal; the default name is the method's.

    Raises:
        ValueError: both `name` and `dynamic`, or a name that cannot be one.
    """

    def decorate(target: _Function) -> _Function:
        given = _name(target, name, dynamic=dynamic)
        setattr(target, _SIGNAL, _Mark(given, unfinished_policy, description))
        return target

    return decorate if function is None else decorate(function)


@overload
def query(function: _Function, /) -> _Function: ...
@overload
def query(
    *, name: str | None = None, dynamic: bool = False, description: str | None = None
) -> Callable[[_Function], _Function]: ...
def query(
    function: _Function | None = None,
    /,
    *,
    name: str | None = None,
    dynamic: bool = False,
    description: str | None = None,
) -> _Function | Callable[[_Function], _Function]:
    """Mark a sync method as the handler of a query; it may read but not change the workflow.

    Raises:
        ValueError: it is `async def`, both `name` and `dynamic`, or a name that cannot be one.
    """

    def decorate(target: _Function) -> _Function:
        check_sync(target)
        given = _name(target, name, dynamic=dynamic)
        setattr(target, _QUERY, _Mark(given, HandlerUnfinishedPolicy.ABANDON, description))
        return target

    return decorate if function is None else decorate(function)


@overload
def update(
    function: Callable[_Params, Awaitable[_Result]], /
) -> UpdateMethodMultiParam[_Params, _Result]: ...
@overload
def update(function: Callable[_Params, _Result], /) -> UpdateMethodMultiParam[_Params, _Result]: ...
@overload
def update(
    *,
    name: str | None = None,
    dynamic: bool = False,
    unfinished_policy: HandlerUnfinishedPolicy = ...,
    description: str | None = None,
) -> _UpdateDecorator: ...
def update(
    function: AnyFunction | None = None,
    /,
    *,
    name: str | None = None,
    dynamic: bool = False,
    unfinished_policy: HandlerUnfinishedPolicy = HandlerUnfinishedPolicy.WARN_AND_ABANDON,
    description: str | None = None,
) -> Any:  # Any: see the overloads
    """Mark a method, sync or async, as the handler of an update; the default name is the method's.

    What it returns, or the failure it raises, is the outcome for whoever sent the update.

    Raises:
        ValueError: both `name` and `dynamic`, or a name that cannot be one.
    """

    def decorate(target: AnyFunction) -> AnyFunction:
        given = _name(target, name, dynamic=dynamic)
        setattr(target, _UPDATE, _Mark(given, unfinished_policy, description))

        def validator(found: _Function) -> _Function:
            check_sync(found, "validator")
            setattr(target, _VALIDATOR, found)
            return found

        cast("Any", target).validator = validator  # Any: functions take attributes
        return target

    return decorate if function is None else decorate(function)


class _UpdateDecorator(Protocol):
    """`update` with options."""

    @overload
    def __call__(
        self, function: Callable[_Params, Awaitable[_Result]], /
    ) -> UpdateMethodMultiParam[_Params, _Result]: ...
    @overload
    def __call__(
        self, function: Callable[_Params, _Result], /
    ) -> UpdateMethodMultiParam[_Params, _Result]: ...


def handler_name(handler: str | AnyFunction) -> str:
    """The name of a signal, query or update given by name or by its decorated method.

    Raises:
        ValueError: the method is none of these, or is dynamic and so has no name.
    """
    if isinstance(handler, str):
        return handler
    marks = (getattr(handler, kind, None) for kind in (_SIGNAL, _QUERY, _UPDATE))
    mark = next((one for one in marks if one is not None), None)
    if not isinstance(mark, _Mark):
        raise ValueError(f"{handler!r} is decorated neither as a signal nor as a query or update")
    if mark.name is None:
        raise ValueError(f"{handler!r} is a dynamic handler: give the name as text")
    return mark.name


def signals_of(cls: type) -> Mapping[str | None, HandlerDefinition]:
    """The signal handlers of a class by name; the dynamic one stands under None.

    Raises:
        ValueError: two have the same name, an override is not decorated, or the parameters do not
            fit.
    """
    return _handlers(cls, _SIGNAL, "signal")


def queries_of(cls: type) -> Mapping[str | None, HandlerDefinition]:
    """The query handlers of a class by name; raises as `signals_of` does."""
    return _handlers(cls, _QUERY, "query")


def updates_of(cls: type) -> Mapping[str | None, HandlerDefinition]:
    """The update handlers of a class by name; raises as `signals_of` does, and ValueError when a
    validator's parameters differ."""
    return _handlers(cls, _UPDATE, "update")


def runtime_handler(
    name: str | None,
    function: AnyFunction,
    *,
    kind: str,
    validator: AnyFunction | None = None,
) -> HandlerDefinition:
    """The definition of a function that is set as a handler while a run goes on.

    Raises:
        ValueError: its parameters do not fit, those of `validator` differ, or a query or validator
            is async.
    """
    if kind == "query":
        check_sync(function)
    what = f"the dynamic {kind} handler" if name is None else f"{kind} {name!r}"
    signature = read_signature(function, what=what, skip_self=False)
    definition = HandlerDefinition(name, function, signature, validator=validator)
    _check_dynamic(definition, what)
    _check_validator(definition, what, skip_self=False)
    return definition


def check_sync(function: AnyFunction, kind: str = "query") -> None:
    """Raises ValueError for an `async def` query or validator."""
    if inspect.iscoroutinefunction(function):
        shown = getattr(function, "__qualname__", repr(function))
        raise ValueError(f"{kind} {shown} must be a plain def: it may not wait")


def _name(target: AnyFunction, name: str | None, *, dynamic: bool) -> str | None:
    if dynamic and name is not None:
        raise ValueError(f"{target.__qualname__}: give a name or dynamic=True, not both")
    if dynamic:
        return None
    return check_name(f"name of {target.__qualname__}", target.__name__ if name is None else name)


def _handlers(cls: type, mark: str, kind: str) -> Mapping[str | None, HandlerDefinition]:
    found: dict[str | None, HandlerDefinition] = {}
    for attribute in dir(cls):
        where = f"{cls.__qualname__}.{attribute}"
        member = inspect.getattr_static(cls, attribute)
        marked = getattr(member, mark, None)
        if not isinstance(marked, _Mark):
            _check_override(cls, attribute, mark, kind)
            continue
        if marked.name in found:
            shown = "dynamic" if marked.name is None else repr(marked.name)
            raise ValueError(
                f"{cls.__qualname__} has two handlers of {kind} {shown}: "
                f"{found[marked.name].attribute} and {attribute}"
            )
        found[marked.name] = HandlerDefinition(
            name=marked.name,
            function=member,
            signature=read_signature(member, what=where, skip_self=True),
            attribute=attribute,
            unfinished_policy=marked.unfinished_policy,
            description=marked.description,
            validator=getattr(member, _VALIDATOR, None),
        )
        _check_dynamic(found[marked.name], where)
        _check_validator(found[marked.name], where, skip_self=True)
    return found


def _check_override(cls: type, attribute: str, mark: str, kind: str) -> None:
    for base in cls.__mro__:
        if isinstance(getattr(vars(base).get(attribute), mark, None), _Mark):
            raise ValueError(
                f"{cls.__qualname__}.{attribute} overrides a {kind} of {base.__qualname__} "
                f"without @workflow.{kind}; decorate the override as well"
            )


def _check_dynamic(definition: HandlerDefinition, what: str) -> None:
    signature = definition.signature
    if definition.name is None and (signature.takes_more or not signature.accepts(2)):
        found = [*signature.names, *(["*…"] if signature.takes_more else [])]
        raise ValueError(
            f"{what} is dynamic, so it must take (name: str, args: Sequence[RawValue]); found "
            f"{found}"
        )


def _check_validator(definition: HandlerDefinition, what: str, *, skip_self: bool) -> None:
    if definition.validator is None:
        return
    check_sync(definition.validator, "validator")
    own = read_signature(definition.validator, what=f"validator of {what}", skip_self=skip_self)
    expected = definition.signature
    if (len(own.names), own.takes_more) != (len(expected.names), expected.takes_more) or (
        own.arg_types is not None
        and expected.arg_types is not None
        and own.arg_types != expected.arg_types
    ):
        raise ValueError(
            f"the validator of {what} must take the same parameters as its handler, which takes "
            f"{list(expected.names)}; found {list(own.names)}"
        )
