"""The program that the README begins with runs as it stands there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.docs.pages import ROOT, blocks


def test_the_first_program_is_short_and_runs(tmp_path: Path) -> None:
    program = next(b for b in blocks(ROOT / "README.md") if b.language == "python")
    lines = [line for line in program.text.splitlines() if line.strip()]
    assert len(lines) <= 25
    path = tmp_path / "checkout.py"
    path.write_text(program.text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(path)],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.returncode) == (b"receipt for pizza\n", 0), done.stderr.decode()


def test_the_start_message_of_the_readme_is_one() -> None:
    from orchestrator.wire import codec

    (message,) = [b for b in blocks(ROOT / "README.md") if b.language == "json"]
    request = codec.decode_request(message.text.encode())
    assert request.request_id == "7c1f"
