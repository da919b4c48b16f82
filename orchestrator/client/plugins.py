"""Plugins of a client: they change how it is made. Names are those of Temporal's Python SDK."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from orchestrator.client.interceptors import Interceptor
from orchestrator.converter import DataConverter
from orchestrator.metering import MetricMeter
from orchestrator.wiring import Services


class ClientConfig(TypedDict):
    """What a client is made of: the parameters of `Client`."""

    services: Services
    data_converter: DataConverter
    interceptors: Sequence[Interceptor]
    metric_meter: MetricMeter
    identity: str | None


class Plugin:
    """Changes how a client is made. One that is a plugin of workers too is one of every worker of
    that client."""

    def name(self) -> str:
        """For people."""
        return f"{type(self).__module__}.{type(self).__qualname__}"

    def configure_client(self, config: ClientConfig) -> ClientConfig:
        """The configuration to use; called once for each client, in the order of the plugins."""
        return config


def configured(plugins: Sequence[Plugin], config: ClientConfig) -> ClientConfig:
    """`config` as the plugins want it."""
    for plugin in plugins:
        config = plugin.configure_client(config)
    return config
