"""A private RabbitMQ and a private Redis for one test session, which tests may kill and restart.

Docker is used when it answers, else the servers on the PATH run as child processes: own ports on
127.0.0.1, own directories, own Erlang port mapper. Nothing that ran before is touched, and only
processes started here are ever stopped. Nothing is downloaded save Docker's images.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol

from orchestrator.exceptions import MisconfiguredError, UnavailableError

READY_SECONDS_MAX = 60.0
POLL_SECONDS = 0.05
STOP_SECONDS_MAX = 15.0
_NO_TESTCONTAINERS = "Docker is not used (testcontainers is missing; the extra `test` has it)"
_DEBIAN_RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
REDIS_IMAGE = "redis:7-alpine"
RABBITMQ_IMAGE = "rabbitmq:3.13-alpine"
_REDIS_OPTIONS: tuple[str, ...] = (
    *("--appendonly", "yes", "--appendfsync", "everysec"),
    *("--maxmemory-policy", "noeviction", "--save", ""),
)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Where the servers come from, and the reason in words for the one who reads the test log."""

    kind: Literal["docker", "path", "none"]
    reason: str
    redis_path: str = ""
    rabbitmq_path: str = ""


def choose(
    docker_answers: bool,  # the order is Docker, Redis, RabbitMQ everywhere in this module
    redis_path: str | None,
    rabbitmq_path: str | None,
    *,
    no_docker: str = "Docker does not answer",
) -> Choice:
    """Docker if it answers, else both servers on the PATH, else none. `no_docker` is the reason
    given when it is not taken."""
    if docker_answers:
        return Choice(kind="docker", reason="Docker answers")
    if redis_path and rabbitmq_path:
        return Choice(
            kind="path",
            reason=f"{no_docker}; found {redis_path} and {rabbitmq_path}",
            redis_path=redis_path,
            rabbitmq_path=rabbitmq_path,
        )
    found = {"redis-server": redis_path, "rabbitmq-server": rabbitmq_path}
    missing = " and ".join(name for name, path in found.items() if not path)
    return Choice(
        kind="none",
        reason=f"{no_docker} and {missing} is not installed; start Docker or install "
        "both (Debian: apt-get install redis-server rabbitmq-server)",
    )


def look() -> Choice:
    """What this machine offers, by asking Docker and searching the PATH."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    # Debian's wrapper on the PATH changes to another user when root calls it: take the script.
    debian = str(_DEBIAN_RABBITMQ) if _DEBIAN_RABBITMQ.exists() else None
    can_drive_docker = find_spec("testcontainers") is not None
    return choose(
        can_drive_docker and _docker_answers(),
        shutil.which("redis-server", path=path),
        debian or shutil.which("rabbitmq-server", path=path),
        no_docker="Docker does not answer" if can_drive_docker else _NO_TESTCONTAINERS,
    )


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Settings of one's own for a server, written as for its container.

    `files` says what a container would have at which path, and `conf` which of these the server
    reads first. As a child process it reads copies in which the paths are those of this machine.
    `user` and `password` are who the tests connect as; the Redis user must be allowed to PING.
    """

    conf: str
    files: Mapping[str, Path]
    user: str
    password: str

    def materialise(self, directory: Path) -> Path:
        """Write the copies into `directory`; where the first file is."""
        directory.mkdir(parents=True, exist_ok=True)
        places = {path: directory / f"{number}-{Path(path).name}" for number, path in self._paths()}
        for path, place in places.items():
            text = self.files[path].read_text(encoding="utf-8")
            for other, other_place in places.items():
                text = text.replace(other, str(other_place))
            place.write_text(text, encoding="utf-8")
        return places[self.conf]

    def _paths(self) -> Iterator[tuple[int, str]]:
        # Longest first, so that no path is replaced inside of another one.
        return enumerate(sorted(self.files, key=len, reverse=True))


class Server(Protocol):
    """One server that a test may stop, kill and start again; data survive unless wiped."""

    @property
    def url(self) -> str:
        """Where it listens; the same after a restart and after a wipe."""
        ...

    def start(self) -> None:
        """Start it and return once it answers.

        Raises:
            UnavailableError: it did not answer in time; the text holds the end of its output.
        """
        ...

    def kill(self) -> None:
        """End it as a power cut would; data on disk stay."""
        ...

    def restart(self) -> None:
        """Kill it and start it again on the same data."""
        ...

    def stop(self) -> None:
        """End it politely; harmless when it does not run."""
        ...

    def pids(self) -> tuple[int, ...]:
        """Its processes on this machine; none when it does not run, or runs in Docker."""
        ...

    def run(self, command: Sequence[str]) -> int:
        """The exit code of one of its tools, run beside it as `docker exec` does."""
        ...


