"""Both type checkers accept what must be accepted in this folder, and reject what must not; they
find nothing in the extensions, which need the libraries of the extras."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]


def _files() -> list[str]:
    return [str(path) for path in FOLDER.glob("*.py") if not path.name.startswith(("test_", "__"))]


def _extensions() -> list[str]:
    return [str(path) for path in (ROOT / "orchestrator" / "contrib").glob("*.py")]


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
def test_mypy_finds_each_mistake_and_no_other() -> None:
    pytest.importorskip("mypy")
    found = _run("mypy", "--strict", "--warn-unused-ignores", *_files(), *_extensions())
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.slow
def test_pyright_finds_each_mistake_and_no_other(tmp_path: Path) -> None:
    pytest.importorskip("pyright")
    if _run("pyright", "--version").returncode != 0:
        pytest.skip("pyright needs Node.js, which could neither be found nor downloaded")
    files = [
        os.path.relpath(path, tmp_path) for path in (*_files(), *_extensions())
    ]  # it ignores absolute ones
    config = {
        "include": files,
        "extraPaths": [str(ROOT)],
        "typeCheckingMode": "strict",
        "enableTypeIgnoreComments": False,
        "reportUnnecessaryTypeIgnoreComment": "error",
        "pythonVersion": "3.11",
    }
    project = tmp_path / "pyrightconfig.json"
    project.write_text(json.dumps(config))
    found = _run(
        "pyright", "--outputjson", "--pythonpath", sys.executable, "--project", str(project)
    )
    report = json.loads(found.stdout)
    assert report["summary"]["filesAnalyzed"] == len(files)
    assert report["generalDiagnostics"] == []
