"""Interceptors that write down what passes them, and workflows for them to stand around."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, NoReturn

from orchestrator import activity, client, worker, workflow
from orchestrator.common import RawValue, RetryPolicy
from orchestrator.converter import default

QUEUE = "watched"
MINUTE = timedelta(minutes=1)
ONCE = RetryPolicy(maximum_attempts=1)
_to_payload = default().payload_converter.to_payload


class Watching(client.Interceptor, worker.Interceptor):
    """One link of each chain. `seen` is shared: replays do not count twice if asked so."""

    def __init__(self, name: str, seen: list[str]) -> None:
        self.name = name
        self.seen = seen

    def intercept_client(self, next: client.OutboundInterceptor) -> client.OutboundInterceptor:
        return _Client(next, self)

    def intercept_activity(
        self, next: worker.ActivityInboundInterceptor
    ) -> worker.ActivityInboundInterceptor:
        return _Activity(next, self)

    def workflow_interceptor_class(
        self, input: worker.WorkflowInterceptorClassInput
    ) -> type[worker.WorkflowInboundInterceptor]:
        return type(f"_Workflow{self.name}", (_Workflow,), {"owner": self})

    def note(self, what: str) -> None:
        self.seen.append(f"{self.name} {what}")


class _Client(client.OutboundInterceptor):
    def __init__(self, next: client.OutboundInterceptor, owner: Watching) -> None:
        super().__init__(next)
        self.owner = owner

    async def start_workflow(self, input: client.StartWorkflowInput) -> Any:
        self.owner.note(f"start {input.workflow} {input.id} on {input.task_queue}")
        input.headers = {**input.headers, self.owner.name: _to_payload("start")}
        return await super().start_workflow(input)

    async def signal_workflow(self, input: client.SignalWorkflowInput) -> None:
        self.owner.note(f"signal {input.signal} {list(input.args)}")
        await super().signal_workflow(input)

    async def query_workflow(self, input: client.QueryWorkflowInput) -> Any:
        answer = await super().query_workflow(input)
        self.owner.note(f"query {input.query} {answer}")
        return answer

    async def start_workflow_update(self, input: client.StartWorkflowUpdateInput) -> Any:
        self.owner.note(f"update {input.update} {list(input.args)}")
        return await super().start_workflow_update(input)

    async def start_update_with_start_workflow(
        self, input: client.StartUpdateWithStartInput
    ) -> Any:
        self.owner.note(f"update {input.update.update} with start {input.start.id}")
        return await super().start_update_with_start_workflow(input)

    async def cancel_workflow(self, input: client.CancelWorkflowInput) -> None:
        self.owner.note(f"cancel {input.id}")
        await super().cancel_workflow(input)

    async def terminate_workflow(self, input: client.TerminateWorkflowInput) -> None:
        self.owner.note(f"terminate {input.id} {list(input.args)}")
        await super().terminate_workflow(input)

    async def describe_workflow(
        self, input: client.DescribeWorkflowInput
    ) -> client.WorkflowExecutionDescription:
        self.owner.note(f"describe {input.id}")
        return await super().describe_workflow(input)


class _Activity(worker.ActivityInboundInterceptor):
    def __init__(self, next: worker.ActivityInboundInterceptor, owner: Watching) -> None:
        super().__init__(next)
        self.owner = owner

    def init(self, outbound: worker.ActivityOutboundInterceptor) -> None:
        super().init(_ActivityOutbound(outbound, self.owner))

    async def execute_activity(self, input: worker.ExecuteActivityInput) -> Any:
        headers = ",".join(sorted(input.headers))
        self.owner.note(f"activity {list(input.args)} {headers}")
        try:
            result = await super().execute_activity(input)
        except BaseException as error:
            self.owner.note(f"activity raised {type(error).__name__}")
            raise
        return f"{result}!" if isinstance(result, str) else result


class _ActivityOutbound(worker.ActivityOutboundInterceptor):
    def __init__(self, next: worker.ActivityOutboundInterceptor, owner: Watching) -> None:
        super().__init__(next)
        self.owner = owner

    def heartbeat(self, *details: Any) -> None:
        self.owner.note(f"heartbeat {list(details)}")
        super().heartbeat(*details, self.owner.name)

    def info(self) -> activity.Info:
        self.owner.note("activity info")
        return super().info()


class _Workflow(worker.WorkflowInboundInterceptor):
    owner: Watching

    def note(self, what: str) -> None:
        if not workflow.unsafe.is_replaying_history_events():
            self.owner.note(what)

    def init(self, outbound: worker.WorkflowOutboundInterceptor) -> None:
        super().init(_WorkflowOutbound(outbound, self))

    async def execute_workflow(self, input: worker.ExecuteWorkflowInput) -> Any:
        self.note(f"run {input.type.__name__} {list(input.args)} {','.join(sorted(input.headers))}")
        return await super().execute_workflow(input)

    async def handle_signal(self, input: worker.HandleSignalInput) -> None:
        self.note(f"handle signal {input.signal} {_plain(input.args)}")
        await super().handle_signal(input)

    async def handle_query(self, input: worker.HandleQueryInput) -> Any:
        self.note(f"handle query {input.query} {_plain(input.args)}")
        return await super().handle_query(input)

    def handle_update_validator(self, input: worker.HandleUpdateInput) -> None:
        self.note(f"validate {input.update} {_plain(input.args)}")
        super().handle_update_validator(input)

    async def handle_update_handler(self, input: worker.HandleUpdateInput) -> Any:
        self.note(f"handle update {input.update} {_plain(input.args)}")
        return await super().handle_update_handler(input)


class _WorkflowOutbound(worker.WorkflowOutboundInterceptor):
    def __init__(self, next: worker.WorkflowOutboundInterceptor, inbound: _Workflow) -> None:
        super().__init__(next)
        self.inbound = inbound

    def start_activity(self, input: worker.StartActivityInput) -> workflow.ActivityHandle[Any]:
        self.inbound.note(f"ask for {input.activity} {list(input.args)}")
        input.headers = {**input.headers, self.inbound.owner.name: _to_payload("activity")}
        return super().start_activity(input)

    def start_local_activity(
        self, input: worker.StartLocalActivityInput
    ) -> workflow.ActivityHandle[Any]:
        self.inbound.note(f"local {input.activity} {list(input.args)}")
        input.headers = {**input.headers, self.inbound.owner.name: _to_payload("local")}
        return super().start_local_activity(input)

    async def start_child_workflow(self, input: worker.StartChildWorkflowInput) -> Any:
        self.inbound.note(f"child {input.workflow} {input.id} {list(input.args)}")
        input.headers = {**input.headers, self.inbound.owner.name: _to_payload("child")}
        return await super().start_child_workflow(input)

    async def signal_child_workflow(self, input: worker.SignalChildWorkflowInput) -> None:
        self.inbound.note(f"signal child {input.workflow_id} {input.signal} {list(input.args)}")
        await super().signal_child_workflow(input)

    async def signal_external_workflow(self, input: worker.SignalExternalWorkflowInput) -> None:
        self.inbound.note(f"signal other {input.workflow_id} {input.signal} {list(input.args)}")
        await super().signal_external_workflow(input)

    def continue_as_new(self, input: worker.ContinueAsNewInput) -> NoReturn:
        self.inbound.note(f"continue with {list(input.args)}")
        input.headers = {**input.headers, "continued": _to_payload(True)}
        super().continue_as_new(input)

    def info(self) -> workflow.Info:
        self.inbound.note("info")
        return super().info()


def _plain(args: Any) -> list[Any]:
    return [one.payload.content() if isinstance(one, RawValue) else one for one in args]


class WaitingInQueries(worker.Interceptor):
    """Makes the mistake of its name."""

    def workflow_interceptor_class(
        self, input: worker.WorkflowInterceptorClassInput
    ) -> type[worker.WorkflowInboundInterceptor]:
        return _Waits


class _Waits(worker.WorkflowInboundInterceptor):
    async def handle_query(self, input: worker.HandleQueryInput) -> Any:
        await _Never()
        return await super().handle_query(input)


class _Never:
    def __await__(self) -> Any:
        yield None


@activity.defn
async def greet(name: str) -> str:
    """Beats, and greets."""
    activity.heartbeat("alive")
    return f"{activity.info().activity_type} {name}"


@activity.defn
def greet_in_a_thread(name: str) -> str:
    """The same, sync."""
    activity.heartbeat("alive")
    if name == "nobody":
        raise LookupError(name)
    return f"thread {name}"


@activity.defn
def leave(name: str) -> str:
    """Is completed from outside."""
    activity.raise_complete_async()


@workflow.defn
class Talk:
    """Calls and is called in every way."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    @workflow.run
    async def run(self, name: str, which: str = "greet") -> list[str]:
        """One activity; then what was heard."""
        answer: str = await workflow.execute_activity(
            which, name, result_type=str, start_to_close_timeout=MINUTE, retry_policy=ONCE
        )
        await workflow.wait_condition(lambda: bool(self.heard))
        return [answer, *self.heard]

    @workflow.signal
    def say(self, word: str) -> None:
        """A word."""
        self.heard.append(word)

    @workflow.signal(dynamic=True)
    def anything(self, name: str, args: list[RawValue]) -> None:
        """Any other."""
        self.heard.append(name)

    @workflow.query
    def count(self, at_least: int) -> int:
        """How many words."""
        return max(at_least, len(self.heard))

    @workflow.update
    def ask(self, word: str) -> str:
        """A word, and an answer."""
        self.heard.append(word)
        return f"{word}?"

    @ask.validator
    def no_silence(self, word: str) -> None:
        """There must be a word."""
        if not word:
            raise ValueError("silence")


@workflow.defn
class Parent:
    """Speaks with a child, and with another workflow."""

    @workflow.run
    async def run(self, other: str) -> list[str]:
        """What the child answered."""
        local = await workflow.execute_local_activity(greet, "local", start_to_close_timeout=MINUTE)
        child = await workflow.start_child_workflow(Talk.run, args=["child", "greet"], id="child")
        await child.signal(Talk.say, "hello child")
        await workflow.get_external_workflow_handle_for(Talk.run, other).signal(Talk.say, "hello")
        return [local, *await child]


@workflow.defn
class Hop:
    """Continues once."""

    @workflow.run
    async def run(self, hops: int) -> list[str]:
        """The headers of the last run."""
        if hops:
            workflow.continue_as_new(hops - 1)
        return sorted(workflow.info().headers)


WORKFLOWS = [Talk, Hop, Parent]
ACTIVITIES: list[Callable[..., Any]] = [greet, greet_in_a_thread, leave]
