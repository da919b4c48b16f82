"""The engines and workers of the unit tests."""

from tests.unit.worker.conftest import bare, engine, opened

__all__ = ["bare", "engine", "opened"]
