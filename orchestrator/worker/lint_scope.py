"""What a name in a function means: the object it stands for, or that it holds a set.

Names are looked up as Python does: in the function's own scopes, its closure, its globals, the
builtins. Nothing is called and no attribute with code behind it is read. A local name is known when
all that is ever bound to it is: an import, an alias, a set.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any, NamedTuple, TypeAlias

from orchestrator.worker.lint_source import FunctionNode
from orchestrator.worker.lint_targets import MODULES

_ALIASES_MAX = 20
"""Names that stand for names: further ones are taken for unknown."""
_SET_METHODS = frozenset({"union", "intersection", "difference", "symmetric_difference", "copy"})
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Known(NamedTuple):
    """A name or attribute stands for this object."""

    value: Any  # Any: whatever user code names


class InstanceOf(NamedTuple):
    """An expression makes an object of this class."""

    cls: type


Meaning: TypeAlias = Known | InstanceOf | None


@dataclass(slots=True)
class Binding:
    """All that a scope binds to one name. `opaque`: something else as well."""

    objects: list[Known] = field(default_factory=list[Known])
    expressions: list[ast.expr] = field(default_factory=list[ast.expr])
    annotations: list[ast.expr] = field(default_factory=list[ast.expr])
    opaque: bool = False


class Names:
    """The names of one function and of what is nested in it."""

    def __init__(self, function: FunctionType) -> None:
        self._globals: Mapping[str, Any] = function.__globals__  # Any: a module's names
        self._closure = _closure(function)
        self._scopes: list[dict[str, Binding]] = []

    def enter(self, node: FunctionNode | ast.ClassDef | list[ast.comprehension]) -> None:
        """Begin a scope; `leave` ends it."""
        self._scopes.append(_Collector(self._globals).collect(node))

    def leave(self) -> None:
        """End the innermost scope."""
        self._scopes.pop()

    def meaning(self, node: ast.expr, depth: int = 0) -> Meaning:
        """What `node` stands for, as far as can be told."""
        if depth > _ALIASES_MAX:
            return None
        match node:
            case ast.Name(id=name):
                return self._name(name, depth)
            case ast.Attribute(value=owner, attr=name):
                found = self.meaning(owner, depth + 1)
                return None if found is None else attribute_of(found, name)
            case ast.Call(func=function):
                made = self.meaning(function, depth + 1)
                if isinstance(made, Known) and isinstance(made.value, type):
                    return InstanceOf(made.value)
                return None
            case _:
                return None

    def is_alias(self, name: str) -> bool:
        """Whether a local name was given another expression's value, which was looked at there."""
        binding = self._binding(name)
        return binding is not None and bool(binding.expressions)

    def is_set(self, node: ast.expr, depth: int = 0) -> bool:
        """Whether the value of `node` is known to be a set."""
        if depth > _ALIASES_MAX:
            return False
        match node:
            case ast.Set() | ast.SetComp():
                return True
            case ast.BinOp(op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor()):
                sides = (node.left, node.right)
                return any(self.is_set(side, depth + 1) or _is_keys(side) for side in sides)
            case ast.Call(func=ast.Attribute(value=owner, attr=name)) if name in _SET_METHODS:
                return self.is_set(owner, depth + 1)
            case ast.IfExp(body=first, orelse=second):
                return self.is_set(first, depth + 1) or self.is_set(second, depth + 1)
            case ast.Name(id=name) if (binding := self._binding(name)) is not None:
                return self._binds_sets(binding, depth)
            case _:
                return _is_set(self.meaning(node))

    def is_set_annotation(self, node: ast.expr) -> bool:
        """Whether an annotation says `set[...]`, `frozenset[...]` or one of their like."""
        plain = node.value if isinstance(node, ast.Subscript) else node
        found = self.meaning(plain)
        if not isinstance(found, Known):
            return False
        origin = getattr(found.value, "__origin__", found.value)
        return origin in (set, frozenset)

    def _binds_sets(self, binding: Binding, depth: int) -> bool:
        if binding.annotations:
            return all(self.is_set_annotation(each) for each in binding.annotations)
        if binding.opaque or binding.objects or not binding.expressions:
            return False
        return all(self.is_set(each, depth + 1) for each in binding.expressions)

    def _binding(self, name: str) -> Binding | None:
        for scope in reversed(self._scopes):
            if name in scope:
                return scope[name]
        return None

    def _name(self, name: str, depth: int) -> Meaning:
        binding = self._binding(name)
        if binding is not None:
            if binding.opaque:
                return None
            if len(binding.objects) == 1 and not binding.expressions:
                return binding.objects[0]
            if len(binding.expressions) == 1 and not binding.objects:
                return self.meaning(binding.expressions[0], depth + 1)
            return None
        for names in (self._closure, self._globals, vars(builtins)):
            if name in names:
                return Known(names[name])
        return None


