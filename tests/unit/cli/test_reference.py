"""The reference is the program's own help, and help is had without the weight of clients."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cli.reference import render

ROOT = Path(__file__).parents[3]
HEAVY = ("redis", "aiormq", "aio_pika", "structlog", "orchestrator.client", "orchestrator.worker")


def test_the_reference_says_what_the_program_says() -> None:
    found = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")
    assert found == render(), "python -m orchestrator.cli.reference > docs/reference/cli.md"


def test_every_command_and_every_parameter_has_help() -> None:
    lines = [line.strip() for line in render().splitlines()]
    bare = [line for line in lines if line.startswith("--") and ": " not in line]
    assert bare == []


def test_a_health_check_loads_no_client_either() -> None:
    assert loaded_by(["health", "--port", "1"]) == ""


@pytest.mark.parametrize("tokens", [["--help"], ["start", "--help"], ["worker"], ["nope"]])
def test_help_and_mistakes_are_answered_without_loading_clients(tokens: list[str]) -> None:
    assert loaded_by(tokens) == ""


def loaded_by(tokens: list[str]) -> str:
    """Which of the heavy modules a call of the program imports."""
    code = (
        "import sys\n"
        "from orchestrator.cli.app import main\n"
        f"main({tokens})\n"
        f"print('loaded:', *(name for name in {HEAVY} if name in sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.rpartition("loaded:")[2].strip()
