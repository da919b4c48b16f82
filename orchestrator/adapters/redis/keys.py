"""THE place of key names, channel names and row names in Redis.

Every key of a shard carries the tag `{<namespace>:<shard>}`. Where a key names a run, its id stands
behind the workflow id with `%` and `:` escaped, so that no two pairs share a key.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from orchestrator.core.search_attributes import IndexEntry, index_entries
from orchestrator.core.shard import shard_of
from orchestrator.ids import (
    EventId,
    Namespace,
    OperationId,
    ProcessName,
    RunId,
    RunKind,
    ShardId,
    TaskQueue,
    WorkflowId,
    kind_of,
)
from orchestrator.ports.store import DueKind, DueRow
from orchestrator.wire.options import RunStatus
from orchestrator.wire.search_attributes import SearchAttributes

_ATTRIBUTE_VALUE_BYTES = 128
_KINDS = {RunKind.WORKFLOW: "", RunKind.ACTIVITY: "standalone:"}
"""What the names of indexes begin with: workflows and standalone activities are listed apart."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The names of one namespace."""

    namespace: Namespace
    shards: int

    def shard(self, workflow_id: WorkflowId) -> ShardId:
        """The shard of a workflow id."""
        return shard_of(self.namespace, workflow_id, shards=self.shards)

    def of_shard(self, shard: ShardId, what: str) -> str:
        """A key that the whole shard shares."""
        return f"orc:{{{self.namespace}:{shard:02d}}}:{what}"

    def of_run(self, what: str, workflow_id: WorkflowId, run_id: RunId) -> str:
        """A key of one run."""
        return self.of_shard(self.shard(workflow_id), f"{what}:{member(workflow_id, run_id)}")

    def for_script(
        self,
        workflow_id: WorkflowId,
        run_id: RunId,
        next_run_id: RunId | None = None,
        *,
        closed_as: RunStatus = RunStatus.COMPLETED,
    ) -> list[str]:
        """The keys of every script, in the order that their headers name. `closed_as`: the index
        of which status a script that closes, or deletes, is given."""
        shard = self.shard(workflow_id)
        tag, run = self.of_shard(shard, ""), member(workflow_id, run_id)
        kind = kind_of(workflow_id)
        successor = run if next_run_id is None else member(workflow_id, next_run_id)
        return [
            *self.for_shard_script(shard),
            *(f"{tag}{name}:{workflow_id}" for name in ("current", "inbox", "seen")),
            *(f"{tag}{name}:{run}" for name in ("run", "history", "activities")),
            self.index(shard, RunStatus.RUNNING, kind),
            self.index(shard, closed_as, kind),
            f"{tag}run:{successor}",
            f"{tag}history:{successor}",
        ]

    def updates(self, workflow_id: WorkflowId, run_id: RunId) -> str:
        """How far the updates of a run have come; behind the keys of scripts that touch them."""
        return self.of_run("updates", workflow_id, run_id)

    def reply(self, workflow_id: WorkflowId, operation_id: OperationId) -> str:
        """Why an update was not let in, under the operation that brought it."""
        shard = self.shard(workflow_id)
        return self.of_shard(shard, f"reply:{member(workflow_id, RunId(operation_id))}")

    def index(self, shard: ShardId, status: RunStatus, kind: RunKind = RunKind.WORKFLOW) -> str:
        """The runs of one kind and status, scored by their start."""
        name = "open" if status is RunStatus.RUNNING else f"closed:{status.value}"
        return self.of_shard(shard, f"{_KINDS[kind]}{name}")

    def attribute(self, shard: ShardId, entry: IndexEntry, kind: RunKind = RunKind.WORKFLOW) -> str:
        """The runs of one exact value of a search attribute, scored by their start. A long value is
        told by its hash."""
        value = f"={entry.value}"
        if len(value.encode()) > _ATTRIBUTE_VALUE_BYTES:
            value = f"#{sha256(value.encode()).hexdigest()}"
        name = f"{entry.type.value}:{_escaped(entry.name)}:{value}"
        return self.of_shard(shard, f"{_KINDS[kind]}attribute:{name}")

    def attributes(self, workflow_id: WorkflowId, attributes: SearchAttributes) -> list[str]:
        """The indexes in which a run of these search attributes stands."""
        shard = self.shard(workflow_id)
        kind = kind_of(workflow_id)
        return [self.attribute(shard, entry, kind) for entry in index_entries(attributes)]

    def for_shard_script(self, shard: ShardId) -> list[str]:
        """The first keys of every script: clock, wakeups, timers."""
        return [self.of_shard(shard, name) for name in ("clock", "wakeups", "timers")]

    def config(self) -> str:
        """The settings of the namespace."""
        return f"orc:{{{self.namespace}}}:config"

    def members(self) -> str:
        """The processes that share the shards."""
        return f"orc:{{{self.namespace}}}:members"

    def rate(self, task_queue: TaskQueue, limit: str) -> str:
        """Until when the turns of a rate limit are given away."""
        return f"orc:{{{self.namespace}}}:rate:{task_queue}:{limit}"

    def concurrency(self, task_queue: TaskQueue, limit: str) -> list[str]:
        """Who holds a place under a concurrency limit, who waits for one, and what is known."""
        tag = f"orc:{{{self.namespace}}}"
        return [f"{tag}:{what}:{task_queue}:{limit}" for what in ("holders", "waiters", "limit")]

    def presence(self, process: ProcessName) -> str:
        """A process's sign of life."""
        return f"orc:{{{self.namespace}}}:presence:{process}"

    def process_channel(self, process: str = "") -> str:
        """The channel of a process; without a name, what all of them begin with."""
        return f"orc:{{{self.namespace}}}:process:{process}"

    def closes_channel(self, workflow_id: WorkflowId) -> str:
        """Where closes of the workflow id's shard are told."""
        return self.of_shard(self.shard(workflow_id), "closes")

    def key_patterns(self) -> tuple[str, str]:
        """What every key of this namespace matches, and none of another: for access rules."""
        return f"orc:{{{self.namespace}:*", f"orc:{{{self.namespace}}}:*"

    def process_channels(self) -> str:
        """What the channel of every process matches."""
        return self.process_channel("*")

    def closes_channels(self) -> str:
        """What every channel of closes matches."""
        return f"orc:{{{self.namespace}:*}}:closes"


