"""Finds an app module and reads what it offers: `task_queue`, `workflows`, `activities`.

Modules are looked up from the current folder first, then from `./workers`, then among what is
installed. Importing one runs its code: the name comes from the person at the command line, never
from a message.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from orchestrator.cli.exits import CommandError

_EXAMPLE = "expected e.g. orders.app, workers/orders/app.py or orders.app:attribute"


@dataclass(frozen=True)
class AppModule:
    """What an app offers to a worker."""

    task_queue: str
    workflows: Sequence[type]
    activities: Sequence[Callable[..., Any]]  # Any: user functions of any signature


def load_app(where: str, *, folder: Path) -> AppModule:
    """Import `where` as seen from `folder` and read its three names.

    Args:
        where: A dotted module, a path of a Python file, or either with `:attribute` behind it.
        folder: The current folder.

    Raises:
        CommandError: there is no such module, importing it fails, or a name is missing or of the
            wrong type.
    """
    name, _, attribute = where.partition(":")
    dotted = _dotted(name, folder)
    _prepare_path(dotted.partition(".")[0], folder)
    found: object = _import(dotted, folder)
    if attribute:
        found = _attribute(found, attribute, dotted)
    return _read(found, where)


def _dotted(name: str, folder: Path) -> str:
    """The dotted name of a module given by name or by path; a file elsewhere puts its root first
    on the path."""
    if not name.endswith(".py") and "/" not in name:
        if not all(part.isidentifier() for part in name.split(".")):
            raise CommandError(f"{name!r} is no module: {_EXAMPLE}")
        return name
    path = (folder / name).resolve()
    if path.is_dir():
        path = path / "__init__.py"
    elif path.suffix != ".py":
        path = path.with_suffix(".py")
    if not path.is_file():
        raise CommandError(f"there is no file {name}: {_EXAMPLE}")
    root = _root(path, folder.resolve())
    if root != folder.resolve():
        sys.path.insert(0, str(root))
    parts = path.relative_to(root).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    if not parts or not all(part.isidentifier() for part in parts):
        raise CommandError(f"{name} cannot be imported: its path holds a name that is no module's")
    return ".".join(parts)


def _root(path: Path, folder: Path) -> Path:
    """The folder from which a file is imported: the current one for what is below it, else the
    first that is no package."""
    if path.is_relative_to(folder):
        return folder
    root = path.parent
    while (root / "__init__.py").is_file():
        root = root.parent
    return root


def _prepare_path(package: str, folder: Path) -> None:
    here, below = folder, folder / "workers"
    if str(here) not in sys.path:
        sys.path.insert(0, str(here))
    if not _has(here, package) and _has(below, package) and str(below) not in sys.path:
        sys.path.insert(1, str(below))


def _has(folder: Path, package: str) -> bool:
    return (folder / package).is_dir() or (folder / f"{package}.py").is_file()


def _import(dotted: str, folder: Path) -> ModuleType:
    try:
        return importlib.import_module(dotted)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if dotted == missing or dotted.startswith(f"{missing}."):
            raise CommandError(
                f"there is no module {dotted!r} in {folder}, in {folder / 'workers'} or among "
                f"what is installed: {_EXAMPLE}"
            ) from None
        raise CommandError(_failure(dotted, error)) from error
    except (Exception, SystemExit) as error:  # the boundary of user code
        raise CommandError(_failure(dotted, error)) from error


def _failure(dotted: str, error: BaseException) -> str:
    """What went wrong while a module was imported, and in which of its lines."""
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen importlib")
        and frame.filename != __file__
        and "importlib" not in frame.filename
    ]
    line = f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
    return f"importing {dotted} failed{line}"


def _attribute(module: object, path: str, dotted: str) -> object:
    found = module
    for part in path.split("."):
        if not hasattr(found, part):
            raise CommandError(f"module {dotted} has no attribute {path!r}")
        found = getattr(found, part)
    return found


def _read(found: object, where: str) -> AppModule:
    task_queue = _value(found, where, "task_queue", 'task_queue: str = "orders"')
    if not isinstance(task_queue, str) or not task_queue:
        raise _mistyped(where, "task_queue", "a text that is not empty", task_queue)
    workflows = _list(found, where, "workflows", "workflows: list = [Order]")
    for one in workflows:
        if not isinstance(one, type):
            raise _mistyped(where, "workflows", "classes decorated with @workflow.defn", one)
    activities = _list(found, where, "activities", "activities: list = [pay]")
    for one in activities:
        if not callable(one):
            raise _mistyped(where, "activities", "functions decorated with @activity.defn", one)
    return AppModule(
        task_queue, cast("list[type]", workflows), cast("list[Callable[..., Any]]", activities)
    )  # Any: as in AppModule


def _list(found: object, where: str, name: str, example: str) -> list[object]:
    value = _value(found, where, name, example)
    if not isinstance(value, list | tuple):
        raise _mistyped(where, name, "a list", value)
    return list(cast("Sequence[object]", value))


def _value(found: object, where: str, name: str, example: str) -> object:
    try:
        return getattr(found, name)
    except AttributeError:
        raise CommandError(f"{where} has no {name!r}; add e.g.  {example}") from None


def _mistyped(where: str, name: str, expected: str, value: object) -> CommandError:
    return CommandError(
        f"{where}: {name!r}: expected {expected}, found {value!r} ({type(value).__name__})"
    )
