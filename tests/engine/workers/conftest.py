"""Fixtures of the reference apps."""

from tests.engine.workers.kitchen import kitchen, no_step_takes_time

__all__ = ["kitchen", "no_step_takes_time"]