class _Process:
    """A server as a child process with a directory and a port of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def kill(self) -> None:
        """Send SIGKILL to the process group started here and wait until it is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Send SIGTERM to the process group started here, SIGKILL when it does not obey."""
        self._end(signal.SIGTERM)

    def pids(self) -> tuple[int, ...]:
        """The process started here while it runs; it leads a group that holds its children."""
        process = self._process
        return (process.pid,) if process and process.poll() is None else ()

    def _spawn(
        self, command: Sequence[str], *, env: Mapping[str, str], ready: Callable[[], bool]
    ) -> None:
        if self.pids():
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        log = self.directory / "output.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=self.directory,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # an interrupt at the terminal is for the tests, not for it
            )
        try:
            wait_ready(ready, alive=lambda: bool(self.pids()), what=command[0])
        except UnavailableError as error:
            self.kill()
            tail = log.read_bytes()[-2000:].decode(errors="replace")
            raise UnavailableError(f"{error}; its last output:\n{tail}") from None

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        # RabbitMQ runs below a script: the whole group ends, and is waited for.
        _signal_group(process.pid, number)
        try:
            process.wait(STOP_SECONDS_MAX)
            _wait_group_gone(process.pid)
        except (subprocess.TimeoutExpired, UnavailableError):
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()
            _wait_group_gone(process.pid)


class Redis(_Process):
    """A redis-server that appends to a file each second and never evicts, or as its setup says."""

    def __init__(self, directory: Path, *, executable: str, setup: Setup | None = None) -> None:
        super().__init__(directory)
        self._executable = executable
        self._setup = setup

    @property
    def url(self) -> str:
        """For clients of Redis, database 0."""
        return f"redis://{_login(self._setup)}127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and return once it answers PING; see `Server.start`."""
        place: tuple[str, ...] = (
            "--bind",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--dir",
            str(self.directory),
        )
        settings = _REDIS_OPTIONS if self._setup is None else ()
        if self._setup is not None:
            place = (str(self._setup.materialise(self.directory / "setup")), *place)
        self._spawn(
            [self._executable, *place, *settings],
            env=os.environ,
            ready=lambda: _answers(self.port, *_ping(self._setup)),
        )

    def restart(self) -> None:
        """Kill it and start it again on the same data."""
        self.kill()
        self.start()

    def run(self, command: Sequence[str]) -> int:
        """Run `redis-cli …` against this server; see `Server.run`."""
        return _exit_code([command[0], "-p", str(self.port), *command[1:]], os.environ)


