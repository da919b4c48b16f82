"""Which servers a session takes, and that it starts and ends only its own."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path

import pytest

from orchestrator.exceptions import UnavailableError
from orchestrator.testing import servers
from orchestrator.testing.servers import Redis, Setup, choose, wait_ready


def test_docker_is_preferred_when_it_answers() -> None:
    assert choose(True, "/bin/redis-server", "/bin/rabbitmq-server").kind == "docker"


def test_servers_on_the_path_are_taken_when_docker_does_not_answer() -> None:
    choice = choose(False, "/bin/redis-server", "/bin/rabbitmq-server")
    assert (choice.kind, choice.redis_path) == ("path", "/bin/redis-server")
    assert "/bin/rabbitmq-server" in choice.reason


@pytest.mark.parametrize(
    ("redis", "rabbitmq", "missing"),
    [
        (None, "/bin/rabbitmq-server", "redis-server is not"),
        ("/bin/redis-server", None, "rabbitmq-server is not"),
        (None, None, "redis-server and rabbitmq-server is not"),
    ],
)
def test_the_reason_names_what_is_missing(
    redis: str | None, rabbitmq: str | None, missing: str
) -> None:
    choice = choose(False, redis, rabbitmq)
    assert choice.kind == "none"
    assert missing in choice.reason


def test_a_server_that_ends_is_not_waited_for() -> None:
    with pytest.raises(UnavailableError, match="ended before it answered"):
        wait_ready(lambda: False, alive=lambda: False, what="a server")


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="last output"):
        Redis(tmp_path, executable="/bin/false").start()


def test_a_setup_names_the_paths_of_this_machine_in_its_copies(tmp_path: Path) -> None:
    conf, users = tmp_path / "given.conf", tmp_path / "given.acl"
    conf.write_text("aclfile /etc/redis/users.acl\ninclude /etc/redis/users\n")
    users.write_text("user me on")
    short = tmp_path / "short"
    short.write_text("")
    setup = Setup(
        conf="/etc/redis/redis.conf",
        files={
            "/etc/redis/users": short,
            "/etc/redis/redis.conf": conf,
            "/etc/redis/users.acl": users,
        },
        user="me",
        password="secret",
    )
    lines = setup.materialise(tmp_path / "copies").read_text().splitlines()
    [acl, include] = [Path(line.split()[1]) for line in lines]
    assert acl.read_text() == "user me on"
    assert include.read_text() == ""
    assert "/etc/" not in "".join(lines)
    assert conf.read_text().startswith("aclfile /etc/redis/users.acl"), "the given file stays"


class _Docker:
    """Docker as far as one container needs it: something that answers PING on the port bound."""

    def __init__(self) -> None:
        self.bound: list[tuple[int, int]] = []
        self._listener: socket.socket | None = None

    def with_bind_ports(self, container: int, host: int) -> _Docker:
        self.bound.append((container, host))
        return self

    def start(self) -> _Docker:
        self._listener = socket.create_server(("127.0.0.1", self.bound[-1][1]))
        threading.Thread(target=self._answer, args=(self._listener,), daemon=True).start()
        return self

    def kill(self) -> None:
        assert self._listener is not None
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    stop = kill

    def get_wrapped_container(self) -> _Docker:
        return self

    def get_container_host_ip(self) -> str:
        return "127.0.0.1"

    def _answer(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                with client:
                    client.recv(6)
                    client.sendall(b"+PONG\r\n")


def test_a_server_in_docker_is_found_at_the_same_place_after_a_restart_and_a_wipe() -> None:
    docker = _Docker()
    server = servers._Container(lambda: docker, "redis://{host}:{port}/0", 6379)

    server.start()
    url = server.url
    server.restart()
    assert server.url == url
    server.wipe()
    server.start()
    server.stop()

    assert server.url == url == f"redis://127.0.0.1:{docker.bound[0][1]}/0"
    assert docker.bound == [docker.bound[0]] * 2


def test_the_reason_says_why_docker_is_not_taken() -> None:
    choice = choose(False, "/bin/redis-server", "/bin/rabbitmq-server", no_docker="no Docker here")

    assert choice.reason == "no Docker here; found /bin/redis-server and /bin/rabbitmq-server"
