"""Every command that the docs show is run, and prints what they say.

A `console` block is run here, command by command. A `sh` block with the word `background` is a
process that goes on until its page ends. Any other `sh` block is run by the test that `_ELSEWHERE`
names. UPDATE_DOCS=1 writes what the commands print into the pages.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.testing.servers import Servers
from tests.docs.pages import ROOT, Block, blocks, commands, normal

pytestmark = pytest.mark.servers
_PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_WITH_COMMANDS = [page for page in _PAGES if any(b.language == "console" for b in blocks(page))]
_ELSEWHERE = {
    "python3 -m venv .venv && .venv/bin/pip install '.[cli]'": "tests/e2e/test_dockerfile.py",
    "make demo": "tests/integration/test_demo.py",
    "make test    # sets up what it needs: virtual environment, RabbitMQ, Redis": ".ci/run",
}
_SECONDS_MAX = 60


class Shell:
    """A shell in which `orchestrator` and `redis-cli` mean this checkout and the test's servers."""

    def __init__(self, folder: Path, servers: Servers, database: int) -> None:
        redis_cli = shutil.which("redis-cli")
        if redis_cli is None:
            pytest.skip("redis-cli is not installed")
        port = servers.redis.url.rpartition(":")[2].partition("/")[0]
        store = f"redis://127.0.0.1:{port}/{database}"
        subprocess.run([redis_cli, "-u", store, "FLUSHDB"], check=True, capture_output=True)
        self._script(folder / "orchestrator", f'"{sys.executable}" -m orchestrator')
        self._script(folder / "redis-cli", f'"{redis_cli}" -u {store} --no-raw')
        self.environment = {
            **os.environ,
            "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "ORCHESTRATOR_BROKER": servers.rabbitmq.url,
            "ORCHESTRATOR_STORE": store,
            "ORCHESTRATOR_NAMESPACE": "default",
            "NO_COLOR": "1",
        }
        self.background: list[subprocess.Popen[bytes]] = []

    def run(self, line: str) -> str:
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_SECONDS_MAX,
            check=False,
        )
        output = done.stdout.decode()
        assert done.returncode == 0, f"$ {line}\n{output}"
        return output

    def start(self, line: str) -> None:
        self.background.append(
            subprocess.Popen(
                ["bash", "-c", f"exec {line}"],
                cwd=ROOT,
                env=self.environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )

    def end(self) -> None:
        for process in self.background:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(_SECONDS_MAX) for process in self.background] == [
            0 for _ in self.background
        ]

    @staticmethod
    def _script(path: Path, command: str) -> None:
        path.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
        path.chmod(0o755)


@pytest.fixture
def shell(tmp_path: Path, servers: Servers, request: pytest.FixtureRequest) -> Iterator[Shell]:
    page: Path = request.node.callspec.params["page"]
    made = Shell(tmp_path, servers, database=1 + _WITH_COMMANDS.index(page))
    try:
        yield made
    finally:
        made.end()


@pytest.mark.parametrize("page", _WITH_COMMANDS, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_print_what_it_says(page: Path, shell: Shell) -> None:
    for block in blocks(page):
        if block.language == "sh" and block.note == "background":
            shell.start(block.text.strip())
        if block.language == "console":
            _check(page, block, shell)


def _check(page: Path, block: Block, shell: Shell) -> None:
    shown = block.text
    for command in commands(block):
        printed = shell.run(command.line)
        if os.environ.get("UPDATE_DOCS"):
            printed = "\n".join(line.rstrip() for line in printed.splitlines())
            printed = re.sub(r"redis://127\.0\.0\.1:\d+/\d+", "redis://127.0.0.1:6379/0", printed)
            shown = shown.replace(
                f"$ {command.line}\n{command.output}", f"$ {command.line}\n{printed}\n"
            )
        else:
            assert normal(printed) == normal(command.output), f"{page.name}: $ {command.line}"
    if shown != block.text:
        text = page.read_text(encoding="utf-8")
        fenced = text.replace(f"```console\n{block.text}```", f"```console\n{shown}```", 1)
        page.write_text(fenced, encoding="utf-8")


def test_every_other_command_of_the_docs_is_run_by_a_test() -> None:
    for page in _PAGES:
        for block in blocks(page):
            if block.language == "sh" and not block.note:
                for line in block.text.strip().splitlines():
                    where = _ELSEWHERE.get(line)
                    assert where, f"{page.name}:{block.line}: {line!r} is run by no test"
                    assert (ROOT / where).exists()
