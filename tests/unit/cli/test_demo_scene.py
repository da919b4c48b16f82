"""What a demo has begun ends with it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from orchestrator.cli.demo import scene


async def test_a_task_that_forgets_a_cancellation_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scene, "_CANCEL_AGAIN_SECONDS", 0.001)
    begun = asyncio.Event()

    async def publish() -> None:
        begun.set()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await asyncio.sleep(60)

    publishing = asyncio.create_task(publish())
    await begun.wait()
    async with asyncio.timeout(30):
        await scene.end(publishing)
    assert publishing.cancelled()