class RabbitMQ(_Process):
    """A RabbitMQ node without plugins, with its own Erlang port mapper, cookie and data."""

    def __init__(self, directory: Path, *, executable: str, setup: Setup | None = None) -> None:
        super().__init__(directory)
        self._executable = executable
        self._setup = setup
        self._node = f"orchestrator-{uuid.uuid4().hex[:12]}@localhost"
        self._dist_port = free_port()
        self._mapper = _PortMapper(directory / "epmd")

    @property
    def url(self) -> str:
        """For AMQP clients, virtual host `/`."""
        return f"amqp://{_login(self._setup) or 'guest:guest@'}127.0.0.1:{self.port}/"

    @property
    def env(self) -> dict[str, str]:
        """The environment in which the node runs, and in which its tools find it."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("RABBITMQ_")}
        return {
            **inherited,
            **self._mapper.env,
            "HOME": str(self.directory / "home"),
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": str(self.directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.directory / "log"),
            "RABBITMQ_PID_FILE": str(self.directory / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(self.directory / "absent.conf"),
            "RABBITMQ_CONFIG_FILE": str(self.directory / "rabbitmq.conf"),
        }

    def start(self) -> None:
        """Start it and return once it speaks AMQP; see `Server.start`."""
        self._mapper.start()
        (self.directory / "home").mkdir(parents=True, exist_ok=True)
        (self.directory / "enabled_plugins").write_text("[].\n")
        conf = f"listeners.tcp.local = 127.0.0.1:{self.port}\n"
        if self._setup is not None:
            conf += self._setup.materialise(self.directory / "setup").read_text(encoding="utf-8")
        (self.directory / "rabbitmq.conf").write_text(conf, encoding="utf-8")
        # An AMQP header of a version nobody speaks is answered with the right one, by a node that
        # has booted; credentials are not needed to ask.
        self._spawn(
            [self._executable],
            env=self.env,
            ready=lambda: _answers(self.port, b"AMQP\x00\x00\x00\x00", b"AMQP"),
        )

    def restart(self) -> None:
        """Kill it and start it again on the same data."""
        self.kill()
        self.start()

    def run(self, command: Sequence[str]) -> int:
        """Run `rabbitmqctl …` or its like on this node; see `Server.run`."""
        # Debian's wrappers on the PATH change to another user when root calls them.
        beside = Path(self._executable).with_name(command[0])
        program = str(beside) if beside.exists() else command[0]
        return _exit_code([program, *command[1:]], self.env)

    def wipe(self) -> None:
        """Kill it and delete its data: the next start begins without queues and messages."""
        self.kill()
        shutil.rmtree(self.directory / "mnesia", ignore_errors=True)

    def stop(self) -> None:
        """End the node, then its port mapper."""
        super().stop()
        self._mapper.stop()


class _PortMapper(_Process):
    """The epmd of one node: Erlang would otherwise leave a daemon behind."""

    @property
    def env(self) -> dict[str, str]:
        """What makes Erlang use this one."""
        return {"ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_EPMD_PORT": str(self.port)}

    def start(self) -> None:
        """Start it unless it runs."""
        self._spawn(
            [_find_epmd()], env={**os.environ, **self.env}, ready=lambda: _listens(self.port)
        )


class _Container:
    """A server in Docker, by testcontainers."""

    def __init__(
        self,
        make: Callable[[], Any],  # Any: testcontainers has no types
        scheme: str,
        port: int,
        setup: Setup | None = None,
    ) -> None:
        self._make = make
        self._scheme = scheme
        self._port = port
        self._setup = setup
        self._container: Any = None  # Any: testcontainers has no types
        self._host = ""
        # Chosen here and not by Docker: clients find it again after a restart or a wipe.
        self._host_port = free_port()

    @property
    def url(self) -> str:
        """Where Docker publishes the port, from the first start on."""
        return self._scheme.format(host=self._host, port=self._host_port)

    def start(self) -> None:
        """Create it, or start it again on its data; see `Server.start`."""
        if self._container is None:
            container = self._make().with_bind_ports(self._port, self._host_port)
            for path, file in self._setup.files.items() if self._setup else ():
                container.with_volume_mapping(str(file.resolve()), path, "ro")
            self._container = container.start()
            self._host = str(self._container.get_container_host_ip())
        else:
            self._container.get_wrapped_container().start()
        is_redis = self._scheme.startswith("redis")
        probe = _ping(self._setup) if is_redis else (b"AMQP\x00\x00\x00\x00", b"AMQP")

        def ready() -> bool:
            return _answers(self._host_port, *probe, host=self._host)

        wait_ready(ready, alive=lambda: True, what="the container")

    def kill(self) -> None:
        """SIGKILL inside of Docker; the container's data stay."""
        self._container.get_wrapped_container().kill()

    def restart(self) -> None:
        """Kill it and start it again on the same data."""
        self.kill()
        self.start()

    def wipe(self) -> None:
        """Remove the container; the next start makes an empty one."""
        self.stop()

    def stop(self) -> None:
        """Remove the container and its data."""
        if self._container is not None:
            self._container.stop()
            self._container = None

    def pids(self) -> tuple[int, ...]:
        """None: its processes belong to Docker."""
        return ()

    def run(self, command: Sequence[str]) -> int:
        """Run a tool in the container; see `Server.run`."""
        return int(self._container.exec(list(command)).exit_code)


