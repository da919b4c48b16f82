"""`python -m tests.replay.record` writes the history of each feature that has none yet."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

from orchestrator.wire.history_json import WorkflowHistory
from tests.replay.driver import WORKFLOW, Driven
from tests.replay.features import FEATURES, Feature
from tests.replay.local_lives import LIVES
from tests.replay.local_lives import live as local_life

FOLDER = Path(__file__).parent / "histories"
SUMS = FOLDER / "SHA256SUMS"


def live(feature: Feature) -> Driven:
    """Let a feature's workflow live as it was recorded."""
    driven = Driven(feature.cls, *feature.args, run_id="recorded-1")
    for step in feature.steps or (lambda _: (),):
        driven.step(*step(driven))
    while driven.is_open and feature.goes_on:
        driven.step(*driven.everything_pending())
    return driven


def sums() -> str:
    """One line a file, as `sha256sum` writes and checks them."""
    files = sorted(FOLDER.glob("*.json"))
    return "".join(f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.name}\n" for f in files)


def main() -> None:
    """Write what is missing; nothing is ever overwritten."""
    FOLDER.mkdir(exist_ok=True)
    for name, feature in FEATURES.items():
        path = FOLDER / f"{name}.json"
        if not path.exists():
            driven = live(feature)
            history = WorkflowHistory(WORKFLOW, driven.history, driven.run_id)
            path.write_text(history.to_json(), encoding="utf-8")
            driven.run.evict()
    for name in LIVES:
        path = FOLDER / f"{name}.json"
        if not path.exists():
            path.write_text(asyncio.run(local_life(name)).to_json(), encoding="utf-8")
    SUMS.write_text(sums(), encoding="utf-8")


if __name__ == "__main__":
    main()
