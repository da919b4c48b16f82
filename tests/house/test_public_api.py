"""The names that programs import. A change of the list is a change of the public interface: it
belongs into `docs/changes/`, and `UPDATE_API=1 pytest tests/house/test_public_api.py` writes it."""

from __future__ import annotations

import importlib
import inspect
import os
from pathlib import Path

_FACES = (
    "orchestrator.activity",
    "orchestrator.client",
    "orchestrator.common",
    "orchestrator.contrib.claim_check",
    "orchestrator.contrib.compression",
    "orchestrator.contrib.encryption",
    "orchestrator.contrib.opentelemetry",
    "orchestrator.contrib.pydantic",
    "orchestrator.converter",
    "orchestrator.envconfig",
    "orchestrator.exceptions",
    "orchestrator.plugin",
    "orchestrator.service",
    "orchestrator.testing",
    "orchestrator.worker",
    "orchestrator.workflow",
)
_SNAPSHOT = Path(__file__).with_name("public_api.txt")


def _names(face: str) -> list[str]:
    module = importlib.import_module(face)
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return sorted(listed)
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == face
    )


def test_the_public_names_are_those_of_the_list() -> None:
    found = "".join(f"{face}.{name}\n" for face in _FACES for name in _names(face))
    if os.environ.get("UPDATE_API"):
        _SNAPSHOT.write_text(found, encoding="utf-8")
    assert found == _SNAPSHOT.read_text(encoding="utf-8")


def test_every_name_of_a_face_is_there() -> None:
    for face in _FACES:
        module = importlib.import_module(face)
        missing = [name for name in _names(face) if not hasattr(module, name)]
        assert not missing, f"{face} lists {missing}, which it does not have"
