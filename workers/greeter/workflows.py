"""The smallest workflow: one step outside, whose result survives any crash."""

from __future__ import annotations

from datetime import timedelta

from orchestrator import workflow
from workers.greeter.activities import greet


@workflow.defn
class Greeting:
    """Greets somebody."""

    @workflow.run
    async def run(self, name: str) -> str:
        return await workflow.execute_activity(
            greet, name, start_to_close_timeout=timedelta(seconds=10)
        )
