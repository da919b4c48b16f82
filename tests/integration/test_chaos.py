"""500 orders through one accident after another: every order ends, and every account adds up."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from orchestrator.cli.demo.orders import place_orders
from orchestrator.cli.demo.play import chaos
from orchestrator.cli.demo.scene import real_scene
from orchestrator.cli.demo.show import Show
from orchestrator.testing.servers import Servers
from tests.house.source import ROOT

pytestmark = [pytest.mark.servers, pytest.mark.slow]


async def test_killed_workers_and_servers_and_a_wiped_broker_lose_nothing(
    servers: Servers,
) -> None:
    told = io.StringIO()
    own = Servers(servers.choice)  # the session's servers are for tests that do not break them
    async with real_scene(own, ROOT) as scene:
        checks = await chaos(scene, Show(Console(file=told)), place_orders(500))

    violations = [violation for check in checks for violation in check.violations]
    assert violations == [], told.getvalue()
    assert checks[0].measured.startswith("500 orders: ")
    for accident in ("a worker", "Redis", "RabbitMQ,", "RabbitMQ, and its data are deleted"):
        assert f"kill -9 of {accident}" in told.getvalue()
    assert told.getvalue().count("all 125 orders have ended") == 4
