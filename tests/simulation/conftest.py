"""Every history of the simulation is replayed."""

from tests.replayed import every_history_is_replayed

__all__ = ["every_history_is_replayed"]
