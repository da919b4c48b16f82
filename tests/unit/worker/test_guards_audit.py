"""While workflow code runs, what touches the world is refused; everybody else notices nothing."""

from __future__ import annotations

import contextvars
import ctypes
import gc
import glob
import logging
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.request
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from orchestrator import workflow
from orchestrator.worker import guards_audit
from orchestrator.worker.guards import ActivationGuard
from orchestrator.worker.watchdog import WorkflowBlockedError

RestrictedWorkflowAccessError = guards_audit.RestrictedWorkflowAccessError


@pytest.fixture(autouse=True)
def _installed() -> None:
    guards_audit.install()


def in_workflow(act: Callable[[], Any]) -> Any:
    return guards_audit.run_armed(act)


def nothing() -> None:
    pass


def open_file() -> None:
    with open(__file__):
        pass


def make_file() -> None:
    with open("made", "w"):
        pass


_POOL = ThreadPoolExecutor(1)
_POOL.submit(nothing).result()

_REFUSED: list[tuple[str, str, Callable[[], Any]]] = [
    ("open(", guards_audit.FILES, open_file),
    ("open(", guards_audit.FILES, make_file),
    ("open(", guards_audit.FILES, lambda: os.open(__file__, os.O_RDONLY)),
    ("open(", guards_audit.FILES, lambda: Path(__file__).read_text()),
    ("os.listdir", guards_audit.FILES, lambda: os.listdir(".")),
    ("os.mkdir", guards_audit.FILES, lambda: os.mkdir("made")),
    ("os.rename", guards_audit.FILES, lambda: os.rename("a", "b")),
    ("os.remove", guards_audit.FILES, lambda: os.remove("a")),
    ("glob.glob", guards_audit.FILES, lambda: glob.glob("*")),
    ("shutil.rmtree", guards_audit.FILES, lambda: shutil.rmtree("a")),
    ("tempfile.mkstemp", guards_audit.FILES, lambda: tempfile.mkstemp()),
    ("sqlite3.connect", guards_audit.FILES, lambda: sqlite3.connect(":memory:")),
    ("socket", guards_audit.NETWORK, lambda: socket.socket()),
    ("socket.getaddrinfo", guards_audit.NETWORK, lambda: socket.getaddrinfo("localhost", 80)),
    ("socket.gethostname", guards_audit.NETWORK, lambda: socket.gethostname()),
    ("urllib.Request", guards_audit.NETWORK, lambda: urllib.request.urlopen("http://127.0.0.1")),
    ("subprocess.Popen", guards_audit.PROCESSES, lambda: subprocess.run(["true"])),
    ("os.system", guards_audit.PROCESSES, lambda: os.system("true")),
    ("os.kill", guards_audit.PROCESSES, lambda: os.kill(os.getpid(), 0)),
    ("os.fork", guards_audit.PROCESSES, lambda: os.fork()),
    ("os.putenv", "before the worker starts", lambda: os.environ.update(A="b")),
    ("ctypes.string_at", guards_audit.NATIVE, lambda: ctypes.string_at(b"a")),
    (
        "threading.Thread.start",
        guards_audit.THREADS,
        lambda: threading.Thread(target=nothing).start(),
    ),
    ("ThreadPoolExecutor.submit", guards_audit.THREADS, lambda: _POOL.submit(nothing)),
    ("time.sleep", guards_audit.SLEEPING, lambda: time.sleep(3600)),
    ("builtins.input", guards_audit.INPUT, lambda: input()),
]


@pytest.mark.parametrize(("name", "remedy", "act"), _REFUSED, ids=[each[0] for each in _REFUSED])
def test_a_call_that_touches_the_world_is_refused_by_name_with_its_remedy(
    name: str, remedy: str, act: Callable[[], Any]
) -> None:
    with pytest.raises(RestrictedWorkflowAccessError) as caught:
        in_workflow(act)
    assert caught.value.qualified_name.startswith(name)
    assert remedy in str(caught.value)


