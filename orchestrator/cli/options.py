"""Options that several commands share."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

if TYPE_CHECKING:
    from orchestrator.client import Client
    from orchestrator.config import Settings

_GROUP = Group("Connection", sort_key=90)


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

    def arguments(self) -> Mapping[str, object]:
        """As arguments of `orchestrator.config.load_settings`."""
        return {"broker": self.broker, "store": self.store, "namespace": self.namespace}


def settings_of(connection: Connection, **more: object) -> Settings:
    """All settings, with what the command line says on top.

    Raises:
        MisconfiguredError: a setting is bad.
    """
    from orchestrator.config import load_settings

    return load_settings({**connection.arguments(), **more})


@asynccontextmanager
async def connected(connection: Connection) -> AsyncGenerator[Client]:
    """A client for the time of a command.

    Raises:
        UnavailableError: a server does not answer within 5 s.
        MisconfiguredError: a setting is bad, or a server cannot keep the promises.
    """
    from orchestrator.client import Client

    client = await Client.connect(
        broker=connection.broker, store=connection.store, namespace=connection.namespace
    )
    async with client:
        yield client
