"""What activities did, told outside of both servers: the witness that a test or a demo asks later.

One line of JSON for each row, appended by any number of processes to one file. A row is one write
with O_APPEND: rows of several processes do not mix, no lock can be left held by a frozen process,
and what was written survives its writer. A kill in the middle of a write leaves half a line; each
row begins with a line break of its own, so half a line spoils no other, and its writer did not live
to act on it. The engine knows nothing of all this; see `audit` for what the rows must show.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple, TypeAlias

import msgspec

from orchestrator import activity


class AttemptRow(msgspec.Struct, frozen=True, kw_only=True):
    """Which attempt of which activity of which run, in which process, when."""

    time_us: int
    pid: int
    workflow_id: str
    run_id: str
    scheduled_event_id: int
    activity_type: str
    attempt: int

    @property
    def activity(self) -> ActivityName:
        """What all attempts of one activity share."""
        return ActivityName(self.workflow_id, self.run_id, self.scheduled_event_id)


class Begun(AttemptRow, frozen=True, kw_only=True, tag_field="row", tag="begin"):
    """User code begins."""


class Ended(AttemptRow, frozen=True, kw_only=True, tag_field="row", tag="end"):
    """User code has ended: `completed`, `failed` or `cancelled`. An attempt whose process was
    killed has no such row."""

    outcome: str
    error: str = ""


class Effect(AttemptRow, frozen=True, kw_only=True, tag_field="row", tag="effect"):
    """Something happened to the outside world, or was found to have happened already.

    Whoever takes such requests in life knows them by their key, and does one of them once; so does
    the reader of these rows. `subject` is whom it happened to.
    """

    name: str
    subject: str
    idempotency_key: str
    amount: Decimal = Decimal(0)


Row: TypeAlias = Begun | Ended | Effect


class ActivityName(NamedTuple):
    """One activity of one run."""

    workflow_id: str
    run_id: str
    scheduled_event_id: int

    def __str__(self) -> str:
        return f"{self.workflow_id} (run {self.run_id}), activity {self.scheduled_event_id}"


@dataclass(frozen=True)
class Rows:
    """All rows in the order in which they were written, and how many lines were cut off."""

    rows: tuple[Row, ...]
    torn: int


_encoder = msgspec.json.Encoder(decimal_format="string")
_decoder: msgspec.json.Decoder[Row] = msgspec.json.Decoder(Row)


class Ledger:
    """One file of rows. Any number of these, in any number of processes, may append to it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, row: Row) -> None:
        """Write one row.

        Raises:
            OSError: the file cannot be written, or took only a part of the row.
        """
        line = b"\n" + _encoder.encode(row) + b"\n"
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            written = os.write(file, line)
        finally:
            os.close(file)
        if written != len(line):
            raise OSError(f"{self.path} took {written} of {len(line)} bytes: is the disk full?")

    def read(self) -> Rows:
        """All rows so far; none when there is no file yet."""
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return Rows((), 0)
        rows: list[Row] = []
        torn = 0
        for line in text.split(b"\n"):
            if not line:
                continue
            try:
                rows.append(_decoder.decode(line))
            except msgspec.MsgspecError:
                torn += 1
        return Rows(tuple(rows), torn)

    @contextmanager
    def attempt(self) -> Generator[None, None, None]:
        """Tell of the begin and of the end of the attempt whose code is calling."""
        self.append(_begun())
        outcome, error = "completed", ""
        try:
            yield
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except BaseException as caught:  # boundary: whatever user code raises is told and goes on
            outcome, error = "failed", f"{type(caught).__name__}: {caught}"
            raise
        finally:
            begun = msgspec.structs.asdict(_begun())
            self.append(Ended(**begun, outcome=outcome, error=error))

    def effect(
        self, name: str, *, subject: str, idempotency_key: str, amount: Decimal = Decimal(0)
    ) -> None:
        """Tell of something that the attempt whose code is calling does to the outside world."""
        begun = msgspec.structs.asdict(_begun())
        row = Effect(
            **begun, name=name, subject=subject, idempotency_key=idempotency_key, amount=amount
        )
        self.append(row)


def now_us() -> int:
    """The clock of all rows: microseconds since the epoch."""
    return time.time_ns() // 1000


def _begun() -> Begun:
    info = activity.info()
    return Begun(
        time_us=now_us(),
        pid=os.getpid(),
        workflow_id=info.workflow_id or info.activity_id,
        run_id=info.workflow_run_id or info.activity_run_id or "",
        scheduled_event_id=info.scheduled_event_id,
        activity_type=info.activity_type,
        attempt=info.attempt,
    )
