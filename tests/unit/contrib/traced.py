"""A workflow that calls and measures, for traces and metrics to be looked at."""

from __future__ import annotations

from datetime import timedelta

from orchestrator import activity, workflow

QUEUE = "traced"
MINUTE = timedelta(minutes=1)


@activity.defn
async def cook(dish: str) -> str:
    """Measures its work."""
    meter = activity.metric_meter()
    meter.create_counter("cooked").add(2, {"dish": dish})
    meter.create_histogram_timedelta("cooking").record(timedelta(milliseconds=1500))
    return f"{dish}, cooked"


@workflow.defn
class Meal:
    """One dish, then what a signal asks for."""

    def __init__(self) -> None:
        self.dishes: list[str] = []
        self.done = 0

    @workflow.run
    async def run(self, dish: str) -> list[str]:
        """Two dishes."""
        meter = workflow.metric_meter()
        meter.create_counter("meals").add(1)
        meter.create_gauge("dishes").set(7)
        self.dishes.append(
            await workflow.execute_activity(cook, dish, start_to_close_timeout=MINUTE)
        )
        await workflow.wait_condition(lambda: self.done > 0)
        await workflow.sleep(60)
        meter.create_histogram("served").record(len(self.dishes))
        return self.dishes

    @workflow.signal
    async def also(self, dish: str) -> None:
        """One more."""
        self.dishes.append(
            await workflow.execute_local_activity(cook, dish, start_to_close_timeout=MINUTE)
        )
        self.done += 1

    @workflow.query
    def count(self) -> int:
        """How many there are."""
        workflow.metric_meter().create_counter("asked").add(1)
        return len(self.dishes)
