"""Traces go from the client through workflows to activities; metrics are noted once, also when a
run is replayed again and again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from orchestrator.client import Client
from orchestrator.common import MetricMeter
from orchestrator.contrib.opentelemetry import TracingInterceptor, create_metric_meter
from orchestrator.testing import WorkflowEnvironment
from orchestrator.worker import Replayer, Worker
from tests.unit.contrib.traced import QUEUE, Meal, cook


class Watched:
    """A provider of each kind, and what they were told."""

    def __init__(self) -> None:
        self.spans = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.spans))
        self.tracer = provider.get_tracer("test")
        self.reader = InMemoryMetricReader()
        self.meter = MeterProvider(metric_readers=[self.reader]).get_meter("test")

    def named(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.spans.get_finished_spans()}

    def values(self) -> dict[str, object]:
        data = self.reader.get_metrics_data()
        assert data is not None
        found: dict[str, object] = {}
        for metric in data.resource_metrics[0].scope_metrics[0].metrics:
            point = next(iter(metric.data.data_points))
            found[metric.name] = getattr(point, "value", getattr(point, "sum", None))
        return found


@asynccontextmanager
async def environment(
    watched: Watched, *, always: bool = False, cached: int | None = None
) -> AsyncIterator[Client]:
    tracing = TracingInterceptor(watched.tracer, always_create_workflow_spans=always)
    async with await WorkflowEnvironment.start_time_skipping() as env:
        client = Client(
            env.client.services,
            interceptors=[tracing],
            metric_meter=create_metric_meter(watched.meter),
        )
        worker = Worker(
            client,
            task_queue=QUEUE,
            workflows=[Meal],
            activities=[cook],
            max_cached_workflows=cached,
        )
        async with worker:
            yield client


async def play(client: Client) -> None:
    handle = await client.start_workflow(Meal.run, "soup", id="m", task_queue=QUEUE)
    await handle.signal(Meal.also, "bread")
    assert sorted(await handle.result()) == ["bread, cooked", "soup, cooked"]
    assert await handle.query(Meal.count) == 2


@pytest.mark.parametrize("cached", [None, 0], ids=["cached", "replayed"])
async def test_each_span_is_made_once_under_what_caused_it(cached: int | None) -> None:
    watched = Watched()
    async with environment(watched, cached=cached) as client:
        await play(client)
        before = len(watched.spans.get_finished_spans())
        history = await client.get_workflow_handle("m").fetch_history()
        tracing = TracingInterceptor(watched.tracer)
        await Replayer(workflows=[Meal], interceptors=[tracing]).replay_workflow(history)
        assert len(watched.spans.get_finished_spans()) == before
    spans = watched.spans.get_finished_spans()
    names = sorted(span.name for span in spans)
    assert names == [
        "CompleteWorkflow:Meal",
        "HandleQuery:count",
        "HandleSignal:also",
        "QueryWorkflow:count",
        "RunActivity:cook",
        "RunActivity:cook",
        "RunWorkflow:Meal",
        "SignalWorkflow:also",
        "StartActivity:cook",
        "StartActivity:cook",
        "StartWorkflow:Meal",
    ]
    by_id = {span.context.span_id: span.name for span in spans if span.context}
    parents = {(span.name, by_id[span.parent.span_id]) for span in spans if span.parent is not None}
    assert parents == {
        ("RunWorkflow:Meal", "StartWorkflow:Meal"),
        ("CompleteWorkflow:Meal", "StartWorkflow:Meal"),
        ("StartActivity:cook", "StartWorkflow:Meal"),
        ("StartActivity:cook", "SignalWorkflow:also"),
        ("RunActivity:cook", "StartActivity:cook"),
        ("HandleSignal:also", "SignalWorkflow:also"),
        ("HandleQuery:count", "QueryWorkflow:count"),
    }


async def test_an_activity_without_a_workflow_runs_under_its_start() -> None:
    watched = Watched()
    async with environment(watched) as client:
        await client.execute_activity(
            cook, "soup", id="a", task_queue=QUEUE, start_to_close_timeout=timedelta(minutes=1)
        )
    begun, ran = (watched.named()[f"{what}Activity:cook"] for what in ("Start", "Run"))
    assert ran.parent is not None
    assert begun.context is not None
    assert ran.parent.span_id == begun.context.span_id
    assert begun.attributes == {"orchestrator.activity_id": "a"}
    assert "orchestrator.workflow_id" not in (ran.attributes or {})


async def test_a_workflow_that_nobody_traced_makes_spans_only_when_told() -> None:
    for always in (False, True):
        watched = Watched()
        async with environment(watched, always=always) as client:
            plain = Client(client.services)
            await plain.start_workflow(Meal.run, "soup", id="m", task_queue=QUEUE)
            await plain.get_workflow_handle("m").signal(Meal.also, "bread")
            await plain.get_workflow_handle("m").result()
        assert ("RunWorkflow:Meal" in watched.named()) is always
        assert "RunActivity:cook" in watched.named()


@pytest.mark.parametrize("cached", [None, 0], ids=["cached", "replayed"])
async def test_values_are_noted_once_however_often_a_run_is_replayed(cached: int | None) -> None:
    watched = Watched()
    async with environment(watched, cached=cached) as client:
        await play(client)
    values = watched.values()
    assert values["meals"] == 1
    assert values["dishes"] == 7
    assert values["served"] == 2
    assert values["cooked"] == 2
    assert values["cooking"] == pytest.approx(3.0)
    assert "asked" not in values


def test_values_that_cannot_be_are_refused() -> None:
    meter = MetricMeter.noop.with_additional_attributes({"shop": "1"})
    counter = meter.create_counter("sold", "what was sold", "1")
    assert (counter.name, counter.description, counter.unit) == ("sold", "what was sold", "1")
    counter.with_additional_attributes({"till": 2}).add(1)
    with pytest.raises(ValueError, match="'sold': expected a value ≥ 0, found -1"):
        counter.add(-1)
