"""Options that several commands share."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from cyclopts import Group, Parameter, validators

from orchestrator.cli.exits import CommandError

if TYPE_CHECKING:
    from orchestrator.client import Client
    from orchestrator.config import Settings

Flag: TypeAlias = Annotated[bool, Parameter(negative="", show_default=False)]
"""An option without a value, off unless given."""
_GROUP = Group("Connection", sort_key=90)
_HEALTH = Group("Health", sort_key=20)
_LOGS = Group("Logs", sort_key=30)


@Parameter(name="*")
@dataclass(frozen=True)
class Connection:
    """Which servers, and which namespace on them."""

    broker: Annotated[
        str | None,
        Parameter(
            group=_GROUP,
            help="RabbitMQ: amqp://USER:PASSWORD@HOST:PORT/VHOST; default: ORCHESTRATOR_BROKER, "
            "then orchestrator.toml, then amqp://guest:guest@127.0.0.1:5672/",
        ),
    ] = None
    store: Annotated[
        str | None,
        Parameter(
            group=_GROUP,
            help="Redis: redis://HOST:PORT/DATABASE; default: ORCHESTRATOR_STORE, then "
            "orchestrator.toml, then redis://127.0.0.1:6379/0",
        ),
    ] = None
    namespace: Annotated[
        str | None,
        Parameter(
            group=_GROUP,
            help="Which set of workflows; default: ORCHESTRATOR_NAMESPACE, then "
            "orchestrator.toml, then default",
        ),
    ] = None
    codec: Annotated[
        str | None,
        Parameter(
            group=_GROUP,
            help="What reads and writes encoded values, as module:attribute: a DataConverter or a "
            "PayloadCodec, looked for in the current folder first; default: values are plain.",
        ),
    ] = None

    def arguments(self) -> Mapping[str, object]:
        """As arguments of `orchestrator.config.load_settings`."""
        return {"broker": self.broker, "store": self.store, "namespace": self.namespace}


@Parameter(name="*")
@dataclass(frozen=True)
class Logs:
    """How a long-running command logs, on standard error."""

    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Parameter(group=_LOGS, help="Least level that is written."),
    ] = "info"
    log_json: Annotated[
        bool | None,
        Parameter(group=_LOGS, help="One JSON object a line; default: unless at a terminal."),
    ] = None

    def configure(self) -> None:
        """Write logs as asked from now on."""
        from orchestrator.telemetry.log import configure

        configure(json=self.log_json, level=self.log_level, whole_process=True)


@Parameter(name="*")
@dataclass(frozen=True)
class HealthPort:
    """Where a long-running command answers health checks."""

    health_port: Annotated[
        int | None,
        Parameter(
            group=_HEALTH,
            validator=validators.Number(gte=0, lte=65_535),
            help="Answer GET /healthz and /readyz on this port; default: "
            "ORCHESTRATOR_HEALTH_PORT, else none.",
        ),
    ] = None
    health_host: Annotated[
        str | None,
        Parameter(
            group=_HEALTH,
            help="Address of the health port; default: ORCHESTRATOR_HEALTH_HOST, else 127.0.0.1.",
        ),
    ] = None


def settings_of(connection: Connection, **more: object) -> Settings:
    """All settings, with what the command line says on top.

    Raises:
        MisconfiguredError: a setting is bad.
    """
    from orchestrator.config import load_settings

    return load_settings({**connection.arguments(), **more})


def check_shared(settings: Settings) -> None:
    """Refuse the embedded engine to commands: what one process holds in its memory no other can
    see, and it goes with the command.

    Raises:
        CommandError: these settings mean it.
    """
    if settings.connection.embedded:
        raise CommandError(
            "memory:// is an engine within one process, which no other command can reach: name a "
            "RabbitMQ and a Redis, or use WorkflowEnvironment in a program of your own"
        )


@asynccontextmanager
async def connected(
    connection: Connection, settings: Mapping[str, object] | None = None
) -> AsyncGenerator[Client]:
    """A client for the time of a command; `settings` are further settings by their names.

    Raises:
        CommandError: there are no servers, or `--codec` names nothing.
        UnavailableError: a server does not answer within 5 s.
        MisconfiguredError: a setting is bad, or a server cannot keep the promises.
    """
    check_shared(settings_of(connection))
    from orchestrator.cli.codecs import load_converter
    from orchestrator.client import Client

    converter = load_converter(connection.codec, folder=Path.cwd())
    client = await Client.connect(
        broker=connection.broker,
        store=connection.store,
        namespace=connection.namespace,
        data_converter=converter,
        settings=settings,
    )
    async with client:
        yield client


def to_timedelta(seconds: float | None) -> timedelta | None:
    """A time as the client takes it."""
    return None if seconds is None else timedelta(seconds=seconds)


def to_constant(choice: str | None) -> str:
    """The name of the enum's member that a choice means; None means the unspecified one."""
    return "UNSPECIFIED" if choice is None else choice.replace("-", "_").upper()
