"""A run is tried in a process of its own: what it does to that process is told to a person."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from orchestrator.converter import DataConverter
from orchestrator.definition.registry import Registry
from orchestrator.definition.workflow import WorkflowDefinition
from orchestrator.limits import CRASHES_BEFORE_ISOLATION
from orchestrator.replay.facts import Activation, RunFacts
from orchestrator.wire import events as e
from orchestrator.wire.events import HistoryEvent
from orchestrator.wire.options import RunStatus
from orchestrator.wire.payload import Payload
from orchestrator.worker import WorkflowInboundInterceptor
from orchestrator.worker.isolation import Isolation, isolate
from orchestrator.worker.isolation_order import Bounds
from tests.integration import crashing
from tests.unit.memory_engine import NAMESPACE, WORKFLOW, Engine
from tests.unit.worker.workers import Worker, append_signal, start, view

_MIB = 1024 * 1024
_BOUNDS = Bounds(timeout_ms=60_000, memory_bytes=256 * _MIB)
_STARTED = e.WorkflowExecutionStarted(workflow_type="W", task_queue="q")
_FACTS = RunFacts(namespace="n", workflow_id="w", run_id="r", started=_STARTED, start_time_ms=0)


def _line(text: str) -> int:
    lines = Path(crashing.__file__).read_text().splitlines()
    return 1 + next(number for number, line in enumerate(lines) if text in line)


def _event(event_id: int, attributes: e.EventAttributes) -> HistoryEvent:
    return HistoryEvent(event_id=event_id, time_ms=event_id * 1_000, attributes=attributes)


_FIRST = Activation(time_ms=1_000, events=(_event(1, _STARTED),))
_REPLAYED = Activation(
    time_ms=1_000,
    events=(_event(1, _STARTED),),
    replaying=True,
    recorded=(
        _event(5, e.ActivityTaskScheduled(activity_id="1", activity_type="pay", task_queue="q")),
    ),
)
_PAID = Activation(
    time_ms=6_000,
    events=(
        _event(
            6,
            e.ActivityTaskCompleted(
                scheduled_event_id=5, started_event_id=0, result=Payload.of_json(b'"paid"')
            ),
        ),
        _event(7, e.WorkflowExecutionSignaled(signal_name="add", input=(Payload.of_json(b'"a"'),))),
    ),
)


async def _try(
    cls: type,
    *activations: Activation,
    interceptors: Sequence[type[WorkflowInboundInterceptor]] = (),
    bounds: Bounds = _BOUNDS,
) -> str | None:
    return await isolate(
        WorkflowDefinition.of(cls),
        _FACTS,
        activations,
        data_converter=DataConverter.default,
        interceptors=interceptors,
        bounds=bounds,
    )


async def test_code_that_ends_its_process_is_named_with_its_line() -> None:
    reason = await _try(crashing.Leaves, _FIRST)
    line = _line("os._exit(3)")
    assert reason == f"os._exit(3) at {crashing.__file__}:{line}, while it saw its next news"


async def test_interceptors_stand_around_the_code_as_in_the_worker() -> None:
    reason = await _try(crashing.HasABug, _FIRST, interceptors=[crashing.LeavesBefore])
    line = _line("os._exit(4)")
    assert reason == f"os._exit(4) at {crashing.__file__}:{line}, while it saw its next news"


async def test_an_interceptor_that_is_made_at_run_time_is_left_out_and_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, logger="orchestrator")

    class Local(crashing.LeavesBefore):
        pass

    assert await _try(crashing.HasABug, _FIRST, interceptors=[Local]) is None
    assert "interceptors_left_out" in caplog.text
    assert Local.__qualname__ in caplog.text


async def test_an_exit_without_error_is_one_all_the_same_and_comes_after_the_replay() -> None:
    reason = await _try(crashing.LeavesLater, _REPLAYED, _PAID)
    assert reason is not None
    assert reason.startswith("os._exit(0) at ")
    assert reason.endswith("while it saw its next news")


async def test_a_crash_in_native_code_is_told_by_signal_and_line() -> None:
    reason = await _try(crashing.Crashes, _FIRST)
    place = f"{crashing.__file__}:{_line('ctypes.string_at')} in run"
    assert reason == f"killed by signal 11 (SIGSEGV) at {place}, while it saw its next news"


async def test_a_crash_at_replay_is_told_as_one() -> None:
    reason = await _try(crashing.Crashes, Activation(**{**_fields(_FIRST), "replaying": True}))
    assert reason is not None
    assert reason.endswith("while it was replayed")


def _fields(activation: Activation) -> dict[str, object]:
    return {name: getattr(activation, name) for name in activation.__struct_fields__}


async def test_hunger_for_memory_is_bounded() -> None:
    assert await _try(crashing.Eats, _FIRST) == "out of memory: over 256 MiB"


async def test_code_that_never_ends_is_ended_with_its_line() -> None:
    reason = await _try(crashing.Spins, _FIRST, bounds=Bounds(timeout_ms=6_000))
    assert reason is not None
    assert reason.startswith(f"over 6 s at {crashing.__file__}:")
    assert reason.endswith("in run, while it saw its next news")


async def test_a_run_that_survives_may_be_tried_again_and_reaches_nothing_meanwhile() -> None:
    assert await _try(crashing.Survives, _REPLAYED, _PAID) is None


@pytest.mark.parametrize("cls", [crashing.HasABug, crashing.Interrupts])
async def test_a_task_that_only_fails_has_survived(cls: type) -> None:
    assert await _try(cls, _FIRST) is None


async def test_a_class_that_no_other_process_can_find_is_told_as_such() -> None:
    local = type("Local", (), {"run": crashing.Leaves.run})
    local.__qualname__ = "test.<locals>.Local"
    WorkflowDefinition.of(crashing.Leaves)
    definition = WorkflowDefinition(
        **{**vars(WorkflowDefinition.of(crashing.Leaves)), "cls": local}
    )
    reason = await isolate(
        definition, _FACTS, [_FIRST], data_converter=DataConverter.default, bounds=_BOUNDS
    )
    assert reason is not None
    assert "made inside of a function" in reason


async def test_a_run_that_takes_its_workers_down_is_parked_with_the_reason() -> None:
    engine = Engine()
    await engine.open()
    for consumer in list(engine.broker._consumers):
        await consumer.stop()
    await start(engine, "Leaves")
    for _ in range(CRASHES_BEFORE_ISOLATION):  # begun, and never heard of again
        await engine.store.sync(WORKFLOW, task_timeout_ms=10_000, count_attempt=True)
    isolation = Isolation(
        engine.store,
        engine.clock,
        namespace=NAMESPACE,
        registry=Registry(workflows=[crashing.Leaves]),
        data_converter=DataConverter.default,
    )
    worker = await Worker(engine, workflows=[crashing.Leaves], isolate=isolation).open()
    await engine.pass_time(60_000)
    await worker.workflows.drain()
    run = await view(engine)
    assert run.status is RunStatus.RUNNING
    assert run.problem is not None
    assert run.problem.startswith(f"STALLED: os._exit(3) at {crashing.__file__}:")
    await engine.broker.close()


async def test_a_run_is_tried_with_all_that_waits_for_it() -> None:
    engine = Engine()
    await engine.open()
    for consumer in list(engine.broker._consumers):
        await consumer.stop()
    worker = await Worker(engine, workflows=[crashing.LeavesLater]).open()
    await start(engine, "LeavesLater")
    isolation = Isolation(
        engine.store,
        engine.clock,
        namespace=NAMESPACE,
        registry=Registry(workflows=[crashing.LeavesLater]),
        data_converter=DataConverter.default,
    )
    assert await isolation(WORKFLOW) is None
    await worker.die()
    await append_signal(engine, "a")
    reason = await isolation(WORKFLOW)
    assert reason is not None
    assert reason.startswith("os._exit(0) at ")
    await engine.broker.close()


_PROGRAM = """
import asyncio, os, sys
from orchestrator import workflow
from orchestrator.converter import DataConverter
from orchestrator.definition.workflow import WorkflowDefinition
from orchestrator.worker.isolation import isolate
from orchestrator.worker.isolation_order import Bounds
from tests.integration.test_isolation import _FACTS, _FIRST

