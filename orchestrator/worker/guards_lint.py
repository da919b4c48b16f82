"""The first net around workflow code: it is read when it is registered.

The class, and every function and class of its own package that this code names, is walked by object
identity: clocks, random numbers, waits, files, sockets, processes, threads and the order of sets
are refused, each with its line and what to use instead. A comment `# orchestrator: allow` (with a
reason behind it, if you like) on the line waves it through, and so does a block of
`workflow.unsafe.sandbox_unrestricted()`.

Not followed: activities, other workflows, the standard library, installed packages, and code that
has no source. Reading the environment counts as reading the world: workers differ in it.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import FunctionType, MethodType

import msgspec

from orchestrator.exceptions import OrchestratorError
from orchestrator.limits import LINT_OBJECTS_MAX
from orchestrator.worker.lint_code import CodeWalk, SelfSets
from orchestrator.worker.lint_source import SourceFile, SourceFiles
from orchestrator.worker.lint_targets import Target, Targets

_MARK = "__orchestrator_"
"""What our decorators set on functions and classes begins so."""
_ACTIVITY_MARK = f"{_MARK}activity__"
_INSTALLED = ("site-packages", "dist-packages")


@dataclass(frozen=True, order=True)
class Finding:
    """Something that workflow code must not do. `where` is the function it stands in."""

    path: str
    line: int
    where: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.where}: {self.what}: {self.remedy}"


class WorkflowCodeError(OrchestratorError, ValueError):
    """Workflow code does what it cannot do twice alike; all findings are listed."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__(findings)
        self.findings = findings

    def __str__(self) -> str:
        lines = "\n".join(f"  {each}" for each in self.findings)
        return (
            "workflow code must do the same again on replay. Change these lines, or wave one "
            f"through with the comment `# orchestrator: allow` on it:\n{lines}"
        )


def check_workflow(cls: type) -> list[Finding]:
    """What the code of a workflow class must not do, by file and line. Runs none of it."""
    return _Check(cls).findings()


def refuse(findings: Iterable[Finding]) -> None:
    """Do nothing when there are none.

    Raises:
        WorkflowCodeError: there are some; each once, in order.
    """
    found = sorted(set(findings))
    if found:
        raise WorkflowCodeError(tuple(found))


class _Check:
    """The check of one class: a queue of functions and classes, each looked at once."""

    def __init__(self, root: type) -> None:
        self._root = root
        self._targets = Targets()
        self._files = SourceFiles()
        self._found: set[Finding] = set()
        self._functions: deque[tuple[FunctionType, SelfSets | None]] = deque()
        self._classes: list[SelfSets] = []
        self._seen: dict[int, object] = {}  # By id, and kept: an id means a living object.
        self._is_own = functools.cache(_Own(root.__module__).holds)

    def findings(self) -> list[Finding]:
        """Look at everything that can be reached; in order of file and line."""
        self._take_class(self._root)
        while self._functions:
            self._walk(*self._functions.popleft())
        for each in self._classes:
            each.settle()
        return sorted(self._found)

    def _walk(self, function: FunctionType, self_sets: SelfSets | None) -> None:
        file = self._files.of(function)
        if file is None:
            return

        def report(node: ast.expr, target: Target) -> None:
            self._report(file, node, target, where=function.__qualname__)

        for node in file.nodes_of(function):
            walk = CodeWalk(
                function,
                targets=self._targets,
                report=report,
                follow=self._follow,
                self_sets=self_sets,
            )
            walk.walk(node)

    def _report(self, file: SourceFile, node: ast.expr, target: Target, *, where: str) -> None:
        if not file.is_allowed(node):
            self._found.add(Finding(file.path, node.lineno, where, target.what, target.remedy))

    # What to look at ------------------------------------------------------------------------------

    def _follow(self, value: object, called: bool) -> None:
        """The code names `value`."""
        if isinstance(value, type):
            if called and self._is_own(value.__module__):
                self._take_factories(value)
            if not _is_declared(value):
                self._take_class(value)
            return
        for function in _functions_of(value):
            if not _is_declared(function):
                self._take(function, None)

    def _take_class(self, cls: type) -> None:
        """Look at the methods of a class and of its bases, as far as they are own code."""
        own = [base for base in cls.__mro__ if self._is_own(base.__module__)]
        if not own or not self._is_new(cls):
            return
        self_sets = SelfSets()
        self._classes.append(self_sets)
        for base in own:
            for name, value in vars(base).items():
                if type(value) in (set, frozenset):
                    self_sets.assigned(name, is_set=True)
                for function in _functions_of(value):
                    if _ACTIVITY_MARK not in vars(function):
                        self._take(function, self_sets)

    def _take_factories(self, cls: type) -> None:
        """Default factories of a class that workflow code makes objects of."""
        for name, factory in _factories(cls):
            target = self._targets.named(factory)
            if target is None:
                self._follow(factory, called=True)
            else:
                self._report_field(cls, name, target)

    def _report_field(self, cls: type, name: str, target: Target) -> None:
        path = getattr(sys.modules.get(cls.__module__), "__file__", None)
        file = None if path is None else self._files.at(path)
        node = None if file is None else file.field_of(cls.__qualname__, name)
        if file is not None and node is not None:
            self._report(file, node, target, where=cls.__qualname__)

    def _take(self, function: FunctionType, self_sets: SelfSets | None) -> None:
        wrapped = getattr(function, "__wrapped__", None)
        for each in (function, *_functions_of(wrapped)):
            if self._is_own(each.__globals__.get("__name__")) and self._is_new(each.__code__):
                self._functions.append((each, self_sets))

    def _is_new(self, value: object) -> bool:
        """Whether it was not taken before, and there is room for it."""
        if id(value) in self._seen or len(self._seen) >= LINT_OBJECTS_MAX:
            return False
        self._seen[id(value)] = value
        return True


