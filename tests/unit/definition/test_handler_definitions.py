"""Decorated handlers: names, inheritance, and what is refused when the class is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from orchestrator import workflow
from orchestrator.common import RawValue
from orchestrator.definition.handlers import handler_name, runtime_handler
from orchestrator.definition.signature import read_signature, result_type
from orchestrator.definition.workflow import WorkflowDefinition


class Base:
    @workflow.signal
    def stop(self) -> None: ...

    @workflow.query(description="how far it is")
    def progress(self) -> int:
        return 1


@workflow.defn(failure_exception_types=[OSError])
class Derived(Base):
    @workflow.run
    async def run(self) -> None: ...

    @workflow.signal(
        name="go", unfinished_policy=workflow.HandlerUnfinishedPolicy.ABANDON, description="goes"
    )
    async def start(self, speed: int = 1) -> None: ...

    @workflow.signal(dynamic=True)
    def rest(self, name: str, args: Sequence[RawValue]) -> None: ...

    @workflow.query
    def progress(self) -> int:
        return 2


def _class(**members: object) -> type:
    async def run(self: object) -> None: ...

    run.__qualname__ = "Made.run"
    return type("Made", (), {"run": workflow.run(run), **members})


def test_handlers_are_inherited_and_overridden_and_the_dynamic_one_has_no_name() -> None:
    found = WorkflowDefinition.of(Derived)
    assert set(found.signals) == {"stop", "go", None}
    assert found.signals["go"].unfinished_policy is workflow.HandlerUnfinishedPolicy.ABANDON
    assert found.signals["go"].description == "goes"
    assert found.queries["progress"].function is vars(Derived)["progress"]
    assert found.failure_exception_types == (OSError,)


def test_a_handler_is_called_by_name_or_by_its_method() -> None:
    assert handler_name("anything") == "anything"
    assert handler_name(Derived.start) == "go"
    with pytest.raises(ValueError, match="is a dynamic handler"):
        handler_name(Derived.rest)
    with pytest.raises(ValueError, match="neither as a signal nor as a query"):
        handler_name(Derived.run)


def test_an_override_that_is_not_decorated_is_refused() -> None:
    async def run(self: object) -> None: ...

    run.__qualname__ = "Made.run"
    cls = type("Made", (Base,), {"run": workflow.run(run), "stop": lambda self: None})
    with pytest.raises(ValueError, match=r"Made\.stop overrides a signal of Base"):
        workflow.defn(cls)


def test_two_handlers_of_a_name_are_refused() -> None:
    one, two = (workflow.query(name="q")(lambda self: None) for _ in range(2))
    with pytest.raises(ValueError, match="two handlers of query 'q': a and b"):
        workflow.defn(_class(a=one, b=two))


def test_two_dynamic_handlers_are_refused() -> None:
    one, two = (workflow.signal(dynamic=True)(lambda self, name, args: None) for _ in range(2))
    with pytest.raises(ValueError, match="two handlers of signal dynamic: a and b"):
        workflow.defn(_class(a=one, b=two))


def test_a_dynamic_handler_with_other_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must take \(name: str, args: Sequence"):
        workflow.defn(_class(a=workflow.signal(dynamic=True)(lambda self, name: None)))
    with pytest.raises(ValueError, match="the dynamic query handler is dynamic, so it must take"):
        runtime_handler(None, lambda name: None, kind="query")


def test_a_name_and_dynamic_at_once_are_refused() -> None:
    with pytest.raises(ValueError, match="not both"):
        workflow.signal(name="a", dynamic=True)(lambda self: None)


def test_names_that_could_break_a_key_or_a_log_are_refused() -> None:
    with pytest.raises(ValueError, match="expected no control characters"):
        workflow.signal(name="a\nb")(lambda self: None)
    with pytest.raises(ValueError, match="expected a text that is not empty"):
        workflow.query(name="")(lambda self: None)
    with pytest.raises(ValueError, match="name of workflow Made: expected no braces"):
        workflow.defn(name="{a}")(_class())


def test_a_query_that_waits_is_refused() -> None:
    async def ask(self: object) -> None: ...

    with pytest.raises(ValueError, match="must be a plain def"):
        workflow.query(ask)
    with pytest.raises(ValueError, match="must be a plain def"):
        runtime_handler("ask", ask, kind="query")


def test_keyword_only_parameters_and_methods_without_self_are_refused() -> None:
    def keyword(self: object, *, a: int) -> None: ...

    with pytest.raises(ValueError, match="keyword-only parameter 'a'"):
        workflow.defn(_class(a=workflow.signal(keyword)))
    with pytest.raises(ValueError, match="with self as its first parameter"):
        workflow.defn(_class(a=workflow.signal(name="a")(lambda: None)))


def test_failure_types_that_are_no_exceptions_are_refused() -> None:
    with pytest.raises(ValueError, match="must be exception classes, found 'OSError'"):
        workflow.defn(failure_exception_types=["OSError"])(_class())  # type: ignore[list-item]  # the mistake


def test_a_signature_says_how_many_arguments_fit() -> None:
    def function(a: int, b: str = "", *more: float) -> bool: ...

    found = read_signature(function, what="it", skip_self=False)
    assert found.names == ("a", "b")
    assert (found.arg_types, found.ret_type) == ((int, str), bool)
    assert [found.accepts(count) for count in (0, 1, 2, 3)] == [False, True, True, True]


def test_annotations_that_cannot_be_resolved_give_no_types() -> None:
    def function(a: Unknown) -> int: ...  # type: ignore[name-defined]  # noqa: F821  # the point

    found = read_signature(function, what="it", skip_self=False)
    assert (found.arg_types, found.ret_type) == (None, None)
    assert result_type(function) is None


class Caller:
    def __call__(self) -> int: ...

    def method(self) -> str: ...


def test_the_result_type_of_anything_callable_is_read_once() -> None:
    assert result_type(Caller) is int
    assert result_type(Caller()) is int
    assert result_type(Caller.method) is str
    assert result_type(Caller().method) is str
    del Caller.method.__annotations__["return"]
    assert result_type(Caller.method) is str
    assert result_type(len) is None


@pytest.mark.parametrize("kind", [workflow.signal, workflow.query, workflow.update])
def test_a_dynamic_handler_takes_its_arguments_as_one_list(kind: Any) -> None:
    def old(self: object, name: str, *args: RawValue) -> None: ...

    with pytest.raises(ValueError, match=r"found \['name', '\*…'\]"):
        workflow.defn(_class(a=kind(dynamic=True)(old)))


def test_updates_are_found_with_their_validators() -> None:
    def add(self: object, item: str) -> None: ...
    def check(self: object, item: str) -> None: ...

    marked = workflow.update(name="put")(add)
    marked.validator(check)
    found = WorkflowDefinition.of(workflow.defn(_class(add=marked))).updates["put"]
    assert (found.attribute, found.validator) == ("add", check)


@pytest.mark.parametrize("how", ["count", "type", "async"])
def test_a_validator_is_plain_and_takes_what_its_update_takes(how: str) -> None:
    def add(self: object, item: str) -> None: ...
    def count(self: object) -> None: ...
    def type_(self: object, item: int) -> None: ...
    async def waits(self: object, item: str) -> None: ...

    marked: Any = workflow.update(add)
    words = "must be a plain def" if how == "async" else "must take the same parameters"

    def define() -> None:
        marked.validator({"count": count, "type": type_, "async": waits}[how])
        workflow.defn(_class(add=marked))

    with pytest.raises(ValueError, match=words):
        define()


def test_an_update_that_overrides_another_is_decorated_again() -> None:
    class Base:
        @workflow.update
        def add(self) -> None: ...

    with pytest.raises(ValueError, match=r"without @workflow\.update"):
        workflow.defn(type("C", (Base,), {"run": _class().run, "add": lambda self: None}))
