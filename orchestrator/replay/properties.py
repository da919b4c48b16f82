"""What a run's code may note about the run: memo, search attributes, details for people.

Each is what the start said, and what the code has changed since; a change shows at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from orchestrator.core.fold import upserted
from orchestrator.core.properties import check_memo
from orchestrator.core.search_attributes import check_sum
from orchestrator.wire import commands as c
from orchestrator.wire.events import WorkflowExecutionStarted
from orchestrator.wire.payload import Payload
from orchestrator.wire.search_attributes import SearchAttribute


class PropertiesHost(Protocol):
    """Who takes the commands."""

    def add(self, command: c.Command) -> None: ...

    def check_writable(self, act: str) -> None: ...


class Properties:
    """The notes of one run."""

    def __init__(self, host: PropertiesHost, started: WorkflowExecutionStarted) -> None:
        self._host = host
        self.memo: Mapping[str, Payload] = started.memo
        self.search_attributes: Mapping[str, SearchAttribute] = started.search_attributes
        self.current_details = ""

    def upsert_memo(self, changes: Mapping[str, Payload | None]) -> None:
        """Set notes; None removes one.

        Raises:
            ReadOnlyContextError: the caller is a query, a validator or a condition.
            PayloadTooLargeError: the memo would grow over the limit.
        """
        self._host.check_writable("change the memo")
        after = upserted(self.memo, changes)
        check_memo(after)
        self._host.add(c.ModifyWorkflowProperties(upserted_memo=dict(changes)))
        self.memo = after

    def upsert_search_attributes(self, changes: Mapping[str, SearchAttribute | None]) -> None:
        """Set search attributes, which are checked one by one; None removes one.

        Raises:
            ReadOnlyContextError: the caller is a query, a validator or a condition.
            InvalidSearchAttributeError: they would be too many.
        """
        self._host.check_writable("change search attributes")
        after = upserted(self.search_attributes, changes)
        check_sum(after)
        self._host.add(c.UpsertSearchAttributes(search_attributes=dict(changes)))
        self.search_attributes = after

    def set_current_details(self, details: str) -> None:
        """Set what people read; raises ReadOnlyContextError in a query, validator or condition."""
        self._host.check_writable("set current details")
        self.current_details = details