@workflow.defn
class Here:
    @workflow.run
    async def run(self) -> None:
        os._exit(7)

if __name__ == "__main__":
    print(asyncio.run(isolate(
        WorkflowDefinition.of(Here), _FACTS, [_FIRST],
        data_converter=DataConverter.default, bounds=Bounds(),
    )))
"""


def test_a_class_in_the_program_itself_is_found_and_the_program_is_not_run_again(
    tmp_path: Path,
) -> None:
    program = tmp_path / "program.py"
    program.write_text(_PROGRAM)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, str(program)],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.splitlines() == [
        f"os._exit(7) at {program}:14, while it saw its next news"
    ], done.stderr


async def test_a_module_that_cannot_be_imported_alone_is_told_with_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "needs_parent.py").write_text(
        textwrap.dedent("""
        import os
        from orchestrator import workflow
        if os.getpid() != int(os.environ["ONLY_PROCESS"]):
            raise RuntimeError("no database")
        @workflow.defn
        class Picky:
            @workflow.run
            async def run(self) -> None: ...
        """)
    )
    monkeypatch.setenv("ONLY_PROCESS", str(os.getpid()))
    import needs_parent  # type: ignore[import-not-found]  # written above

    reason = await _try(needs_parent.Picky, _FIRST)
    assert reason == "it cannot be tried in a process of its own: RuntimeError('no database')"


async def test_a_cancelled_trial_leaves_no_process() -> None:
    trial = asyncio.create_task(_try(crashing.Spins, _FIRST))
    made: list[int] = []
    deadline = time.monotonic() + 60
    while not made and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
        made = _children()
    assert made
    trial.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trial
    assert not set(made) & set(_children())


def _children() -> list[int]:
    """Processes of this one that try a run."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children")
    pids = [
        int(pid)
        for each in listed.parent.parent.glob("*/children")
        for pid in each.read_text().split()
    ]
    return [pid for pid in pids if _runs_the_child(pid)]


def _runs_the_child(pid: int) -> bool:
    try:
        return b"isolation_child" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
