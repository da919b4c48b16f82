from __future__ import annotations

import re

import pytest

from orchestrator.adapters.rabbitmq import definitions, names, topology
from orchestrator.adapters.rabbitmq.topology import QueueType
from orchestrator.ids import BEHIND_NAMESPACES, TaskQueue, check_namespace, check_task_queue
from orchestrator.ports.broker import (
    ActivityQueue,
    DeadQueue,
    Queue,
    RequestsQueue,
    StickyQueue,
    WorkflowQueue,
)

SHOP = check_namespace("shop")
ORDERS = TaskQueue("orders")


@pytest.mark.parametrize(
    ("queue", "name"),
    [
        (WorkflowQueue(ORDERS), "orc.shop.workflow.orders"),
        (ActivityQueue(ORDERS), "orc.shop.activity.orders"),
        (StickyQueue("host-1-a", ORDERS), "orc.shop.sticky.host-1-a"),
        (RequestsQueue(), "orc.shop.requests"),
        (DeadQueue(), "orc.shop.dead"),
    ],
)
def test_queues_have_the_names_that_programs_rely_on(queue: Queue, name: str) -> None:
    assert names.queue_name(SHOP, queue) == name


def test_the_longest_names_fit_into_amqp_and_stay_apart() -> None:
    namespace = check_namespace("n" * 64)
    long = [check_task_queue("ü" * 99 + end) for end in ("a", "b")]
    queues = [WorkflowQueue(task_queue) for task_queue in long]
    found = {names.queue_name(namespace, queue) for queue in queues}
    assert len(found) == 2
    assert all(len(name.encode()) <= 255 for name in found)
    assert all(len(names.routing_key(queue).encode()) <= 255 for queue in queues)


def test_a_start_is_requested_under_the_key_start() -> None:
    plan = topology.queue_plan(SHOP, RequestsQueue(), QueueType.CLASSIC)
    assert plan.exchange == "orc.shop.requests"
    assert "start" in plan.keys


def test_a_sticky_queue_leads_to_its_shared_queue() -> None:
    sticky = topology.queue_plan(SHOP, StickyQueue("host-1-a", ORDERS), QueueType.QUORUM)
    shared = topology.queue_plan(SHOP, WorkflowQueue(ORDERS), QueueType.QUORUM)
    assert sticky.arguments == {
        "x-queue-type": "classic",
        "x-message-ttl": 500,
        "x-expires": 60_000,
        "x-dead-letter-exchange": shared.exchange,
        "x-dead-letter-routing-key": shared.keys[0],
    }


def test_a_quorum_queue_drops_nothing_silently_at_its_delivery_limit() -> None:
    plan = topology.queue_plan(SHOP, ActivityQueue(ORDERS), QueueType.QUORUM)
    assert plan.arguments["x-delivery-limit"] == topology.DELIVERY_LIMIT
    assert plan.arguments["x-dead-letter-exchange"] == "orc.shop.dead"


def test_looking_at_dead_letters_of_a_quorum_queue_does_not_use_them_up() -> None:
    plan = topology.queue_plan(SHOP, DeadQueue(), QueueType.QUORUM)
    assert plan.arguments["x-delivery-limit"] == topology.DEAD_DELIVERY_LIMIT
    assert topology.queue_plan(SHOP, DeadQueue(), QueueType.CLASSIC).arguments == {
        "x-queue-type": "classic"
    }


def test_a_classic_queue_drops_what_expires() -> None:
    plan = topology.queue_plan(SHOP, WorkflowQueue(ORDERS), QueueType.CLASSIC)
    assert plan.arguments == {"x-queue-type": "classic"}


def test_definitions_hold_every_queue_with_a_binding_from_an_exchange_of_theirs() -> None:
    found = definitions.declarations(SHOP, [ORDERS], QueueType.CLASSIC)
    exchanges = {exchange["name"] for exchange in found["exchanges"]}
    bound = {binding["destination"] for binding in found["bindings"]}
    assert {queue["name"] for queue in found["queues"]} == bound
    assert {binding["source"] for binding in found["bindings"]} <= exchanges
    assert bound == {
        "orc.shop.workflow.orders",
        "orc.shop.activity.orders",
        "orc.shop.requests",
        "orc.shop.completions",
        "orc.shop.dead",
    }


def test_a_role_of_one_namespace_has_no_right_in_one_of_a_similar_name() -> None:
    for role in definitions.roles(check_namespace("a.b")):
        for pattern in (role.configure, role.write, role.read):
            for name in ("orc.a.b.tasks", "orc.axb.tasks", "orc.a.bc.tasks", "xorc.a.b.tasks"):
                if re.search(pattern, name):
                    assert name == "orc.a.b.tasks"


def test_no_name_of_one_namespace_is_one_of_another() -> None:
    found = definitions.declarations(SHOP, [ORDERS], QueueType.CLASSIC)
    sticky = {"name": names.queue_name(SHOP, StickyQueue("w", ORDERS))}
    bench = {"name": names.bench_queue(SHOP)}
    for made in (*found["exchanges"], *found["queues"], sticky, bench):
        kind = str(made["name"]).removeprefix("orc.shop.").split(".")[0]
        assert kind in BEHIND_NAMESPACES


def test_who_declares_one_namespace_has_no_right_in_one_that_begins_as_it_does() -> None:
    [topology] = [role for role in definitions.roles(SHOP) if role.user == "topology"]
    other = check_namespace("shop.north")
    found = definitions.declarations(other, [ORDERS], QueueType.CLASSIC)
    for made in (*found["exchanges"], *found["queues"]):
        name = str(made["name"])
        assert not any(
            re.search(right, name) for right in (topology.configure, topology.write, topology.read)
        )


def test_a_worker_may_make_its_own_queue_however_long_its_name_is() -> None:
    [worker] = [role for role in definitions.roles(SHOP) if role.user == "worker"]
    name = names.queue_name(SHOP, StickyQueue("h" * 300, ORDERS))
    assert all(re.search(right, name) for right in (worker.configure, worker.write, worker.read))
