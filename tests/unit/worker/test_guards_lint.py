"""The code of workflows is read when they are registered: what is found, where, and what is not."""

from __future__ import annotations

import importlib.util
import linecache
import re
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from orchestrator import workflow
from orchestrator.testing import WorkflowEnvironment
from orchestrator.worker import Worker, lint_source
from orchestrator.worker.guards_lint import Finding, WorkflowCodeError, check_workflow, refuse
from tests.unit.worker.linted import activities, prices, workflows

_MARKED = re.compile(r"# ! ([\w. ()]+?)(?:\s+#|$)")


def marked(*modules: ModuleType) -> dict[str, list[tuple[int, str]]]:
    """What the comments say must be found, by file."""
    found: dict[str, list[tuple[int, str]]] = {}
    for module in modules:
        path = str(module.__file__)
        lines = Path(path).read_text().splitlines()
        found[path] = [
            (number, match.group(1).strip())
            for number, line in enumerate(lines, 1)
            if (match := _MARKED.search(line))
        ]
    return found


def found_in(findings: list[Finding]) -> dict[str, list[tuple[int, str]]]:
    by_file: dict[str, list[tuple[int, str]]] = {}
    for each in findings:
        by_file.setdefault(each.path, []).append((each.line, each.what))
    return by_file


_WORKFLOWS = [
    value
    for value in vars(workflows).values()
    if isinstance(value, type) and "__orchestrator_workflow__" in vars(value)
]


def test_all_that_is_marked_is_found_and_nothing_else() -> None:
    findings = {each for cls in _WORKFLOWS for each in check_workflow(cls)}
    expected = marked(workflows, prices, activities)
    assert found_in(sorted(findings)) == {path: lines for path, lines in expected.items() if lines}


def test_a_blameless_workflow_has_no_findings() -> None:
    assert check_workflow(workflows.Blameless) == []


def test_a_finding_names_file_line_function_call_and_remedy() -> None:
    (first, *_) = check_workflow(workflows.Clocks)
    assert first.path == workflows.__file__
    assert linecache.getline(first.path, first.line).strip().startswith("time.time()")
    assert str(first) == (
        f"{first.path}:{first.line}: Clocks.run: time.time: use workflow.now() or workflow.time(), "
        "which are the same on replay"
    )


@pytest.mark.parametrize(
    ("what", "remedy"),
    [
        ("datetime.now", "workflow.now()"),
        ("random.choice", "workflow.random()"),
        ("uuid.uuid4", "workflow.uuid4()"),
        ("time.sleep", "workflow.sleep()"),
        ("iteration over a set", "sorted(...)"),
        ("os.environ", "pass it as an argument"),
        ("open", "in an activity"),
        ("socket.socket", "in an activity"),
        ("threading.Thread", "asyncio tasks"),
    ],
)
def test_each_finding_says_what_to_use_instead(what: str, remedy: str) -> None:
    findings = [each for cls in _WORKFLOWS for each in check_workflow(cls) if each.what == what]
    assert findings
    assert all(remedy in each.remedy for each in findings)


def test_the_remedies_exist() -> None:
    for name in ("now", "time", "random", "uuid4", "sleep"):
        assert name in workflow.__all__


def test_findings_are_refused_all_at_once() -> None:
    findings = check_workflow(workflows.Chances) + check_workflow(workflows.Derived)
    with pytest.raises(ValueError, match="orchestrator: allow") as caught:
        refuse([*findings, *findings])
    assert isinstance(caught.value, WorkflowCodeError)
    assert caught.value.findings == tuple(sorted(findings))
    assert all(str(each) in str(caught.value) for each in findings)


def test_nothing_found_is_nothing_refused() -> None:
    refuse([])


async def test_a_worker_refuses_such_workflows_when_it_is_made() -> None:
    async with await WorkflowEnvironment.start_local() as env:
        with pytest.raises(WorkflowCodeError, match=r"random\.choice"):
            Worker(env.client, task_queue="q", workflows=[workflows.Chances])
        Worker(env.client, task_queue="q", workflows=[workflows.Blameless])


def _module(path: Path, text: str, name: str) -> ModuleType:
    """A module of this text, imported."""
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_FLAT = """
from orchestrator import workflow
from orchestrator.testing import WorkflowEnvironment
from orchestrator.worker import Worker, lint_source
import flat_helper

@workflow.defn
class Flat:
    @workflow.run
    async def run(self) -> float:
        return flat_helper.ask()
"""
_HELPER = "import time\ndef ask():\n    return time.time()\n"


@pytest.fixture
def flat_names() -> object:
    yield
    for name in ("flat_helper", "flat_workflows"):
        sys.modules.pop(name, None)


def test_modules_without_package_are_own_code_when_they_lie_together(
    tmp_path: Path, flat_names: object
) -> None:
    _module(tmp_path / "flat_helper.py", _HELPER, "flat_helper")
    flat = _module(tmp_path / "flat_workflows.py", _FLAT, "flat_workflows")
    (finding,) = check_workflow(flat.Flat)
    assert (finding.path, finding.line) == (str(tmp_path / "flat_helper.py"), 3)


def test_installed_packages_are_not_followed(tmp_path: Path, flat_names: object) -> None:
    installed = tmp_path / "site-packages"
    installed.mkdir()
    _module(installed / "flat_helper.py", _HELPER, "flat_helper")
    flat = _module(tmp_path / "flat_workflows.py", _FLAT, "flat_workflows")
    assert check_workflow(flat.Flat) == []


def test_code_without_source_is_passed_over(tmp_path: Path, flat_names: object) -> None:
    path = tmp_path / "flat_helper.py"
    _module(path, _HELPER, "flat_helper")
    flat = _module(tmp_path / "flat_workflows.py", _FLAT, "flat_workflows")
    path.unlink()
    linecache.clearcache()
    assert check_workflow(flat.Flat) == []


def test_code_that_was_changed_since_its_import_does_no_harm(
    tmp_path: Path, flat_names: object
) -> None:
    path = tmp_path / "flat_helper.py"
    _module(path, _HELPER, "flat_helper")
    flat = _module(tmp_path / "flat_workflows.py", _FLAT, "flat_workflows")
    path.write_text("def ask(:\n")
    linecache.clearcache()
    assert check_workflow(flat.Flat) == []


def test_a_wrapped_function_is_the_same_as_its_original(monkeypatch: pytest.MonkeyPatch) -> None:
    import functools

    @functools.wraps(time.sleep)
    def checked(seconds: float) -> None: ...

    monkeypatch.setattr(time, "sleep", checked)
    found = [each.what for each in check_workflow(workflows.Clocks)]
    assert found.count("time.sleep") == 1


def test_the_workflows_of_a_module_are_checked_from_one_reading_of_its_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[str] = []

    class Noted(lint_source.SourceFile):
        def __init__(self, path: str, text: str) -> None:
            read.append(path)
            super().__init__(path, text)

    monkeypatch.setattr(lint_source, "SourceFile", Noted)
    lint_source._parsed.cache_clear()
    for _ in range(2):
        for cls in (workflows.Clocks, workflows.Chances):
            check_workflow(cls)
    lint_source._parsed.cache_clear()
    assert workflows.__file__ in read
    assert len(read) == len(set(read))
