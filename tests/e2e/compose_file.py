"""compose.yaml as Docker reads it: variables put in, anchors merged, files where it says."""

from __future__ import annotations

import re
import runpy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import yaml

from orchestrator.testing.servers import Setup

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose"
_VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")
_SECONDS = {"s": 1, "m": 60}


class Service:
    """One service of the file."""

    def __init__(self, name: str, content: Mapping[str, Any]) -> None:  # Any: YAML
        self.name = name
        self.content = content

    @property
    def command(self) -> list[str]:
        """What it runs."""
        return _words(self.content["command"])

    @property
    def healthcheck(self) -> list[str]:
        """The command that says whether it is healthy."""
        test = _words(self.content["healthcheck"]["test"])
        assert test[0] == "CMD", "only the exec form needs no shell in the image"
        return test[1:]

    @property
    def environment(self) -> dict[str, str]:
        """Its variables."""
        return dict(self.content["environment"])

    @property
    def files(self) -> dict[str, Path]:
        """Container path → file of ours, for what is mounted from this repository."""
        parts = [str(volume).split(":") for volume in self.content.get("volumes", ())]
        return {part[1]: (COMPOSE / part[0]).resolve() for part in parts if part[0].startswith(".")}

    def seconds(self, *path: str) -> int:
        """A duration below `path`, such as `30s`."""
        value: Any = self.content  # Any: YAML
        for name in path:
            value = value[name]
        number, unit = re.fullmatch(r"(\d+)([sm])", str(value)).groups()  # type: ignore[union-attr]  # a fault of the file fails the test
        return int(number) * _SECONDS[unit]


def read(environment: Mapping[str, str] | None = None) -> dict[str, Service]:
    """All services, with the variables of `environment` or their defaults."""
    given = environment or {}
    text = (COMPOSE / "compose.yaml").read_text(encoding="utf-8")
    whole = yaml.safe_load(_VARIABLE.sub(lambda m: given.get(m[1], m[2]), text))
    return {name: Service(name, content) for name, content in whole["services"].items()}


def setup(service: Service, conf: str, *, user: str) -> Setup:
    """The settings of a server as the file mounts them; tests connect as `user`."""
    return Setup(conf=conf, files=service.files, user=user, password=f"{user}-development")


def generated(environment: Mapping[str, str] | None = None) -> dict[Path, str]:
    """What compose/generate.py would write."""
    generate = runpy.run_path(str(COMPOSE / "generate.py"))["generate"]
    return cast("dict[Path, str]", generate(environment or {}))


def _words(value: object) -> list[str]:
    assert isinstance(value, Sequence)
    assert not isinstance(value, str), "only the exec form needs no shell in the image"
    return [str(word) for word in value]