def attribute_of(owner: Known | InstanceOf, name: str) -> Meaning:
    """The attribute as it is stored: no property, `__getattr__` or descriptor is run."""
    if isinstance(owner, Known) and isinstance(owner.value, ModuleType):
        module = owner.value
        found = vars(module).get(name, _ABSENT)
        if found is _ABSENT:
            found = sys.modules.get(f"{module.__name__}.{name}", _ABSENT)
        return None if found is _ABSENT else Known(found)
    holder: object = owner.cls if isinstance(owner, InstanceOf) else owner.value
    found = inspect.getattr_static(holder, name, _ABSENT)
    return None if found is _ABSENT else Known(found)


_ABSENT = object()


def _is_set(meaning: Meaning) -> bool:
    if isinstance(meaning, InstanceOf):
        return issubclass(meaning.cls, (set, frozenset))
    return isinstance(meaning, Known) and isinstance(meaning.value, (set, frozenset))


def _is_keys(node: ast.expr) -> bool:
    """Whether it is `d.keys()` or `d.items()`: operators make sets of these."""
    match node:
        case ast.Call(func=ast.Attribute(attr="keys" | "items"), args=[], keywords=[]):
            return True
        case _:
            return False


def _closure(function: FunctionType) -> Mapping[str, Any]:  # Any: a function's variables
    found: dict[str, Any] = {}  # Any: as above
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not bound yet
            continue
    return found


class _Collector:
    """Collects what one scope binds, without the scopes inside of it."""

    def __init__(self, names: Mapping[str, Any]) -> None:  # Any: a module's names
        self._globals = names
        self._found: dict[str, Binding] = {}
        self._outer: set[str] = set()

    def collect(
        self, node: FunctionNode | ast.ClassDef | list[ast.comprehension]
    ) -> dict[str, Binding]:
        """The bindings of a function's, class's or comprehension's scope."""
        if isinstance(node, list):
            for each in node:
                self._opaque(each.target)
            return self._found
        if not isinstance(node, ast.ClassDef):
            self._arguments(node.args)
        body = [node.body] if isinstance(node, ast.Lambda) else node.body
        for child in body:
            self._take(child)
        return {name: each for name, each in self._found.items() if name not in self._outer}

    def _arguments(self, arguments: ast.arguments) -> None:
        plain = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        for each in plain:
            binding = self._binding(each.arg)
            binding.opaque = True
            if each.annotation is not None:
                binding.annotations.append(each.annotation)
        for rest in (arguments.vararg, arguments.kwarg):
            if rest is not None:
                self._binding(rest.arg).opaque = True

    def _take(self, node: ast.AST) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._assign(target, value)
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                self._binding(name).annotations.append(annotation)
                if value is not None:
                    self._binding(name).expressions.append(value)
            case ast.NamedExpr(target=target, value=value):
                self._assign(target, value)
            case ast.AugAssign(op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor()):
                pass  # It keeps the kind of a set.
            case ast.AugAssign(target=target) | ast.For(target=target):
                self._opaque(target)
            case ast.AsyncFor(target=target):
                self._opaque(target)
            case ast.withitem(optional_vars=target) if target is not None:
                self._opaque(target)
            case ast.Import() | ast.ImportFrom():
                self._imports(node)
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                self._outer.update(names)
            case ast.ExceptHandler(name=name) | ast.MatchStar(name=name) if name:
                self._binding(name).opaque = True
            case ast.MatchAs(name=name) | ast.MatchMapping(rest=name) if name:
                self._binding(name).opaque = True
            case ast.Delete(targets=targets):
                for target in targets:
                    self._opaque(target)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                self._binding(node.name).opaque = True
            case _:
                pass
        if not isinstance(node, _SCOPES):
            for child in ast.iter_child_nodes(node):
                self._take(child)

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self._binding(target.id).expressions.append(value)
        else:
            self._opaque(target)

    def _opaque(self, target: ast.expr) -> None:
        for node in ast.walk(target):
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                self._binding(node.id).opaque = True

    def _imports(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias, found in _imported(node, self._globals):
            if found is None:
                self._binding(alias).opaque = True
            elif found not in self._binding(alias).objects:
                self._binding(alias).objects.append(found)

    def _binding(self, name: str) -> Binding:
        return self._found.setdefault(name, Binding())


def _imported(
    node: ast.Import | ast.ImportFrom,
    names: Mapping[str, Any],  # Any: a module's names
) -> Iterator[tuple[str, Known | None]]:
    """The names that an import inside of a function binds. Imports nothing of the user's."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            full = alias.name if alias.asname else alias.name.partition(".")[0]
            module = _module(full)
            yield alias.asname or full, None if module is None else Known(module)
        return
    base = "." * node.level + (node.module or "")
    try:
        origin = _module(importlib.util.resolve_name(base, names.get("__package__") or ""))
    except ImportError:
        origin = None
    for alias in node.names:
        found = None if origin is None else attribute_of(Known(origin), alias.name)
        yield alias.asname or alias.name, found if isinstance(found, Known) else None


def _module(name: str) -> ModuleType | None:
    """A module that is loaded, or one of the standard ones that are in the table."""
    if name not in sys.modules and name.partition(".")[0] in MODULES:
        try:
            return importlib.import_module(name)
        except ImportError:
            return None
    return sys.modules.get(name)
