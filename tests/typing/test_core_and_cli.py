"""The package is clean for both type checkers in an environment that has only what it needs.

Whoever installs `orchestrator[cli]` and checks types sees the package with these libraries and no
other: what is imported from an extra of ours, or from a tool of the tests, would be an error there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

ROOT = Path(__file__).parents[2]
SECONDS_MAX = 300

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def python() -> Iterator[str]:
    """The Python of an environment that holds the package, with the command line, and pip."""
    with TemporaryDirectory(prefix="orchestrator-types-") as folder:
        made = str(Path(folder) / "bin" / "python")
        _done(_run(sys.executable, "-m", "venv", folder))
        _done(_run(made, "-m", "pip", "install", "--quiet", f"{ROOT}[cli]"))
        yield made


def test_nothing_is_installed_that_the_package_does_not_need(python: str) -> None:
    listed = _run(python, "-m", "pip", "list", "--format", "json")
    names = {package["name"].lower() for package in json.loads(_done(listed).stdout)}
    assert {"orchestrator", "aio-pika", "redis", "msgspec", "structlog", "cyclopts"} <= names
    assert not names & {"pytest", "testcontainers", "hypothesis", "mypy", "pyright", "pyyaml"}


def test_mypy_finds_nothing(python: str, tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    options = ["--strict", "--python-executable", python, "--cache-dir", str(tmp_path)]
    found = _run(sys.executable, "-m", "mypy", *options, "-p", "orchestrator")
    assert found.returncode == 0, found.stdout + found.stderr


def test_pyright_finds_nothing(python: str) -> None:
    pytest.importorskip("pyright")
    if _run(sys.executable, "-m", "pyright", "--version").returncode != 0:
        pytest.skip("pyright needs Node.js, which could neither be found nor downloaded")
    found = _run(sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", python)
    report = json.loads(found.stdout)
    files = set((ROOT / "orchestrator").rglob("*.py"))
    with_extras = set((ROOT / "orchestrator" / "contrib").rglob("*.py"))
    assert report["summary"]["filesAnalyzed"] >= len(files - with_extras)
    assert [one for one in report["generalDiagnostics"] if one["severity"] == "error"] == []


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


def _done(found: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    assert found.returncode == 0, found.stdout + found.stderr
    return found
