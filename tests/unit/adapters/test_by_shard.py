"""A dict by shard is a dict, and each shard's part of it is what it holds of that shard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.adapters.memory.by_shard import ByShard

ACTS = st.lists(st.tuples(st.sampled_from(["set", "delete", "pop"]), st.integers(0, 9)))


@given(ACTS)
def test_its_parts_are_what_the_whole_holds(acts: list[tuple[str, int]]) -> None:
    rows: ByShard[int, int] = ByShard(lambda key: key % 3)
    plain: dict[int, int] = {}
    for number, (act, key) in enumerate(acts):
        if act == "set":
            rows[key] = plain[key] = number
        elif act == "pop":
            assert rows.pop(key, None) == plain.pop(key, None)
        elif key in plain:
            del rows[key], plain[key]
    assert rows == plain
    for shard in range(4):
        assert rows.of(shard) == {key: plain[key] for key in plain if key % 3 == shard}


def test_what_is_not_there_cannot_be_taken_out() -> None:
    rows: ByShard[int, int] = ByShard(lambda key: key)
    with pytest.raises(KeyError):
        rows.pop(1)
    with pytest.raises(KeyError):
        del rows[1]