def test_outside_of_workflow_code_all_calls_pass(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    subprocess.run([sys.executable, "-c", ""], check=True)
    socket.socket().close()
    time.sleep(0)
    thread = threading.Thread(target=nothing)
    thread.start()
    thread.join()
    assert time.sleep.__name__ == "sleep"
    assert threading.Thread.start.__name__ == "start"


def test_another_thread_is_not_restricted_while_workflow_code_runs() -> None:
    begin, done = threading.Event(), threading.Event()
    read: list[str] = []

    def other() -> None:
        begin.wait()
        time.sleep(0)
        read.append(Path(__file__).read_text())
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    in_workflow(lambda: (begin.set(), done.wait()))
    thread.join()
    assert read


def test_restrictions_end_with_the_act_however_it_ends() -> None:
    with pytest.raises(ZeroDivisionError):
        in_workflow(lambda: 1 / 0)
    assert Path(__file__).read_text()


def test_a_late_import_passes_whatever_the_module_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "late_module.py").write_text(
        "from pathlib import Path\nTEXT = Path(__file__).read_text()\n"
        "def read():\n    return Path(__file__).read_text()\n"
    )

    def act() -> object:
        import late_module  # type: ignore[import-not-found]  # written above

        return late_module

    module: Any = in_workflow(act)
    assert module.TEXT.startswith("from pathlib")
    with pytest.raises(RestrictedWorkflowAccessError):
        in_workflow(module.read)


def test_a_worker_that_is_started_by_an_import_is_guarded_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "starting_module.py").write_text(
        "from orchestrator.worker.guards_audit import run_armed\n"
        "try:\n    run_armed(lambda: open(__file__))\nexcept Exception as error:\n    found = error"
    )
    import starting_module  # type: ignore[import-not-found]  # written above

    assert isinstance(starting_module.found, RestrictedWorkflowAccessError)


def test_a_log_handler_may_open_its_file_late(tmp_path: Path) -> None:
    logger = logging.getLogger("tests.guards")
    handler = logging.FileHandler(tmp_path / "late.log", delay=True)
    logger.addHandler(handler)
    try:
        in_workflow(lambda: logger.error("written"))
    finally:
        logger.removeHandler(handler)
        handler.close()
    assert (tmp_path / "late.log").read_text() == "written\n"


def test_a_traceback_may_read_source_lines() -> None:
    def act() -> str:
        import linecache

        linecache.clearcache()
        try:
            return str(1 / 0)
        except ZeroDivisionError:
            return traceback.format_exc()

    assert "return str(1 / 0)" in in_workflow(act)


def test_a_time_zone_may_be_read() -> None:
    assert in_workflow(lambda: ZoneInfo.no_cache("Europe/Paris")).key == "Europe/Paris"


def test_finalizers_of_other_objects_may_clean_up(tmp_path: Path) -> None:
    class Owner:
        def __init__(self, path: Path) -> None:
            self.path = path
            self.me = self

        def __del__(self) -> None:
            os.rmdir(self.path)

    class Plain:
        pass

    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    kept = [Plain()]
    weakref.finalize(kept[0], os.rmdir, second)
    Owner(first)
    in_workflow(gc.collect)
    in_workflow(kept.clear)
    assert list(tmp_path.iterdir()) == []


def test_restrictions_can_be_lifted_for_a_block_and_for_no_other_task() -> None:
    def act() -> str:
        with workflow.unsafe.sandbox_unrestricted():
            text = Path(__file__).read_text()
            with pytest.raises(RestrictedWorkflowAccessError):
                contextvars.Context().run(open_file)
        with pytest.raises(RestrictedWorkflowAccessError):
            open_file()
        return text

    assert in_workflow(act)


def test_the_hook_is_installed_once() -> None:
    sleep, start = time.sleep, threading.Thread.start
    guards_audit.install()
    assert time.sleep is sleep
    assert threading.Thread.start is start


def test_the_guard_refuses_and_ends_and_then_lets_the_worker_go_on() -> None:
    guard = ActivationGuard(50)

    def spin() -> None:
        while True:
            pass

    try:
        with pytest.raises(RestrictedWorkflowAccessError):
            guard(open_file)
        with pytest.raises(WorkflowBlockedError):
            guard(spin)
        assert guard(lambda: guard(lambda: "inner")) == "inner"
        with pytest.raises(RestrictedWorkflowAccessError):
            guard(lambda: (guard(nothing), open_file()))
        assert Path(__file__).read_text()
    finally:
        guard.close()


def test_in_debug_mode_the_guard_only_calls() -> None:
    guard = ActivationGuard(1, debug=True)
    assert guard(lambda: Path(__file__).read_text())
