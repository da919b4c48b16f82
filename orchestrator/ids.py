"""Typed identities and the rules a name from outside must keep.

An id is a string with a type of its own, so that a run id cannot be passed where a workflow id is
meant. Names that users choose become parts of Redis keys, queue names and log lines; what could
break one of these is refused here with the reason, before anything is written.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NewType

from orchestrator.exceptions import InvalidNameError
from orchestrator.limits import NAME_BYTES_MAX, NAMESPACE_CHARS_MAX, TASK_QUEUE_BYTES_MAX

Namespace = NewType("Namespace", str)
WorkflowId = NewType("WorkflowId", str)
RunId = NewType("RunId", str)
"""A run's id is the request id of the start that made it: the run is the memory of that request."""
TaskQueue = NewType("TaskQueue", str)
EventId = NewType("EventId", int)
"""Position in a history, from 1, without gaps."""
ActivityId = NewType("ActivityId", str)
"""Names an activity inside its run: the user's choice, or its number in program order."""
TimerId = NewType("TimerId", str)
UpdateId = NewType("UpdateId", str)
OperationId = NewType("OperationId", str)
"""Names one client operation, so that a repeat is recognised."""
CommitToken = NewType("CommitToken", str)
"""Random; written by each commit and named by the next."""
AttemptToken = NewType("AttemptToken", str)
"""Random; written when an attempt begins and named by its heartbeats and its end."""
ActivityKey = NewType("ActivityKey", str)
"""Random; minted when an activity is scheduled, so that a task of a lost time-line fits nothing."""
Mark = NewType("Mark", str)
"""Random; tells an inbox entry from another one that got the same number after a fail-over."""
ProcessName = NewType("ProcessName", str)
"""`<host>-<pid>-<random>`: one incarnation of one process."""
ShardId = NewType("ShardId", int)


class RunKind(Enum):
    """What a run is. Both kinds have ids of their own, and are listed apart."""

    WORKFLOW = "workflow"
    ACTIVITY = "activity"
    """One activity without a workflow."""


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_HALVES = re.compile(r"[\ud800-\udfff]")
_NAMESPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TASK_QUEUE = re.compile(r"[^\s#*]+")
_STANDALONE = "{activity}"
"""Before the id of an activity without a workflow. No id that a user chooses holds braces; a hash
tag of Redis Cluster is what stands in the first braces of a key, which are the shard's."""
BEHIND_NAMESPACES = frozenset(
    {
        "activity",
        "bench",
        "completions",
        "dead",
        "events",
        "requests",
        "sticky",
        "tasks",
        "workflow",
    }
)
"""What comes behind a namespace in names of queues and exchanges. A namespace `a.workflow` would
share queues with the namespace `a`, so these words may follow no dot."""


def check_namespace(value: str) -> Namespace:
    """Return `value` as a namespace: letters, digits, `.`, `_`, `-`; at most 64 characters.

    Raises:
        InvalidNameError: it is anything else, or could be mistaken for a queue of another one.
    """
    if len(value) > NAMESPACE_CHARS_MAX or not _NAMESPACE.fullmatch(value):
        raise InvalidNameError(
            "namespace", value, f"1 to {NAMESPACE_CHARS_MAX} letters, digits, '.', '_' or '-'"
        )
    reserved = BEHIND_NAMESPACES.intersection(value.split(".")[1:])
    if reserved:
        raise InvalidNameError(
            "namespace", value, f"no {sorted(reserved)[0]!r} behind a '.', which names queues"
        )
    return Namespace(value)


def check_workflow_id(value: str) -> WorkflowId:
    """Return `value` as a workflow id.

    Raises:
        InvalidNameError: it is empty, over 1,000 bytes, or holds braces or control characters.
    """
    return WorkflowId(check_name("workflow id", value))


def standalone_workflow_id(activity_id: str) -> WorkflowId:
    """The id under which a standalone activity is stored, which no workflow can have.

    Raises:
        InvalidNameError: `activity_id` is empty, over 1,000 bytes, or holds braces or control
            characters.
    """
    return WorkflowId(_STANDALONE + check_name("activity id", activity_id))


def standalone_activity_id(workflow_id: str) -> ActivityId:
    """The activity id that `standalone_workflow_id` was given."""
    return ActivityId(workflow_id.removeprefix(_STANDALONE))


def kind_of(workflow_id: str) -> RunKind:
    """What the runs of this id are."""
    return RunKind.ACTIVITY if workflow_id.startswith(_STANDALONE) else RunKind.WORKFLOW


def check_run_id(value: str) -> RunId:
    """Return `value` as a run id (or request id); the same rules as for a workflow id."""
    return RunId(check_name("run id", value))


def check_task_queue(value: str) -> TaskQueue:
    """Return `value` as a task queue: it becomes a part of queue names and routing keys.

    Raises:
        InvalidNameError: it is empty, over 200 bytes, or holds white space, braces, `#` or `*`.
    """
    name = check_name("task queue", value)
    if len(name.encode()) > TASK_QUEUE_BYTES_MAX or not _TASK_QUEUE.fullmatch(name):
        raise InvalidNameError(
            "task queue", value, f"1 to {TASK_QUEUE_BYTES_MAX} bytes without spaces, '#' or '*'"
        )
    return TaskQueue(name)


def check_name(kind: str, value: str) -> str:
    """Return `value` when it may be a name of `kind` (an id, a type, a signal's or query's name).

    Braces are refused because Redis Cluster reads them in a key; control characters because names
    stand in logs and terminals.

    Raises:
        InvalidNameError: it is empty, over 1,000 bytes, or holds braces or control characters.
    """
    if not isinstance(value, str) or not value:
        raise InvalidNameError(kind, value, "a text that is not empty")
    if _CONTROL.search(value):
        raise InvalidNameError(kind, value, "no control characters")
    if "{" in value or "}" in value:
        raise InvalidNameError(kind, value, "no braces")
    if len(value.encode()) > NAME_BYTES_MAX:
        raise InvalidNameError(kind, value, f"at most {NAME_BYTES_MAX} bytes")
    return value


def check_text(kind: str, value: str, *, bytes_max: int) -> str:
    """Return `value` when it can be stored as a text for people.

    Raises:
        InvalidNameError: it is over `bytes_max`, or holds half of a surrogate pair.
    """
    if not isinstance(value, str) or _HALVES.search(value):
        raise InvalidNameError(kind, value, "a text without halves of surrogate pairs")
    if len(value.encode()) > bytes_max:
        raise InvalidNameError(kind, value, f"at most {bytes_max} bytes")
    return value
