"""A script's header is its signature: what it takes, answers and promises is what the code does."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from orchestrator.adapters.redis.keys import Keys
from orchestrator.adapters.redis.scripts import Answer, Script
from orchestrator.ids import Namespace, RunId, WorkflowId
from tests.house.source import PACKAGE

LUA = PACKAGE / "adapters/redis/lua"
SCRIPTS = sorted(LUA.glob("*.lua"))
PARTS = sorted(LUA.glob("*.inc"))
_WRITES = re.compile(
    r"redis\.call\('(?:SET|DEL|HSET|HDEL|HINCRBY|XADD|XTRIM|ZADD|ZREM|ZREMRANGEBY\w+)'"
)
by_name = pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)


def code_of(path: Path) -> str:
    """The code without comments."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("--"))


def split(code: str) -> tuple[dict[str, str], str]:
    """Top-level functions by name, and the code outside of them."""
    functions: dict[str, list[str]] = {}
    outside: list[str] = []
    current: str | None = None
    for line in code.splitlines():
        begin = re.match(r"local function (\w+)\(", line)
        if begin:
            current = begin[1]
            functions[current] = []
        (outside if current is None else functions[current]).append(line)
        if current and (line == "end" or (begin and line.endswith(" end"))):
            current = None
    return {name: "\n".join(lines) for name, lines in functions.items()}, "\n".join(outside)


def fields_read(script: Path) -> set[str]:
    """The fields of `a` that a script reads, by itself and in the steps that it calls."""
    shared: dict[str, str] = {}
    for part in PARTS:
        shared |= split(code_of(part))[0]
    own, outside = split(code_of(script))
    functions, seen = {**shared, **own}, set[str]()

    def read(code: str) -> set[str]:
        found = set(re.findall(r"\ba\.(\w+)", code))
        for name in re.findall(r"\b(\w+)(?=[({])", code):
            if name in functions and name not in seen:
                seen.add(name)
                found |= read(functions[name])
        return found

    return read(outside)


@by_name
def test_the_header_names_exactly_the_fields_that_the_script_reads(script: Path) -> None:
    loaded = Script(LUA, script.stem)
    assert {*loaded.required, *loaded.optional} == fields_read(script)
    assert len([*loaded.required, *loaded.optional]) == len(fields_read(script)), "named twice"


@by_name
def test_the_header_names_exactly_the_answers_that_the_script_gives(script: Path) -> None:
    header = re.search(r"^-- Returns: (.*)$", script.read_text(encoding="utf-8"), re.MULTILINE)
    assert header is not None
    named = {part.split()[0] for part in re.sub(r"\(.*?\)", "", header[1]).split("|")}
    steps = split(code_of(LUA / "steps.inc"))[0]
    code = code_of(script) + (steps["not_open"] if "not_open(head)" in code_of(script) else "")
    assert named == set(re.findall(r"kind = '(\w+)'", code))


@by_name
def test_a_script_answers_what_its_wrapper_decodes(script: Path) -> None:
    code = "\n".join(code_of(path) for path in (script, *PARTS))
    answers = re.findall(r"(?:answer|packed|pack)\{(kind = .*?)\}", code, re.DOTALL)
    names = {name for answer in answers for name in re.findall(r"(\w+) = ", answer)}
    assert names <= {*Answer.__struct_fields__}


@by_name
def test_the_header_names_the_keys_in_the_order_in_which_they_are_given(script: Path) -> None:
    header = re.search(r"^-- KEYS: (.*)$", script.read_text(encoding="utf-8"), re.MULTILINE)
    if header is None:
        assert "KEYS[1]:" in script.read_text(encoding="utf-8")
        return
    named = header[1].split(", ")
    keys = Keys(Namespace("n"), 1).for_script(WorkflowId("w"), RunId("r"), RunId("s"))
    assert [name.removeprefix("next ") for name in named] == [
        key.rpartition("}:")[2].partition(":")[0] for key in keys
    ]
    steps = (LUA / "steps.inc").read_text(encoding="utf-8")
    assert set(re.findall(r"KEYS\[(\d+)\]", steps)) == {str(n + 1) for n in range(len(keys))}


@by_name
def test_keys_come_from_keys_only(script: Path) -> None:
    for call in re.findall(r"redis\.call\((.*?),\s*([^,)]+)", code_of(script)):
        command, first = call
        if command in ("'PUBLISH'", "'TIME'"):
            continue
        assert re.fullmatch(r"[A-Z_]+|KEYS\[\d+\]", first), f"{command} {first}"


@by_name
def test_no_script_raises_by_itself_or_decodes_what_users_wrote(script: Path) -> None:
    code = code_of(script)
    assert not re.search(r"\berror\(|redis\.error_reply|redis\.pcall|cjson|loadstring", code)
    assert not re.search(r"\bwhile\b|\brepeat\b(?!')", code), "a loop without a bound"


@by_name
def test_a_script_that_promises_to_write_nothing_does_not(script: Path) -> None:
    if "no-writes" in script.read_text(encoding="utf-8").splitlines()[0]:
        assert not _WRITES.search(code_of(script))
        assert "answer{" not in code_of(script), "`answer` writes the clock"


def test_numbers_are_written_as_whole_numbers() -> None:
    for path in (*SCRIPTS, *PARTS):
        assert "tostring(" not in code_of(path), f"{path.name}: use int()"
        assert not re.search(r"%\.\d+f|%g", code_of(path)), f"{path.name}: use %d"


def test_each_wrapper_is_of_a_script_and_calls_it() -> None:
    tree = ast.parse((PACKAGE / "adapters/redis/scripts.py").read_text(encoding="utf-8"))
    scripts = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Scripts")
    wrappers = {
        node.name: ast.unparse(node.body[-1])
        for node in scripts.body
        if isinstance(node, ast.AsyncFunctionDef) and not node.name.startswith("_")
    }
    assert set(wrappers) == {path.stem for path in SCRIPTS}
    for name, body in wrappers.items():
        assert body == f"return await self._call('{name}', keys, fields)"
