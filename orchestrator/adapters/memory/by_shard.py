"""A dict that knows what it holds of each shard: duties look at one shard at a time, each second,
and what they look through must not grow with all runs that are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar, cast

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
_ABSENT = object()


class ByShard(dict[_Key, _Value]):
    """Set, deleted and popped key by key; other ways to change a dict are not for it."""

    def __init__(self, shard_of: Callable[[_Key], int]) -> None:
        super().__init__()
        self._shard_of = shard_of
        self._shards: dict[int, dict[_Key, _Value]] = {}

    def of(self, shard: int) -> Mapping[_Key, _Value]:
        """What is held of `shard`."""
        return self._shards.get(shard, {})

    def __setitem__(self, key: _Key, value: _Value) -> None:
        super().__setitem__(key, value)
        self._shards.setdefault(self._shard_of(key), {})[key] = value

    def __delitem__(self, key: _Key) -> None:
        super().__delitem__(key)
        del self._shards[self._shard_of(key)][key]

    def pop(self, key: _Key, default: object = _ABSENT) -> _Value:
        """As of a dict."""
        if default is not _ABSENT and key not in self:
            return cast("_Value", default)
        value = self[key]
        del self[key]
        return value
