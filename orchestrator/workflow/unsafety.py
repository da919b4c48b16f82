"""Questions that correct workflow code does not ask, and words for code that is moved here."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from orchestrator.replay.context import current_run, unrestricted


class unsafe:
    """Questions that correct workflow code does not ask."""

    @staticmethod
    def is_replaying() -> bool:
        """Whether what happens now has no effect: history is replayed or a query is answered."""
        return current_run().replaying

    @staticmethod
    def is_replaying_history_events() -> bool:
        """Whether history is replayed; False in a query. What the logger goes by."""
        return current_run().replaying_history

    @staticmethod
    def is_read_only() -> bool:
        """Whether the caller may change nothing: it is a query or a condition."""
        return current_run().read_only

    @staticmethod
    def in_sandbox() -> bool:
        """Never: there is no importing sandbox."""
        return False

    @staticmethod
    @contextmanager
    def imports_passed_through() -> Generator[None, None, None]:
        """Does nothing; for code that is moved here."""
        yield

    @staticmethod
    @contextmanager
    def sandbox_unrestricted() -> Generator[None, None, None]:
        """Let calls pass that touch the world outside; replay will make them again."""
        with unrestricted():
            yield
