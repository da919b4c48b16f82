"""One function of workflow code, walked: what it must not do, and which of its own package's code
it names. `guards_lint` follows those names."""

from __future__ import annotations

import ast
import asyncio
import inspect
from collections.abc import Callable, Iterable
from types import FunctionType

from orchestrator import workflow
from orchestrator.worker.guards_audit import THREADS
from orchestrator.worker.lint_scope import InstanceOf, Known, Meaning, Names
from orchestrator.worker.lint_source import FunctionNode
from orchestrator.worker.lint_targets import SETS, Target, Targets

_KEEP_ORDER = (
    *(list, tuple, iter, enumerate, zip, map, filter, next, reversed),
    *(asyncio.wait, asyncio.as_completed),
)
"""What has a result or effect that follows the order of what it is given."""
_FORGET_ORDER = frozenset(
    id(each) for each in (sorted, set, frozenset, sum, min, max, any, all, len)
)
_UNRESTRICTED = inspect.getattr_static(workflow.unsafe, "sandbox_unrestricted").__func__
_EMPTY = Target("iteration over a set", SETS)

Report = Callable[[ast.expr, Target], None]
"""Something refused was found at an expression."""
Follow = Callable[[object, bool], None]
"""The code names an object; whether it calls it."""


class SelfSets:
    """Attributes of `self` in the methods of one class: what is assigned, what is iterated over."""

    def __init__(self) -> None:
        self._sets: dict[str, bool] = {}
        self._iterated: list[tuple[str, ast.expr, Report]] = []

    def assigned(self, name: str, *, is_set: bool) -> None:
        """`self.<name>` was given a value."""
        self._sets[name] = self._sets.get(name, True) and is_set

    def iterated(self, name: str, node: ast.expr, report: Report) -> None:
        """Somebody iterates over `self.<name>` at `node`."""
        self._iterated.append((name, node, report))

    def settle(self) -> None:
        """All methods were walked: report iterations over attributes that only ever hold sets."""
        for name, node, report in self._iterated:
            if self._sets.get(name, False):
                report(node, _EMPTY)


