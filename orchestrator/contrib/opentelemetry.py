"""Traces and metrics through OpenTelemetry: one trace over clients, workflows and activities.

Needs the extra `opentelemetry`; which SDK and exporter stand behind the API is the application's
choice. Give `TracingInterceptor` to the client: its workers have it too then. A workflow may wait
for months, so its spans are points: made and ended when something happens, never on replay, and
children of what caused them (the caller, the sender of a signal), as it stands in the headers. So
a replay in another process goes on with the same parents.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from opentelemetry import metrics, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context, attach, get_current
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes

from orchestrator import activity, client, worker, workflow
from orchestrator.common import MetricAttributes, MetricExporter, MetricMeter
from orchestrator.converter import DefaultPayloadConverter, Payload
from orchestrator.exceptions import ConversionError

__all__ = ["TracingInterceptor", "create_metric_meter"]

_HEADER = "_tracer-data"
Headers = Mapping[str, Payload]


class TracingInterceptor(client.Interceptor, worker.Interceptor):
    """Makes spans of calls and passes their context on in headers."""

    def __init__(
        self, tracer: trace.Tracer | None = None, *, always_create_workflow_spans: bool = False
    ) -> None:
        """Use `tracer`; by default that of the global provider.

        Args:
            tracer: Makes the spans.
            always_create_workflow_spans: Also for workflows that nobody traced has started: each
                span begins a trace of its own then.
        """
        self._tracer = tracer or trace.get_tracer("orchestrator")
        self._always = always_create_workflow_spans
        self._propagator = CompositePropagator(
            [TraceContextTextMapPropagator(), W3CBaggagePropagator()]
        )
        self._converter = DefaultPayloadConverter()

    def intercept_client(self, next: client.OutboundInterceptor) -> client.OutboundInterceptor:
        """What the client sends."""
        return _Client(next, self)

    def intercept_activity(
        self, next: worker.ActivityInboundInterceptor
    ) -> worker.ActivityInboundInterceptor:
        """What activities are called with."""
        return _Activity(next, self)

    def workflow_interceptor_class(
        self, input: worker.WorkflowInterceptorClassInput
    ) -> type[worker.WorkflowInboundInterceptor]:
        """What workflow code is called with."""
        return type("TracingWorkflow", (_Workflow,), {"owner": self})

    def inject(self, headers: Headers, context: Context | None = None) -> Headers:
        """The headers with a context in them, by default the current one."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, context)
        if not carrier:
            return headers
        return {**headers, _HEADER: self._converter.to_payload(carrier)}

    def extract(self, headers: Headers) -> Context | None:
        """The context in headers; None: there is none that can be read."""
        payload = headers.get(_HEADER)
        if payload is None:
            return None
        try:
            carrier = self._converter.from_payload(payload, dict[str, str])
        except ConversionError:
            return None  # Somebody else's; a call must not fail for its trace.
        return self._propagator.extract(carrier)

    @contextmanager
    def span(
        self,
        name: str,
        kind: SpanKind,
        attributes: Attributes,
        context: Context | None = None,
    ) -> Generator[None, None, None]:
        """A span around a call outside of workflow code."""
        with self._tracer.start_as_current_span(
            name, context=context, kind=kind, attributes=attributes
        ):
            yield

    def point(
        self,
        name: str,
        context: Context,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        error: BaseException | None = None,
    ) -> Context:
        """A span of workflow code, begun and ended now; the context that it makes. On replay, and
        where nothing is traced, `context` itself."""
        if workflow.unsafe.is_replaying_history_events():
            return context
        traced = trace.get_current_span(context).get_span_context().is_valid
        if not traced and not self._always:
            return context
        info, now_ns = workflow.info(), workflow.time_ns()
        with workflow.unsafe.sandbox_unrestricted():
            span = self._tracer.start_span(
                name,
                context=context,
                kind=kind,
                attributes=_of_run(info.workflow_id, info.run_id),
                start_time=now_ns,
            )
            if error is not None:
                span.record_exception(error)
                span.set_status(Status(StatusCode.ERROR, str(error)))
            span.end(end_time=now_ns)
        return trace.set_span_in_context(span, context)


