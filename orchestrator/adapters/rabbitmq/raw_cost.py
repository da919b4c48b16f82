"""What a message costs with nothing around it: the measure that `orchestrator bench` puts beside
the cost of a workflow. Plain aio-pika: publish persistent, confirm, deliver, ack."""

from __future__ import annotations

import asyncio

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from orchestrator.adapters.rabbitmq import names
from orchestrator.ids import Namespace

_BODY = b'{"type":"workflow_task","namespace":"default","workflow_id":"bench-0123456789"}' * 3


async def pass_messages(url: str, namespace: Namespace, *, count: int, in_flight: int) -> None:
    """Publish and take `count` messages, `in_flight` at a time, through a queue that then goes."""
    queue_name = names.bench_queue(namespace)
    connection = await aio_pika.connect(url)
    consuming = await aio_pika.connect(url)
    async with connection, consuming:
        channel = await connection.channel()
        taking = await consuming.channel()
        await taking.set_qos(prefetch_count=max(1, in_flight))
        queue = await taking.declare_queue(queue_name, durable=True)
        left, taken, done = iter(range(count)), 0, asyncio.Event()

        async def take(message: AbstractIncomingMessage) -> None:
            nonlocal taken
            await message.ack()
            taken += 1
            if taken >= count:
                done.set()

        async def publish() -> None:
            for _ in left:
                message = aio_pika.Message(_BODY, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
                await channel.default_exchange.publish(message, routing_key=queue_name)

        try:
            await queue.consume(take)
            await asyncio.gather(*(publish() for _ in range(in_flight)))
            await done.wait()
        finally:
            await queue.delete(if_unused=False, if_empty=False)
