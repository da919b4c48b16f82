"""The demo's worker processes: started as a person would, killed as an accident would.

Only processes that were started here are ever signalled, by their id. What was done to which is
kept, because the audit asks for it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.exceptions import UnavailableError
from orchestrator.testing.audit import Interruption
from orchestrator.testing.ledger import Ledger, now_us

APP = "workers.orders.app"
ACTIVITIES_AT_A_TIME = 10
"""Of one worker: few, so that the demo lasts long enough to be looked at."""
COMMAND: Sequence[str] = (
    *(sys.executable, "-m", "orchestrator", "worker", APP, "--log-level", "warning"),
    *("--max-concurrent-activities", str(ACTIVITIES_AT_A_TIME)),
)
_STOP_SECONDS_MAX = 20.0
_TAIL_BYTES = 2000


@dataclass(frozen=True)
class WorkerProcess:
    """One worker."""

    number: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None


class WorkerProcesses:
    """Workers of the orders app; `folder` is where `workers/` is, `logs` where they may write."""

    def __init__(
        self,
        *,
        folder: Path,
        logs: Path,
        broker: str,
        store: str,
        namespace: str,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.ledger = Ledger(logs / "ledger.jsonl")
        self._folder = folder
        self._command = command
        self._logs = logs
        self._environment = {
            **os.environ,
            "ORCHESTRATOR_BROKER": broker,
            "ORCHESTRATOR_STORE": store,
            "ORCHESTRATOR_NAMESPACE": namespace,
            "ORDERS_LEDGER": str(self.ledger.path),
        }
        self._workers: list[WorkerProcess] = []
        self._sentenced: set[int] = set()
        self.interruptions: list[Interruption] = []

    def start(self) -> WorkerProcess:
        """Start one more; it takes a second until it works."""
        number = len(self._workers) + 1
        log = self._logs / f"worker-{number}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # an interrupt at the terminal is for the demo to handle
            )
        worker = WorkerProcess(number, process, log)
        self._workers.append(worker)
        return worker

    def running(self) -> Sequence[WorkerProcess]:
        """Those that have not ended."""
        return [worker for worker in self._workers if worker.is_running]

    def kill(self, worker: WorkerProcess) -> None:
        """End it with SIGKILL: it can do nothing about it."""
        # Dead from the moment before the signal: what it still does is as good as not done.
        self._sentenced.add(worker.number)
        self.interruptions.append(Interruption(pid=worker.pid, kind="killed", from_us=now_us()))
        worker.process.kill()
        worker.process.wait()

    def check(self) -> None:
        """Raises UnavailableError when one ended that nobody ended, with the end of its log. May be
        called while others end some in another thread."""
        for worker in self._workers:
            if not worker.is_running and worker.number not in self._sentenced:
                tail = worker.log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
                raise UnavailableError(
                    f"worker {worker.number} ended by itself with {worker.process.returncode}; "
                    f"its last output:\n{tail}"
                )

    def stop(self) -> None:
        """End all in good order; those that do not obey, at once."""
        for worker in self.running():
            self._sentenced.add(worker.number)
            worker.process.terminate()
        for worker in self._workers:
            try:
                worker.process.wait(_STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.kill(worker)
