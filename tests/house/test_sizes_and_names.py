"""Sizes, names, docstrings and literals: what a reader may rely on in every file."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.house.source import PACKAGE, ROOT, Module, modules

_FILE_LINES_MAX = 400
_LISTED_FILE_LINES_MAX = 600
_FUNCTION_LINES_MAX = 70
_LONG_FILES: dict[str, str] = {
    "orchestrator/client/handle.py": "each call of a run, in each of its typed forms",
    "orchestrator/ports/store.py": "one promise per operation of the store, most of it docstrings",
    "orchestrator/adapters/memory/broker.py": "the whole broker in one place, as its twin's rules",
    "orchestrator/adapters/memory/store.py": "every operation of the store, as its twin's scripts",
    "orchestrator/adapters/memory/store_runs.py": "each method makes the tests of one script",
    "orchestrator/worker/worker.py": "the face: one option a line, each explained",
    "orchestrator/worker/advance.py": "the life of a workflow task, from its delivery to its ends",
    "orchestrator/replay/run.py": "one run towards its loop, its code and its worker",
    "orchestrator/wire/events.py": "one Struct for each kind of event, as in Temporal's history",
    "orchestrator/testing/servers.py": "two servers, each by Docker and as a process",
}
_LONG_FUNCTIONS: dict[str, str] = {
    "orchestrator/worker/worker.py:__init__": "the face: one option a line, each explained",
    "orchestrator/worker/workflow_tasks.py:__init__": "joins the parts of a task, one a line",
}
_BANNED_MODULES = frozenset(
    {"utils", "util", "helpers", "helper", "misc", "base", "manager", "handler2", "data", "info"}
)
_NAME_MAKERS = frozenset(
    {"orchestrator/adapters/redis/keys.py", "orchestrator/adapters/rabbitmq/names.py"}
)
_NAME_LITERAL = re.compile(r"^orc[:.]")
_MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|root|Users|work)/\w")
_TEXT = {".py", ".lua", ".md", ".toml", ".yaml", ".yml", ".json", ".sh"}


@pytest.mark.parametrize("module", modules(), ids=str)
def test_a_file_is_short_or_listed_with_a_reason(module: Module) -> None:
    limit = _LISTED_FILE_LINES_MAX if str(module) in _LONG_FILES else _FILE_LINES_MAX
    assert len(module.path.read_text(encoding="utf-8").splitlines()) <= limit


@pytest.mark.parametrize("module", modules(), ids=str)
def test_a_function_is_short_or_listed_with_a_reason(module: Module) -> None:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            listed = f"{module}:{node.name}" in _LONG_FUNCTIONS
            assert lines <= _FUNCTION_LINES_MAX or listed, f"{module}:{node.name} has {lines} lines"


@pytest.mark.parametrize("module", modules(), ids=str)
def test_a_module_is_named_after_what_it_holds(module: Module) -> None:
    if module.name != "orchestrator.wire.base":
        assert module.path.stem not in _BANNED_MODULES


@pytest.mark.parametrize("module", modules(), ids=str)
def test_a_module_opens_with_why_it_exists(module: Module) -> None:
    assert ast.get_docstring(module.tree), f"{module} has no docstring"


@pytest.mark.parametrize("module", modules(), ids=str)
def test_keys_and_queue_names_are_written_in_their_two_files_only(module: Module) -> None:
    if str(module) in _NAME_MAKERS:
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert not _NAME_LITERAL.match(node.value), f"{module}:{node.lineno} {node.value!r}"


def _text_files() -> list[Path]:
    folders = ("orchestrator", "workers", "schemas", "compose", "docs", "tests")
    found = [path for name in folders for path in (ROOT / name).rglob("*") if path.is_file()]
    return [path for path in found if path.suffix in _TEXT and path != Path(__file__)]


def test_no_file_names_a_path_of_one_machine() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in _text_files()
        if (match := _MACHINE_PATH.search(path.read_text(encoding="utf-8")))
    ]
    assert not wrong


@pytest.mark.parametrize("script", sorted(PACKAGE.rglob("*.lua")), ids=lambda path: path.name)
def test_a_lua_script_says_what_it_takes_and_has_a_wrapper_of_its_name(script: Path) -> None:
    lines = script.read_text(encoding="utf-8").splitlines()
    assert lines[0].split(" flags=")[0] == "#!lua"
    header: list[str] = []
    for line in lines[1:]:
        if not line.startswith("--"):
            break
        header.append(line)
    text = "\n".join(header)
    assert "KEYS" in text, "the header names no KEYS"
    assert "ARGV" in text, "the header names no ARGV"
    assert "Returns" in text, "the header does not say what it returns"
    wrappers = ast.parse((PACKAGE / "adapters/redis/scripts.py").read_text(encoding="utf-8"))
    names = {
        node.name
        for node in ast.walk(wrappers)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert script.stem in names, f"scripts.py has no function {script.stem}"
