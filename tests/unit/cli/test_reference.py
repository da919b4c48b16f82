"""The reference is the program's own help, and help is had without the weight of clients."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from orchestrator.cli.reference import render

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/reference/cli.md"
HEAVY = ("redis", "aiormq", "aio_pika", "structlog", "orchestrator.client", "orchestrator.worker")


def test_the_reference_says_what_the_program_says() -> None:
    found = PAGE.read_text(encoding="utf-8")
    assert found == render(), "python -m orchestrator.cli.reference > docs/reference/cli.md"


def test_every_command_and_every_parameter_has_help() -> None:
    # The page is what the program says: see above.
    lines = [line.strip() for line in PAGE.read_text(encoding="utf-8").splitlines()]
    options = [line for line in lines if line.startswith("--")]
    assert len(options) > 100
    assert [line for line in options if ": " not in line] == []


def test_help_mistakes_and_health_checks_load_no_client() -> None:
    """In one process, since none of the calls may load what would hide another's."""
    calls = [["--help"], ["start", "--help"], ["worker"], ["nope"], ["health", "--port", "1"]]
    code = (
        "import sys\n"
        "from orchestrator.cli.app import main\n"
        f"for tokens in {calls}:\n"
        "    main(tokens)\n"
        f"    print('loaded:', tokens, [name for name in {HEAVY} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    told = [line for line in done.stdout.splitlines() if line.startswith("loaded:")]
    assert told == [f"loaded: {tokens} []" for tokens in calls]
