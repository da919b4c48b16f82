"""The page about workflow code shows what the check really says."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from orchestrator.worker.guards_lint import check_workflow
from tests.docs.pages import ROOT, blocks

_PAGE = ROOT / "docs/explanation/determinism.md"


def test_the_findings_are_those_of_the_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example, findings = blocks(_PAGE)[:2]
    path = tmp_path / "rush.py"
    path.write_text(example.text)
    spec = importlib.util.spec_from_file_location("rush", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "rush", module)
    spec.loader.exec_module(module)
    found = [str(each).replace(f"{tmp_path}/", "") for each in check_workflow(module.Rush)]
    assert found == findings.text.splitlines()
