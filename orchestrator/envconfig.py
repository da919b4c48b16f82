"""How a client connects, from a file and the environment: the public face of `config`.

client = await Client.connect(**ClientConfig.load_client_connect_config())

There are no profiles, no TLS section and no strict mode to turn on: a file holds one set of
settings and is always read strictly. Headers of calls and API keys have no meaning for RabbitMQ
and Redis.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from orchestrator.config import read_text, resolve_settings

__all__ = ["ClientConfig", "ClientConnectConfig"]


class ClientConnectConfig(TypedDict):
    """Keyword arguments of a connection."""

    broker: str
    store: str
    namespace: str


class ClientConfig:
    """Reads what a client needs; made of no instance, as in Temporal."""

    @staticmethod
    def load_client_connect_config(
        *,
        config_file: str | None = None,
        disable_file: bool = False,
        disable_env: bool = False,
        override_env_vars: Mapping[str, str] | None = None,
    ) -> ClientConnectConfig:
        """Broker, store and namespace: defaults < file < environment.

        Args:
            config_file: Read in place of the file that the environment names, or the usual ones.
            disable_file: Read no file.
            disable_env: Look at no variable, ORCHESTRATOR_CONFIG included.
            override_env_vars: Used in place of the process's environment.

        Raises:
            MisconfiguredError: as `config.resolve_settings`.
        """
        environment: dict[str, str] = {}
        if not disable_env:
            given = os.environ if override_env_vars is None else override_env_vars
            environment.update(given)
        if disable_file:
            environment.pop("ORCHESTRATOR_CONFIG", None)
        elif config_file is not None:
            environment["ORCHESTRATOR_CONFIG"] = config_file

        def no_file(path: Path) -> str | None:
            return None

        reader = no_file if disable_file else read_text
        settings = resolve_settings({}, environment=environment, read_file=reader)
        connection = settings.connection
        return ClientConnectConfig(
            broker=connection.broker, store=connection.store, namespace=connection.namespace
        )