def claim(namespace: Namespace, name: str) -> str:
    """A large value, named by its hash, whose first digits are its tag: they lie everywhere."""
    return f"orc:{{{namespace}:claim-{name[:4]}}}:{name}"


def notice_of_updates(workflow_id: WorkflowId) -> str:
    """What is told where closes are told when updates of a run have come further. A workflow id
    holds no line break, so no close says the same."""
    return f"{workflow_id}\n"


def member(workflow_id: WorkflowId, run_id: RunId) -> str:
    """A run in an index, and the end of its keys."""
    return f"{workflow_id}:{_escaped(run_id)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace(":", "%3A")


def read_member(text: str) -> tuple[WorkflowId, RunId]:
    """The inverse of `member`."""
    workflow_id, _, run_id = text.rpartition(":")
    return WorkflowId(workflow_id), RunId(run_id.replace("%3A", ":").replace("%25", "%"))


def row(kind: DueKind, workflow_id: WorkflowId, run_id: RunId, event_id: int = 0) -> str:
    """A row of `timers`."""
    return f"{kind.value}:{event_id}:{member(workflow_id, run_id)}"


def row_of(due: DueRow) -> str:
    """The row that was read as `due`."""
    return row(due.kind, due.workflow_id, due.run_id, due.event_id)


def read_row(text: str, due_at_ms: int) -> DueRow:
    """The inverse of `row`."""
    kind, event_id, run = text.split(":", 2)
    workflow_id, run_id = read_member(run)
    return DueRow(
        kind=DueKind(kind),
        workflow_id=workflow_id,
        run_id=run_id,
        event_id=EventId(int(event_id)),
        due_at_ms=due_at_ms,
    )
