"""Random numbers that are the same on replay: everything follows from the run id."""

from __future__ import annotations

import hashlib
from functools import cached_property
from random import Random


class Randomness:
    """The generators of one run. `seed` is what the first one was seeded with."""

    def __init__(self, run_id: str) -> None:
        self.seed = int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:8])
        self._made = 0

    @cached_property
    def generator(self) -> Random:
        """The run's own one; few runs want it, and each holds 2.5 kB."""
        return Random(self.seed)

    def new(self) -> Random:
        """A generator of its own sequence: the n-th of a run is the same on replay."""
        self._made += 1
        return Random(f"{self.seed}/{self._made}")
