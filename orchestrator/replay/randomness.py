"""Random numbers that are the same on replay: everything follows from the run id."""

from __future__ import annotations

import hashlib
from random import Random


class Randomness:
    """The generators of one run. `seed` is what the first one was seeded with."""

    def __init__(self, run_id: str) -> None:
        self.seed = int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:8])
        self.generator = Random(self.seed)
        self._made = 0

    def new(self) -> Random:
        """A generator of its own sequence: the n-th of a run is the same on replay."""
        self._made += 1
        return Random(f"{self.seed}/{self._made}")
