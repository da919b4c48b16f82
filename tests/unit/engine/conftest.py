"""One engine on the memory adapters for the tests of duties."""

from tests.unit.memory_engine import engine

__all__ = ["engine"]