class _Own:
    """Which modules are the user's own: the package of the workflow; or, for a module in no
    package, what lies beside it."""

    def __init__(self, module: str) -> None:
        main = sys.modules.get(module)
        package = getattr(main, "__package__", None) or module
        self._module = module
        self._top = "" if module == "__main__" and package == module else package.partition(".")[0]
        self._folder = _folder(module) if "." not in package else None

    def holds(self, module: str | None) -> bool:
        """Whether `module` is own code."""
        if module is None:
            return False
        top = module.partition(".")[0]
        if module == self._module:
            return True
        if top == "orchestrator" or top in sys.stdlib_module_names:
            return False
        if top == self._top:
            return True
        folder = None if self._folder is None else _folder(module)
        if folder is None or any(each in folder for each in _INSTALLED):
            return False
        return os.path.commonpath([folder, self._folder or ""]) == self._folder


def _folder(module: str) -> str | None:
    path = getattr(sys.modules.get(module), "__file__", None)
    return None if path is None else os.path.dirname(os.path.abspath(path))


def _is_declared(value: type | FunctionType) -> bool:
    """Whether it is an activity or (a handler of) a workflow: checked by itself, or free to act."""
    if any(name.startswith(_MARK) for name in vars(value)):
        return True
    if not isinstance(value, type):
        return False
    members = [function for each in vars(value).values() for function in _functions_of(each)]
    return any(_ACTIVITY_MARK in vars(function) for function in members)


def _functions_of(value: object) -> Iterator[FunctionType]:
    """The plain functions behind a function, method, property or partial."""
    if isinstance(value, FunctionType):
        yield value
        return
    for name in _HOLDERS:
        held = getattr(value, name, None) if type(value) in _WRAPPERS else None
        if held is not None:
            yield from _functions_of(held)


_HOLDERS = ("__func__", "fget", "fset", "fdel", "func", "__wrapped__")
_WRAPPERS = frozenset(
    {
        MethodType,
        staticmethod,
        classmethod,
        property,
        functools.partial,
        functools.partialmethod,
        functools.cached_property,
        type(functools.lru_cache(len)),
    }
)


def _factories(cls: type) -> Iterator[tuple[str, object]]:
    """Fields of a dataclass or msgspec Struct whose default is made by a call."""
    if dataclasses.is_dataclass(cls):
        for each in dataclasses.fields(cls):
            if each.default_factory is not dataclasses.MISSING:
                yield each.name, each.default_factory
    elif issubclass(cls, msgspec.Struct):
        for one in msgspec.structs.fields(cls):
            if one.default_factory is not msgspec.NODEFAULT:
                yield one.name, one.default_factory
