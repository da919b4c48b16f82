"""Activities may do everything."""

from __future__ import annotations

import time
from pathlib import Path

from orchestrator import activity


@activity.defn
def read(path: str) -> str:
    time.sleep(1)
    return Path(path).read_text()


class Accounts:
    """Activities with something between them."""

    def __init__(self) -> None:
        self.began = time.time()

    @activity.defn
    async def pay(self) -> float:
        return self._now()

    def _now(self) -> float:
        return time.time()


@activity.defn
class Deliver:
    """An activity as a class."""

    def __call__(self) -> None:
        time.sleep(1)
