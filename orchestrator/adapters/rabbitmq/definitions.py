"""The definitions file that RabbitMQ imports at its start: what exists, and who may do what.

Made from the same names and plans as everything else, so that a server which was set up by the file
and a process which declares by itself agree. Users have what their role needs and nothing else:

    topology   declares everything; `orchestrator topology declare`
    worker     workflow and activity workers, with the duties of the engine; own sticky queues
    engine     the duties alone
    client     clients that reach Redis too: requests, wake-ups, questions and their answers
    starter    programs of any language that have RabbitMQ only: requests and their answers

None of them is an administrator, and importing users keeps RabbitMQ from making its `guest`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from orchestrator.adapters.rabbitmq import names, topology
from orchestrator.adapters.rabbitmq.topology import QueuePlan, QueueType
from orchestrator.exceptions import MisconfiguredError
from orchestrator.ids import Namespace, TaskQueue
from orchestrator.ports.broker import (
    ActivityQueue,
    Queue,
    RequestsQueue,
    StickyQueue,
    WorkflowQueue,
)

VHOST = "/"
NOTHING = "^$"
DEFAULT_EXCHANGE = "amq.default"
"""What permissions call the exchange without a name; answers to a `reply_to` go through it."""
_ANY = TaskQueue("")


class Role(msgspec.Struct, frozen=True, kw_only=True):
    """A user and the three patterns of names that RabbitMQ checks."""

    user: str
    configure: str
    write: str
    read: str


def roles(namespace: Namespace) -> Sequence[Role]:
    """Everybody who may do something in `namespace`."""
    tasks, requests = names.tasks_exchange(namespace), names.requests_exchange(namespace)
    requests_queue = names.queue_name(namespace, RequestsQueue())
    completions = names.completions_queue(namespace)
    duties_write = _only(tasks, names.dead_exchange(namespace), DEFAULT_EXCHANGE)
    sticky = _prefix(namespace, StickyQueue("", _ANY))
    work = [_prefix(namespace, queue) for queue in (WorkflowQueue(_ANY), ActivityQueue(_ANY))]
    everything = _everything(namespace)
    return [
        Role(user="topology", configure=everything, write=everything, read=everything),
        Role(
            user="worker",
            configure=sticky,
            # Binding a sticky queue writes to it and reads the exchange.
            write=_either(sticky, duties_write),
            read=_either(sticky, *work, _only(tasks, requests_queue, completions)),
        ),
        Role(
            user="engine",
            configure=NOTHING,
            write=duties_write,
            read=_only(requests_queue, completions),
        ),
        Role(user="client", configure=NOTHING, write=_only(tasks, requests), read=NOTHING),
        Role(user="starter", configure=NOTHING, write=_only(requests), read=NOTHING),
    ]


def definitions(
    namespace: Namespace,
    task_queues: Iterable[TaskQueue],
    queue_type: QueueType,
    *,
    passwords: Mapping[str, str],
) -> dict[str, object]:
    """The content of a definitions file for the default virtual host.

    Raises:
        MisconfiguredError: a role has no password in `passwords`.
    """
    users = roles(namespace)
    missing = [role.user for role in users if not passwords.get(role.user)]
    if missing:
        raise MisconfiguredError(f"RabbitMQ's users need a password each; missing: {missing}")
    return {
        "vhosts": [{"name": VHOST}],
        "users": [
            {
                "name": role.user,
                "password_hash": password_hash(role.user, passwords[role.user]),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": [],
            }
            for role in users
        ],
        "permissions": [
            {
                "user": role.user,
                "vhost": VHOST,
                "configure": role.configure,
                "write": role.write,
                "read": role.read,
            }
            for role in users
        ],
        **declarations(namespace, task_queues, queue_type),
    }


def declarations(
    namespace: Namespace, task_queues: Iterable[TaskQueue], queue_type: QueueType
) -> dict[str, list[dict[str, object]]]:
    """Exchanges, queues and bindings: of the namespace, and of its `task_queues`."""
    queues = list(topology.shared_queues(namespace, queue_type))
    for task_queue in task_queues:
        for queue in (WorkflowQueue(task_queue), ActivityQueue(task_queue)):
            queues.append(topology.queue_plan(namespace, queue, queue_type))
    common: dict[str, object] = {"vhost": VHOST, "durable": True, "auto_delete": False}
    return {
        "exchanges": [
            {
                **common,
                "name": exchange.name,
                "type": exchange.type,
                "internal": False,
                "arguments": exchange.arguments,
            }
            for exchange in topology.exchanges(namespace)
        ],
        "queues": [{**common, "name": plan.name, "arguments": plan.arguments} for plan in queues],
        "bindings": [_binding(plan, key) for plan in queues for key in plan.keys],
    }


def as_file(content: Mapping[str, object]) -> str:
    """The text of a definitions file, for people too."""
    return json.dumps(content, indent=2) + "\n"


def password_hash(user: str, password: str) -> str:
    """RabbitMQ's salted SHA-256. The salt comes from both, so that a file is made anew the same."""
    salt = hashlib.sha256(f"{user}:{password}".encode()).digest()[:4]
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _binding(plan: QueuePlan, key: str) -> dict[str, object]:
    return {
        "vhost": VHOST,
        "source": plan.exchange,
        "destination": plan.name,
        "destination_type": "queue",
        "routing_key": key,
        "arguments": {},
    }


def _prefix(namespace: Namespace, queue: Queue) -> str:
    """The pattern of all queues of a kind; `queue` has the empty name."""
    return f"^{re.escape(names.queue_name(namespace, queue))}.+$"


def _everything(namespace: Namespace) -> str:
    """The pattern of all exchanges and queues; none of a namespace that begins as this one does."""
    queues = (WorkflowQueue(_ANY), ActivityQueue(_ANY), StickyQueue("", _ANY))
    single = [
        *(exchange.name for exchange in topology.exchanges(namespace)),
        *(plan.name for plan in topology.shared_queues(namespace, QueueType.CLASSIC)),
        names.bench_queue(namespace),
    ]
    return _either(*(_prefix(namespace, queue) for queue in queues), _only(*dict.fromkeys(single)))


def _only(*texts: str) -> str:
    return f"^({'|'.join(re.escape(text) for text in texts)})$"


def _either(*patterns: str) -> str:
    return "|".join(patterns)