class CodeWalk(ast.NodeVisitor):
    """Walks the body of one function, nested functions included."""

    def __init__(
        self,
        function: FunctionType,
        *,
        targets: Targets,
        report: Report,
        follow: Follow,
        self_sets: SelfSets | None,
    ) -> None:
        self._names = Names(function)
        self._targets = targets
        self._report = report
        self._follow = follow
        self._self_sets = self_sets
        self._self = ""
        self._free_of_order: set[int] = set()

    def walk(self, node: FunctionNode) -> None:
        """Walk the body; decorators, defaults and annotations ran when the module was imported."""
        arguments = [*node.args.posonlyargs, *node.args.args]
        if self._self_sets is not None and arguments:
            self._self = arguments[0].arg
        self._body(node)

    # Statements -----------------------------------------------------------------------------------

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._nested(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._nested(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._nested(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._all([*node.decorator_list, *node.bases])
        self._names.enter(node)
        self._all(node.body)
        self._names.leave()

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
        is_set = self._names.is_set_annotation(node.annotation)
        self._note_self(node.target, is_set=is_set)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        is_set = self._names.is_set(node.value)
        for target in node.targets:
            self._note_self(target, is_set=is_set)

    def visit_For(self, node: ast.For) -> None:
        self._iterates(node.iter)
        self.generic_visit(node)

    def visit_With(self, node: ast.With) -> None:
        self._with(node)

    def visit_AsyncWith(self, node: ast.AsyncWith) -> None:
        self._with(node)

    # Expressions ----------------------------------------------------------------------------------

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._chain(node, arguments=None)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._chain(node, arguments=None)

    def visit_Call(self, node: ast.Call) -> None:
        function = node.func
        meaning = self._names.meaning(function)
        if isinstance(meaning, Known):
            self._takes_set(node, meaning.value)
        if isinstance(function, ast.Attribute):
            self._takes_text(node, function)
        if not isinstance(function, ast.Name | ast.Attribute):
            self.visit(function)
        elif not self._is_of_refused(function):
            self._chain(function, arguments=len(node.args) + len(node.keywords))
        self._all([*node.args, *(keyword.value for keyword in node.keywords)])

    def visit_Starred(self, node: ast.Starred) -> None:
        if isinstance(node.ctx, ast.Load):
            self._iterates(node.value)
        self.generic_visit(node)

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._comprehension(node, node.generators, [node.elt])

    def visit_SetComp(self, node: ast.SetComp) -> None:
        self._free_of_order.add(id(node))
        self._comprehension(node, node.generators, [node.elt])

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self._comprehension(node, node.generators, [node.elt])

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._comprehension(node, node.generators, [node.key, node.value])

    # Inside ---------------------------------------------------------------------------------------

    def _body(self, node: FunctionNode) -> None:
        self._names.enter(node)
        self._all([node.body] if isinstance(node, ast.Lambda) else node.body)
        self._names.leave()

    def _nested(self, node: FunctionNode) -> None:
        self._all(node.args.defaults)
        self._all(each for each in node.args.kw_defaults if each is not None)
        if not isinstance(node, ast.Lambda):
            self._all(node.decorator_list)
        self._body(node)

    def _all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    def _with(self, node: ast.With | ast.AsyncWith) -> None:
        """Code that has lifted the restrictions answers for itself."""
        for item in node.items:
            call = item.context_expr
            if isinstance(call, ast.Call) and self._is_lifting(self._names.meaning(call.func)):
                return
        self.generic_visit(node)

    @staticmethod
    def _is_lifting(meaning: Meaning) -> bool:
        if not isinstance(meaning, Known):
            return False
        found: object = meaning.value
        return getattr(found, "__func__", found) is _UNRESTRICTED

    def _chain(self, node: ast.Name | ast.Attribute, *, arguments: int | None) -> None:
        """A dotted name, called or not: refuse it or the part that must not be named, else follow
        it."""
        base = _base(node)
        if not isinstance(base, ast.Name):
            self.visit(base)
        found = self._refused(node, arguments)
        if found is not None:
            self._report(*found)
            return
        meaning = self._names.meaning(node)
        if isinstance(meaning, Known):
            self._follow(meaning.value, arguments is not None)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
            self._chain(node.value, arguments=None)

    def _is_of_refused(self, function: ast.Name | ast.Attribute) -> bool:
        """Whether it is a method of what a refused call makes: that call is the finding."""
        base = _base(function)
        if not isinstance(base, ast.Call) or not isinstance(base.func, ast.Name | ast.Attribute):
            return False
        count = len(base.args) + len(base.keywords)
        if self._refused(base.func, count) is None:
            return False
        self.visit(base)
        return True

    def _refused(
        self, node: ast.Name | ast.Attribute, arguments: int | None
    ) -> tuple[ast.expr, Target] | None:
        """The part of a dotted name that must not be mentioned, or not be called, and why."""
        part: ast.expr = node
        while isinstance(part, ast.Name | ast.Attribute):
            found = self._must_not_be_named(part)
            if found is not None:
                return part, found
            part = part.value if isinstance(part, ast.Attribute) else ast.Constant(None)
        meaning = self._names.meaning(node)
        if arguments is None or not isinstance(meaning, Known):
            return None
        found = self._targets.called(meaning.value, arguments=arguments)
        return None if found is None else (node, found)

    def _must_not_be_named(self, node: ast.Name | ast.Attribute) -> Target | None:
        if isinstance(node, ast.Name) and self._names.is_alias(node.id):
            return None
        if isinstance(node, ast.Attribute):
            if node.attr == "run_in_executor":  # Of a loop, which is no object before it runs.
                return Target("loop.run_in_executor", THREADS)
            owner = self._names.meaning(node.value)
            if isinstance(owner, Known):
                owner = InstanceOf(_class_of(owner.value))
            found = None if owner is None else self._targets.attribute(owner.cls, node.attr)
            if found is not None:
                return found
        meaning = self._names.meaning(node)
        return self._targets.named(meaning.value) if isinstance(meaning, Known) else None

    # Sets -----------------------------------------------------------------------------------------

    def _iterates(self, node: ast.expr) -> None:
        if self._names.is_set(node):
            self._report(node, _EMPTY)
        elif self._self_sets is not None and (name := self._self_attribute(node)):
            self._self_sets.iterated(name, node, self._report)

    def _comprehension(
        self, node: ast.expr, generators: list[ast.comprehension], results: list[ast.expr]
    ) -> None:
        if id(node) not in self._free_of_order:
            self._iterates(generators[0].iter)
        for each in generators[1:]:
            self._iterates(each.iter)
        self.visit(generators[0].iter)
        self._names.enter(generators)
        self._all(each.iter for each in generators[1:])
        self._all(condition for each in generators for condition in each.ifs)
        self._all(results)
        self._names.leave()

    def _takes_set(self, node: ast.Call, function: object) -> None:
        if id(function) in _FORGET_ORDER:
            self._free_of_order.update(id(each) for each in node.args[:1])
        elif any(function is each for each in _KEEP_ORDER):
            for argument in node.args:
                self._iterates(argument)

    def _takes_text(self, node: ast.Call, function: ast.Attribute) -> None:
        text = function.value
        if function.attr == "join" and isinstance(text, ast.Constant | ast.JoinedStr):
            for argument in node.args:
                self._iterates(argument)

    def _self_attribute(self, node: ast.expr) -> str:
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name == self._self:
                return attribute
            case _:
                return ""

    def _note_self(self, target: ast.expr, *, is_set: bool) -> None:
        name = self._self_attribute(target)
        if self._self_sets is not None and name:
            self._self_sets.assigned(name, is_set=is_set)


def _base(node: ast.Name | ast.Attribute) -> ast.expr:
    """What the dots begin with."""
    base: ast.expr = node
    while isinstance(base, ast.Attribute):
        base = base.value
    return base


def _class_of(value: object) -> type:
    return value if isinstance(value, type) else type(value)
