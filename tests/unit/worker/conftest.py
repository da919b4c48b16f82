"""One engine on the memory adapters for the tests of workers."""

from tests.unit.memory_engine import engine

__all__ = ["engine"]
