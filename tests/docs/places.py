"""Where a test runs, read from its text: on the memory adapters, on real servers, with a replay.

Nothing is imported or collected. A test's fixtures are followed to those that lead to servers; the
folders whose histories are replayed are those whose conftest takes the fixture that does it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).parents[2]
_ON_SERVERS = {"servers", "redis_url", "amqp_url"}
_ON_BOTH = "adapters"
_REPLAYS = "every_history_is_replayed"
_RUNS_SERVERS = ("e2e", "integration")
_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


def places(test: str) -> frozenset[str]:
    """Some of `memory`, `servers` and `replay`, for `path::name`."""
    path, _, name = test.partition("::")
    module = _tree(ROOT / path)
    function = _functions(module)[name]
    marks = _marks(function) | _module_marks(module)
    needs, both = _needs(ROOT / path, function)
    found = set[str]()
    if _ON_BOTH in needs or both:
        found |= {"memory"} if "memory_only" in marks else {"memory", "servers"}
    elif needs & _ON_SERVERS or "servers" in marks or Path(path).parts[1] in _RUNS_SERVERS:
        found.add("servers")
    else:
        found.add("memory")
    if _is_replayed(ROOT / path) and "not_replayed" not in marks:
        found.add("replay")
    return frozenset(found)


def _needs(path: Path, function: _Function) -> tuple[set[str], bool]:
    """The names of all fixtures below a test, and whether one of them has both places."""
    found, both, waiting = set[str](), False, _arguments(function)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        fixture = _fixture(path, name)
        if fixture is not None:
            waiting |= _arguments(fixture)
            decorators = " ".join(map(ast.unparse, fixture.decorator_list))
            both = both or ("'memory'" in decorators and "params" in decorators)
    return found, both


def _fixture(path: Path, name: str) -> _Function | None:
    """The fixture of this name that a test in `path` gets."""
    for file in (path, *_conftests(path)):
        found = _named(file, name)
        if found is not None:
            return found
    return None


def _named(path: Path, name: str) -> _Function | None:
    """The function that a module has under this name, also from another module of the tests."""
    module = _tree(path)
    if name in _functions(module):
        return _functions(module)[name]
    for node in module.body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tests."):
            given = {alias.asname or alias.name: alias.name for alias in node.names}
            source = ROOT / f"{node.module.replace('.', '/')}.py"
            if name in given and source.is_file():
                return _named(source, given[name])
    return None


def _is_replayed(path: Path) -> bool:
    """Whether histories are replayed after the tests in `path`; in tests/replay they always are."""
    here = ROOT / "tests/replay"
    return path.is_relative_to(here) or any(_named(file, _REPLAYS) for file in _conftests(path))


def _conftests(path: Path) -> Iterator[Path]:
    for folder in path.relative_to(ROOT).parents:
        file = ROOT / folder / "conftest.py"
        if file.is_file():
            yield file


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _functions(module: ast.Module) -> dict[str, _Function]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name: node for node in module.body if isinstance(node, functions)}


def _arguments(function: _Function) -> set[str]:
    return {argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)}


def _marks(node: ast.AST) -> set[str]:
    """The names behind `pytest.mark`."""
    return {
        inner.attr
        for decorator in getattr(node, "decorator_list", [node])
        for inner in ast.walk(decorator)
        if isinstance(inner, ast.Attribute) and ast.unparse(inner.value) == "pytest.mark"
    }


def _module_marks(module: ast.Module) -> set[str]:
    assigned = (node for node in module.body if isinstance(node, ast.Assign))
    return {
        mark
        for node in assigned
        if ast.unparse(node.targets[0]) == "pytestmark"
        for mark in _marks(node.value)
    }
