"""Patches: which way a run goes where its code was changed (`workflow.patched`).

A new task goes the new way and writes a marker; a replay goes the new way only where history has
that marker. The first answer for an id stands for the rest of the run, so that a run never changes
its mind. Beside the marker the search attribute `TemporalChangeVersion` lists the run's patches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from typing import Protocol, TypeAlias

import msgspec

from orchestrator.core.patches import Patch, changes_versions, marker_of, patch_of
from orchestrator.core.search_attributes import CHANGE_VERSION
from orchestrator.ids import check_name
from orchestrator.limits import CHANGE_VERSIONS_BYTES_MAX, CHANGE_VERSIONS_MAX
from orchestrator.replay.facts import Activation
from orchestrator.replay.run_info import Info
from orchestrator.wire import commands as c
from orchestrator.wire.search_attributes import IndexedValueType, SearchAttribute


@dataclass(frozen=True)
class PatchActivationInput:
    """A run comes for the first time, not on replay, to where it may take a patch."""

    workflow_info: Info
    patch_id: str


PatchActivation: TypeAlias = Callable[[PatchActivationInput], bool]
"""Whether the run takes it."""


class PatchHost(Protocol):
    """Who takes the commands, and says what is being done."""

    @property
    def activation(self) -> Activation: ...

    @property
    def evicting(self) -> bool: ...

    def add(self, command: c.Command) -> None: ...

    def own_info(self) -> Info: ...

    def check_writable(self, act: str) -> None: ...

    def ask_read_only(self, place: str, ask: Callable[[], bool]) -> bool: ...


class Patches:
    """The patches of one run. `upsert` changes its search attributes; `activation` has the last
    word on a patch that the run could take anew."""

    def __init__(
        self,
        host: PatchHost,
        upsert: Callable[[dict[str, SearchAttribute | None]], None],
        activation: PatchActivation | None,
    ) -> None:
        self._host = host
        self._upsert = upsert
        self._activation = activation
        self._answers: dict[str, bool] = {}
        self._recorded: dict[str, bool | None] = {}
        """By id, those that history has: whether a change of the search attribute follows its
        marker; None: the marker itself is not written yet."""

    def note(self, activation: Activation) -> None:
        """Learn which patches the task has taken that is about to be replayed."""
        for patch_id in activation.patches:
            self._recorded.setdefault(patch_id, None)
        events = activation.recorded or ()
        for event, following in zip_longest(events, events[1:]):
            patch = patch_of(event.attributes)
            if patch is not None:
                follows = following is not None and changes_versions(following.attributes)
                self._recorded[patch.id] = follows

    def use(self, patch_id: str, *, deprecated: bool) -> bool:
        """Whether the run goes the new way.

        Raises:
            ReadOnlyContextError: the caller is a query, a validator or a condition.
            InvalidNameError: the id cannot be one.
            Exception: what the worker's callback raised; nothing is decided then.
        """
        self._host.check_writable("use a patch")
        known = self._answers.get(check_name("patch id", patch_id))
        if known is not None:
            return known
        is_new = self._host.activation.recorded is None and not self._host.evicting
        taken = patch_id in self._recorded or (is_new and self._is_wanted(patch_id, deprecated))
        self._answers[patch_id] = taken
        if taken:
            self._host.add(marker_of(Patch(id=patch_id, deprecated=deprecated)))
            self._tell_versions(patch_id)
        return taken

    def _is_wanted(self, patch_id: str, deprecated: bool) -> bool:
        if self._activation is None or deprecated:
            return True  # Of a deprecated one the old way is gone from the code.
        asked = PatchActivationInput(workflow_info=self._host.own_info(), patch_id=patch_id)
        return self._host.ask_read_only("a patch's activation", partial(self._activation, asked))

    def _tell_versions(self, patch_id: str) -> None:
        taken = [name for name, answer in self._answers.items() if answer]
        versions = tuple(sorted({*taken, *self._recorded}))
        # History decides where it knows: what counts towards the bound may have changed since.
        follows = self._recorded.get(patch_id)
        if follows is None:
            size_bytes = len(msgspec.json.encode(versions))
            follows = (
                len(versions) <= CHANGE_VERSIONS_MAX and size_bytes <= CHANGE_VERSIONS_BYTES_MAX
            )
        if follows:
            attribute = SearchAttribute(type=IndexedValueType.KEYWORD_LIST, value=versions)
            self._upsert({CHANGE_VERSION: attribute})