class _Client(client.OutboundInterceptor):
    def __init__(self, next: client.OutboundInterceptor, owner: TracingInterceptor) -> None:
        super().__init__(next)
        self._owner = owner

    async def start_workflow(self, input: client.StartWorkflowInput) -> Any:  # Any: a handle
        signal = input.options.get("start_signal")
        verb = "SignalWithStartWorkflow" if signal else "StartWorkflow"
        with self._span(f"{verb}:{input.workflow}", input.id):
            input.headers = self._owner.inject(input.headers)
            return await super().start_workflow(input)

    async def signal_workflow(self, input: client.SignalWorkflowInput) -> None:
        with self._span(f"SignalWorkflow:{input.signal}", input.id):
            input.headers = self._owner.inject(input.headers)
            await super().signal_workflow(input)

    async def query_workflow(self, input: client.QueryWorkflowInput) -> Any:  # Any: the answer
        with self._span(f"QueryWorkflow:{input.query}", input.id):
            input.headers = self._owner.inject(input.headers)
            return await super().query_workflow(input)

    async def start_workflow_update(
        self, input: client.StartWorkflowUpdateInput
    ) -> Any:  # Any: a handle
        with self._span(f"StartWorkflowUpdate:{input.update}", input.id):
            input.headers = self._owner.inject(input.headers)
            return await super().start_workflow_update(input)

    async def start_update_with_start_workflow(
        self, input: client.StartUpdateWithStartInput
    ) -> Any:  # Any: a handle
        with self._span(f"StartUpdateWithStartWorkflow:{input.start.workflow}", input.start.id):
            input.start.headers = self._owner.inject(input.start.headers)
            input.update.headers = self._owner.inject(input.update.headers)
            return await super().start_update_with_start_workflow(input)

    async def start_activity(
        self, input: client.StartActivityInput
    ) -> Any:  # Any: an ActivityHandle
        attributes = {"orchestrator.activity_id": input.id}
        with self._owner.span(f"StartActivity:{input.activity}", SpanKind.CLIENT, attributes):
            input.headers = self._owner.inject(input.headers)
            return await super().start_activity(input)

    def _span(self, name: str, workflow_id: str) -> Any:  # Any: a context manager
        return self._owner.span(name, SpanKind.CLIENT, {"orchestrator.workflow_id": workflow_id})


class _Activity(worker.ActivityInboundInterceptor):
    def __init__(self, next: worker.ActivityInboundInterceptor, owner: TracingInterceptor) -> None:
        super().__init__(next)
        self._owner = owner

    async def execute_activity(self, input: worker.ExecuteActivityInput) -> Any:  # Any: its result
        info = activity.info()
        attributes = {
            **_of_run(info.workflow_id or "", info.workflow_run_id or info.activity_run_id or ""),
            "orchestrator.activity_id": info.activity_id,
            "orchestrator.attempt": info.attempt,
        }
        context = self._owner.extract(input.headers)
        name = f"RunActivity:{info.activity_type}"
        with self._owner.span(name, SpanKind.SERVER, attributes, context):
            return await super().execute_activity(input)


class _Workflow(worker.WorkflowInboundInterceptor):
    owner: TracingInterceptor

    def init(self, outbound: worker.WorkflowOutboundInterceptor) -> None:
        super().init(_WorkflowOutbound(outbound, self.owner))

    async def execute_workflow(self, input: worker.ExecuteWorkflowInput) -> Any:  # Any: its result
        context, name = self._enter(input.headers), workflow.info().workflow_type
        self.owner.point(f"RunWorkflow:{name}", context, kind=SpanKind.SERVER)
        try:
            result = await super().execute_workflow(input)
        except Exception as error:  # whatever it is, it is noted and goes on its way
            self.owner.point(f"CompleteWorkflow:{name}", context, error=error)
            raise
        self.owner.point(f"CompleteWorkflow:{name}", context)
        return result

    async def handle_signal(self, input: worker.HandleSignalInput) -> None:
        self.owner.point(
            f"HandleSignal:{input.signal}", self._enter(input.headers), kind=SpanKind.SERVER
        )
        await super().handle_signal(input)

    async def handle_query(self, input: worker.HandleQueryInput) -> Any:  # Any: its answer
        context = self.owner.extract(input.headers) or Context()
        self.owner.point(f"HandleQuery:{input.query}", context, kind=SpanKind.SERVER)
        return await super().handle_query(input)

    def handle_update_validator(self, input: worker.HandleUpdateInput) -> None:
        context = self.owner.extract(input.headers) or Context()
        self.owner.point(f"ValidateUpdate:{input.update}", context, kind=SpanKind.SERVER)
        super().handle_update_validator(input)

    async def handle_update_handler(self, input: worker.HandleUpdateInput) -> Any:  # Any: result
        self.owner.point(
            f"HandleUpdate:{input.update}", self._enter(input.headers), kind=SpanKind.SERVER
        )
        return await super().handle_update_handler(input)

    def _enter(self, headers: Headers) -> Context:
        """Make the caller's context that of this task. It ends with the task: nothing detaches it,
        for a coroutine may be unwound in another context than it was run in."""
        context = self.owner.extract(headers) or Context()
        attach(context)
        return context


