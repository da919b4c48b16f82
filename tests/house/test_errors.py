"""Errors cross process borders: each of ours comes back from pickle as it went."""

from __future__ import annotations

import importlib
import inspect
import pickle
from typing import Any

import pytest

from tests.house.source import modules


def _error_classes() -> list[type[Exception]]:
    found: dict[str, type[Exception]] = {}
    for module in modules():
        if "Error(" not in module.path.read_text(encoding="utf-8"):
            continue
        for value in vars(importlib.import_module(module.name)).values():
            ours = inspect.isclass(value) and value.__module__ == module.name
            if ours and issubclass(value, Exception):
                found[f"{value.__module__}.{value.__qualname__}"] = value
    return [found[name] for name in sorted(found)]


def _example(kind: type[Exception]) -> Exception:
    """An error with a value of about the right type for each parameter."""
    ours = [base for base in kind.__mro__ if base.__module__ != "builtins"]
    if not any("__init__" in vars(base) for base in ours):
        return kind("text")
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for parameter in inspect.signature(kind).parameters.values():
        annotation = str(parameter.annotation)
        value: Any = 7 if annotation == "int" else "text"
        if annotation not in {"int", "str", "object", "str | None"}:
            if parameter.default is not parameter.empty:
                continue
            if annotation == "RPCStatusCode":
                value = importlib.import_module("orchestrator.exceptions").RPCStatusCode.NOT_FOUND
        if parameter.kind is parameter.KEYWORD_ONLY:
            named[parameter.name] = value
        elif parameter.kind is not parameter.VAR_KEYWORD:
            positional.append(value)
    return kind(*positional, **named)


@pytest.mark.parametrize("kind", _error_classes(), ids=lambda kind: kind.__name__)
def test_an_error_survives_pickle(kind: type[Exception]) -> None:
    error = _example(kind)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert (str(copy), vars(copy)) == (str(error), vars(error))
