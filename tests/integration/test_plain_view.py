"""Our view of a stream is redis-cli's, byte for byte."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess

import pytest
from redis.asyncio import Redis

from orchestrator.adapters.redis.plain_view import xrange_lines

pytestmark = pytest.mark.servers


async def test_a_stream_is_shown_as_redis_cli_shows_it(
    redis_url: str, random_namespace: str
) -> None:
    program = shutil.which("redis-cli")
    if program is None:
        if os.environ.get("CI") == "true" and shutil.which("redis-server"):
            pytest.fail("redis-server without redis-cli")
        pytest.skip("redis-cli is not installed")
    key = f"orc:{{{random_namespace}:00}}:history:order-1:r"
    async with Redis.from_url(redis_url) as client:
        for number in range(1, 12):
            fields = {
                "type": "TimerFired",
                "data": '{"text":"für \\\\ \\n"}',
                "raw": b"\x00\xff\t\a",
            }
            await client.xadd(key, fields, id=f"{number}-0")
    command = [program, "-u", redis_url, "--no-raw", "XRANGE", key, "-", "+"]
    shown = await asyncio.to_thread(subprocess.check_output, command, text=True, timeout=20)

    assert await xrange_lines(redis_url, key) == shown.splitlines()
    assert await xrange_lines(redis_url, f"{key}:absent") == ["(empty array)"]
