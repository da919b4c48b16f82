"""The parts of a worker that take tasks, made from the services of its process."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.converter import DataConverter
from orchestrator.core.concurrency import ActivityConcurrency
from orchestrator.core.rates import ActivityRates
from orchestrator.core.shard import shard_of
from orchestrator.definition.registry import Registry
from orchestrator.ids import ProcessName, WorkflowId
from orchestrator.wiring import Services
from orchestrator.worker.activity_border import ActivityBorder
from orchestrator.worker.activity_tasks import ActivityTasks
from orchestrator.worker.admission import Admission
from orchestrator.worker.attempt import Execute
from orchestrator.worker.context import Expect
from orchestrator.worker.execution import ActivityExecution
from orchestrator.worker.isolation import Isolation
from orchestrator.worker.rates import Rates
from orchestrator.worker.run_cache import RunCache
from orchestrator.worker.user_code import CodeOptions, Guard
from orchestrator.worker.workflow_tasks import WorkflowTasks


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What bounds attempts beside the slots: `own_rate` is this worker's, the rest the queue's."""

    rates: ActivityRates
    concurrency: ActivityConcurrency
    own_rate: float | None

    @property
    def are_any(self) -> bool:
        """Whether an attempt may have to wait at all."""
        return self.rates.are_any or self.concurrency.are_any or self.own_rate is not None


@dataclass(frozen=True)
class Parts:
    """Makes them; `expect` is told of what is due soon."""

    services: Services
    process: ProcessName
    registry: Registry
    expect: Expect

    def workflow_tasks(
        self,
        *,
        values: DataConverter,
        cache: RunCache,
        sticky: str | None,
        identity: str,
        build_id: str,
        slots: int,
        guard: Guard,
        code: CodeOptions,
        local_execution: ActivityExecution,
        local_slots: int,
    ) -> WorkflowTasks:
        """What takes wake-ups and queries."""
        services = self.services
        return WorkflowTasks(
            services.store,
            services.broker,
            services.dispatcher,
            services.clock,
            namespace=services.namespace,
            identity=identity,
            build_id=build_id,
            registry=self.registry,
            values=values,
            cache=cache,
            sticky=sticky,
            expect=self.expect,
            mint=services.mint,
            slots=slots,
            guard=guard,
            isolate=Isolation(
                services.store,
                services.clock,
                namespace=services.namespace,
                registry=self.registry,
                data_converter=values,
                interceptors=code.interceptors,
            ),
            counters=services.counters,
            code=code,
            local_execution=local_execution,
            local_slots=local_slots,
        )

    def activity_tasks(
        self,
        execution: ActivityExecution,
        values: DataConverter,
        *,
        slots: int,
        bounds: Bounds,
    ) -> ActivityTasks:
        """What takes activity tasks. `execution` works without the codec of `values`."""
        services = self.services
        execute: Execute = execution.execute
        if values.has_codec:
            execute = ActivityBorder(execute, values).execute
        return ActivityTasks(
            services.store,
            services.broker,
            services.dispatcher,
            services.clock,
            namespace=services.namespace,
            process=self.process,
            execute=execute,
            expect=self.expect,
            mint=services.mint,
            slots=slots,
            admission=self._admission(bounds) if bounds.are_any else None,
            counters=services.counters,
        )

    def _admission(self, bounds: Bounds) -> Admission:
        services = self.services
        store, clock = services.store, services.clock

        def on_due(workflow_id: WorkflowId) -> None:
            shard = shard_of(services.namespace, workflow_id, shards=store.shards)
            self.expect(shard, clock.now_ms())

        return Admission(
            store,
            clock,
            mint=services.mint,
            concurrency=bounds.concurrency,
            rates=Rates(
                store,
                clock,
                mint=services.mint,
                shared=bounds.rates,
                own_per_second=bounds.own_rate,
            ),
            on_due=on_due,
        )