class Servers:
    """Both servers of a session: `with Servers() as servers: servers.redis.url`."""

    def __init__(
        self,
        choice: Choice | None = None,
        *,
        redis: Setup | None = None,
        rabbitmq: Setup | None = None,
    ) -> None:
        """Raises MisconfiguredError when the machine offers none; the text says what to install."""
        self.choice = choice or look()
        if self.choice.kind == "none":
            raise MisconfiguredError(self.choice.reason)
        self._directory = Path(tempfile.mkdtemp(prefix="orchestrator-servers-"))
        self.redis: Redis | _Container
        self.rabbitmq: RabbitMQ | _Container
        if self.choice.kind == "docker":
            place = "{host}:{port}"
            self.redis = _Container(
                lambda: _redis_container(redis), f"redis://{_login(redis)}{place}/0", 6379, redis
            )
            login = _login(rabbitmq) or "guest:guest@"
            self.rabbitmq = _Container(
                _rabbitmq_container, f"amqp://{login}{place}/", 5672, rabbitmq
            )
        else:
            self.redis = Redis(
                self._directory / "redis", executable=self.choice.redis_path, setup=redis
            )
            self.rabbitmq = RabbitMQ(
                self._directory / "rabbitmq", executable=self.choice.rabbitmq_path, setup=rabbitmq
            )

    def __enter__(self) -> Servers:
        try:
            self.redis.start()
            self.rabbitmq.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End both and delete their data."""
        try:
            self.rabbitmq.stop()
        finally:
            self.redis.stop()
            shutil.rmtree(self._directory, ignore_errors=True)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_ready(ready: Callable[[], bool], *, alive: Callable[[], bool], what: str) -> None:
    """Poll `ready` until it is true.

    Raises:
        UnavailableError: `alive` turned false, or 60 seconds passed.
    """
    deadline = time.monotonic() + READY_SECONDS_MAX
    while not ready():
        if not alive():
            raise UnavailableError(f"{what} ended before it answered")
        if time.monotonic() > deadline:
            raise UnavailableError(f"{what} did not answer within {READY_SECONDS_MAX:.0f} s")
        time.sleep(POLL_SECONDS)


def _signal_group(group: int, number: signal.Signals) -> bool:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def _wait_group_gone(group: int) -> None:
    deadline = time.monotonic() + STOP_SECONDS_MAX
    while _group_lives(group):
        if time.monotonic() > deadline:
            raise UnavailableError(f"process group {group} does not end")
        time.sleep(POLL_SECONDS)


def _group_lives(group: int) -> bool:
    """Whether a member still runs; a zombie that nobody collects (containers' init) does not."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    if not Path("/proc/self/stat").exists():
        return True
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, found = stat.read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue  # it ended while we looked
        if int(found) == group and state not in "ZX":
            return True
    return False


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _answers(port: int, question: bytes, start: bytes, *, host: str = "127.0.0.1") -> bool:
    try:
        with socket.create_connection((host, port), timeout=1) as client:
            client.sendall(question)
            return client.recv(len(start)) == start
    except OSError:
        return False


def _login(setup: Setup | None) -> str:
    return "" if setup is None else f"{setup.user}:{setup.password}@"


def _ping(setup: Setup | None) -> tuple[bytes, bytes]:
    """What to ask Redis, and how the answer begins once it is ready."""
    if setup is None:
        return b"PING\r\n", b"+PONG"
    return f"AUTH {setup.user} {setup.password}\r\nPING\r\n".encode(), b"+OK\r\n+PONG"


def _exit_code(command: Sequence[str], env: Mapping[str, str]) -> int:
    return subprocess.run(
        command, env=dict(env), capture_output=True, timeout=READY_SECONDS_MAX, check=False
    ).returncode


def _find_epmd() -> str:
    epmd = shutil.which("epmd")
    if epmd is None:
        raise MisconfiguredError("epmd is not on the PATH; it is a part of Erlang: install erlang")
    return epmd


def _docker_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    try:
        answer = subprocess.run(["docker", "info"], capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0


def _docker_container(image: str, **options: str) -> Any:  # Any: testcontainers has no types
    """Imported by name, because the type checkers of an installation without it must not look."""
    containers: Any = import_module("testcontainers.core.container")  # Any: as above
    return containers.DockerContainer(image, **options)


def _redis_container(setup: Setup | None) -> Any:  # Any: testcontainers has no types
    settings = _REDIS_OPTIONS if setup is None else (setup.conf,)
    container = _docker_container(REDIS_IMAGE)
    return container.with_command(["redis-server", *settings]).with_exposed_ports(6379)


def _rabbitmq_container() -> Any:  # Any: testcontainers has no types
    return _docker_container(RABBITMQ_IMAGE, hostname="rabbit").with_exposed_ports(5672)
