"""A workflow that interprets a plan given as data: steps, one after another or side by side.

A plan is a tagged union, so that a plan nobody can run is refused before its first step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import msgspec

from orchestrator import activity, workflow


class Step(msgspec.Struct, tag="step"):
    """Run an activity with the values of some variables; its result becomes another one."""

    activity: str
    arguments: list[str]
    result: str


class Sequence(msgspec.Struct, tag="sequence"):
    """One after another."""

    parts: list[Step | Sequence | Parallel]


class Parallel(msgspec.Struct, tag="parallel"):
    """All at once, then go on."""

    branches: list[Step | Sequence | Parallel]


class Plan(msgspec.Struct):
    """What to do, and the variables it begins with."""

    root: Step | Sequence | Parallel
    variables: dict[str, str] = {}


@activity.defn
async def join(*words: str) -> str:
    """The words as one."""
    return " ".join(words)


@activity.defn
async def shout(word: str) -> str:
    """The word in capitals."""
    return word.upper()


@workflow.defn
class Interpreter:
    """Runs a plan."""

    @workflow.run
    async def run(self, plan: Plan) -> dict[str, str]:
        """All variables at the end."""
        variables = dict(plan.variables)
        await self._do(plan.root, variables)
        return variables

    async def _do(self, part: Step | Sequence | Parallel, variables: dict[str, str]) -> None:
        match part:
            case Step():
                variables[part.result] = await workflow.execute_activity(
                    part.activity,
                    args=[variables[name] for name in part.arguments],
                    result_type=str,
                    start_to_close_timeout=timedelta(seconds=10),
                )
            case Sequence():
                for one in part.parts:
                    await self._do(one, variables)
            case Parallel():
                async with asyncio.TaskGroup() as group:
                    for branch in part.branches:
                        group.create_task(self._do(branch, variables))


WORKFLOWS: list[type] = [Interpreter]
ACTIVITIES: list[Callable[..., object]] = [join, shout]
