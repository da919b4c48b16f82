"""The servers of a test session end by their pids and come back where they were."""

from __future__ import annotations

import os

import pytest

from orchestrator.testing.servers import Servers


@pytest.mark.servers
def test_killed_servers_come_back_at_the_same_place(servers: Servers) -> None:
    for server in (servers.redis, servers.rabbitmq):
        before, url = server.pids(), server.url
        server.restart()
        if servers.choice.kind == "path":
            assert server.url == url
            assert server.pids() != before
            for pid in before:
                with pytest.raises(ProcessLookupError):
                    os.kill(pid, 0)