class _WorkflowOutbound(worker.WorkflowOutboundInterceptor):
    def __init__(self, next: worker.WorkflowOutboundInterceptor, owner: TracingInterceptor) -> None:
        super().__init__(next)
        self._owner = owner

    def start_activity(
        self, input: worker.StartActivityInput
    ) -> workflow.ActivityHandle[Any]:  # Any: its result
        input.headers = self._noted(f"StartActivity:{input.activity}", input.headers)
        return super().start_activity(input)

    def start_local_activity(
        self, input: worker.StartLocalActivityInput
    ) -> workflow.ActivityHandle[Any]:  # Any: its result
        input.headers = self._noted(f"StartActivity:{input.activity}", input.headers)
        return super().start_local_activity(input)

    async def start_child_workflow(
        self, input: worker.StartChildWorkflowInput
    ) -> Any:  # Any: a handle
        input.headers = self._noted(f"StartChildWorkflow:{input.workflow}", input.headers)
        return await super().start_child_workflow(input)

    async def signal_child_workflow(self, input: worker.SignalChildWorkflowInput) -> None:
        input.headers = self._noted(f"SignalChildWorkflow:{input.signal}", input.headers)
        await super().signal_child_workflow(input)

    async def signal_external_workflow(self, input: worker.SignalExternalWorkflowInput) -> None:
        input.headers = self._noted(f"SignalExternalWorkflow:{input.signal}", input.headers)
        await super().signal_external_workflow(input)

    def continue_as_new(self, input: worker.ContinueAsNewInput) -> NoReturn:
        input.headers = self._owner.inject(input.headers)
        super().continue_as_new(input)

    def _noted(self, name: str, headers: Headers) -> Headers:
        context = self._owner.point(name, get_current(), kind=SpanKind.CLIENT)
        return self._owner.inject(headers, context)


def _of_run(workflow_id: str, run_id: str) -> dict[str, str | int]:
    run: dict[str, str | int] = {"orchestrator.run_id": run_id}
    return {"orchestrator.workflow_id": workflow_id, **run} if workflow_id else run


def create_metric_meter(meter: metrics.Meter | None = None) -> MetricMeter:
    """A meter for `Client.connect(metric_meter=…)` that exports through OpenTelemetry; by default
    through the global provider."""
    return MetricMeter(_Exporter(meter or metrics.get_meter("orchestrator")))


class _Exporter(MetricExporter):
    """Each name makes one instrument, however often workflow code asks for it."""

    def __init__(self, meter: metrics.Meter) -> None:
        self._meter = meter
        self._made: dict[tuple[str, str], Callable[[Any, MetricAttributes], None]] = {}

    def counter(
        self, name: str, description: str | None, unit: str | None
    ) -> Callable[[int, MetricAttributes], None]:
        make = self._meter.create_counter
        return self._once("counter", name, lambda: make(name, unit or "", description or "").add)

    def histogram(
        self, name: str, description: str | None, unit: str | None
    ) -> Callable[[float, MetricAttributes], None]:
        make = self._meter.create_histogram
        return self._once(
            "histogram", name, lambda: make(name, unit or "", description or "").record
        )

    def gauge(
        self, name: str, description: str | None, unit: str | None
    ) -> Callable[[float, MetricAttributes], None]:
        make = self._meter.create_gauge
        return self._once("gauge", name, lambda: make(name, unit or "", description or "").set)

    def _once(
        self, kind: str, name: str, make: Callable[[], Callable[..., None]]
    ) -> Callable[[Any, MetricAttributes], None]:  # Any: whole numbers or others
        if (kind, name) not in self._made:
            record = make()
            self._made[kind, name] = lambda value, attributes: record(value, dict(attributes))
        return self._made[kind, name]
