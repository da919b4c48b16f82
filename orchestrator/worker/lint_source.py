"""From a function object to its syntax tree, with the file's own line numbers.

Whole files are parsed, not the text of single functions: so lambdas and decorated functions are
found, and a comment that waves a line through is seen where it stands. What has no source (built
in, generated, typed in) has no tree and is passed over.
"""

from __future__ import annotations

import ast
import linecache
import re
from collections.abc import Sequence
from functools import lru_cache
from types import FunctionType
from typing import Any, TypeAlias

from orchestrator.limits import LINT_FILES_KEPT

FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

_ALLOWED = re.compile(r"#\s*orchestrator:\s*allow\b")


class SourceFile:
    """One file, parsed. It is never changed."""

    def __init__(self, path: str, text: str) -> None:
        """Raises SyntaxError: the text is not what was imported."""
        self.path = path
        self._tree = ast.parse(text)
        self._allowed = {n for n, line in enumerate(text.split("\n"), 1) if _ALLOWED.search(line)}
        self._functions: dict[tuple[int, str], list[FunctionNode]] = {}
        for node in ast.walk(self._tree):
            if isinstance(node, FunctionNode):
                name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
                self._functions.setdefault((_first_line(node), name), []).append(node)

    def is_allowed(self, node: ast.expr) -> bool:
        """Whether a comment on one of the lines of `node` waves it through."""
        last = node.end_lineno or node.lineno
        return any(line in self._allowed for line in range(node.lineno, last + 1))

    def nodes_of(self, function: FunctionType) -> Sequence[FunctionNode]:
        """The definition of `function`; several when one line holds more than one lambda."""
        code = function.__code__
        return self._functions.get((code.co_firstlineno, code.co_name), ())

    def field_of(self, class_name: str, field: str) -> ast.expr | None:
        """The value, or else the name, of a field in a class, which is given by `__qualname__`."""
        body: Sequence[ast.stmt] = self._tree.body
        for name in class_name.split("."):
            classes = [
                each for each in body if isinstance(each, ast.ClassDef) and each.name == name
            ]
            if not classes:
                return None
            body = classes[-1].body
        for each in body:
            match each:
                case ast.AnnAssign(target=ast.Name(id=name)) if name == field:
                    return each.value or each.target
                case _:
                    continue
        return None


class SourceFiles:
    """The files of one check, each read once."""

    def __init__(self) -> None:
        self._files: dict[str, SourceFile | None] = {}

    def of(self, function: FunctionType) -> SourceFile | None:
        """The file of `function`; None: it has none that can be read."""
        return self.at(function.__code__.co_filename, function.__globals__)

    def at(
        self,
        path: str,
        names: dict[str, Any] | None = None,  # Any: a module's names
    ) -> SourceFile | None:
        """The file at `path`; `names` of its module help to find one that is in an archive."""
        if path not in self._files:
            lines = linecache.getlines(path, names)
            try:
                self._files[path] = _parsed(path, "".join(lines)) if lines else None
            except (SyntaxError, ValueError):
                self._files[path] = None
        return self._files[path]


@lru_cache(maxsize=LINT_FILES_KEPT)
def _parsed(path: str, text: str) -> SourceFile:
    """Parsed once for all workflows of a module and all workers of a test: parsing is most of what
    a check costs."""
    return SourceFile(path, text)


def _first_line(node: FunctionNode) -> int:
    """The line that the compiler counts as the first: that of the first decorator."""
    decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
    return min([node.lineno, *(each.lineno for each in decorators)])
