"""What is asked of Redis for one attempt is what makes its record."""

from __future__ import annotations

from collections import UserDict

from orchestrator.adapters.redis.answers import RECORD_FIELDS, record

STORED = {
    "state": "scheduled",
    "key": "k",
    "attempt": "1",
    "scheduled_at_ms": "1",
    "attempt_scheduled_at_ms": "1",
    "dispatches": "0",
    "losses": "0",
}


class Noted(UserDict[str, str]):
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__(STORED)
        self.asked: set[object] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self.asked.add(name)
        return super().__contains__(name)


def test_every_field_of_a_record_is_asked_for() -> None:
    stored = Noted()
    record(2, stored)
    assert stored.asked == set(RECORD_FIELDS)
