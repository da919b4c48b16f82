"""The engines and workers of the unit tests."""

from tests.unit.worker.conftest import bare, engine, first, opened, threads

__all__ = ["bare", "engine", "first", "opened", "threads"]
