"""Settings: defaults < TOML file < environment < arguments.

Every value keeps its source until it has been checked, so that an error can name it. The functions
are pure over a mapping of variables and a reader of files; only `load_settings` looks at the
process. What the values mean to a server is decided where adapters are made, not here.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, cast
from urllib.parse import urlsplit

import msgspec

from orchestrator import limits
from orchestrator.exceptions import InvalidNameError, MisconfiguredError
from orchestrator.ids import check_namespace

DEFAULT_BROKER = "amqp://guest:guest@127.0.0.1:5672/"
DEFAULT_STORE = "redis://127.0.0.1:6379/0"
DEFAULT_NAMESPACE = "default"
EMBEDDED = "memory://"
"""As broker and as store: the engine that lives in this process and forgets with it."""
DEFAULT_FILES = (Path("orchestrator.toml"), Path("~/.config/orchestrator/orchestrator.toml"))
"""The first that exists is read, unless ORCHESTRATOR_CONFIG names one."""

QueueType: TypeAlias = Literal["classic", "quorum"]
DurabilityClass: TypeAlias = Literal["standard", "durable", "replicated"]
ReadFile: TypeAlias = Callable[[Path], str | None]
"""Gives the text of a file, or None when there is none."""

_PREFIX = "ORCHESTRATOR_"
_CONFIG_VARIABLE = "ORCHESTRATOR_CONFIG"
_SERVICE_VARIABLE = re.compile(r"ORCHESTRATOR_(?:\w+_)?(?:SERVICE|PORT)(?:_\w+)?")
"""What Kubernetes and Docker set for a service that is called orchestrator."""
_BROKER_SCHEMES = ("amqp", "amqps", "memory")
_STORE_SCHEMES = ("redis", "rediss", "memory")
_PASSWORD = re.compile(r"^([A-Za-z][\w+.-]*://[^:@]*):.*@", re.DOTALL)
_PASSWORD_PARAMETER = re.compile(r"([?&](?:password|passwd|secret|token)=)[^&#]*", re.IGNORECASE)


class ConnectionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which servers, and which namespace on them. The text form hides passwords."""

    broker: str = DEFAULT_BROKER
    store: str = DEFAULT_STORE
    namespace: str = DEFAULT_NAMESPACE

    @property
    def embedded(self) -> bool:
        """Whether broker and store live in this process."""
        return _is_embedded(self.broker)

    def __repr__(self) -> str:
        return (
            f"ConnectionSettings(broker={redact_url(self.broker)!r}, "
            f"store={redact_url(self.store)!r}, namespace={self.namespace!r})"
        )


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How much one worker does at a time."""

    max_concurrent_workflow_tasks: int = limits.WORKFLOW_TASKS_MAX
    max_concurrent_activities: int = limits.ACTIVITIES_MAX
    max_cached_workflows: int = limits.CACHED_WORKFLOWS_MAX


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for a namespace. `shards` and `queue_type` are stored with it, and a process that
    disagrees refuses to start; the others are to be the same for all by agreement."""

    retention_ms: int = limits.RETENTION_MS
    shards: int = limits.SHARDS
    queue_type: QueueType = "classic"
    durability: DurabilityClass = "standard"


class HealthSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where a process answers whether it is well; port 0: nowhere."""

    health_host: str = "127.0.0.1"
    health_port: int = 0


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be set."""

    connection: ConnectionSettings = ConnectionSettings()
    worker: WorkerSettings = WorkerSettings()
    engine: EngineSettings = EngineSettings()
    health: HealthSettings = HealthSettings()


class _Sourced(NamedTuple):
    """A value and the words with which errors name where it came from."""

    value: object
    source: str


_SECTIONS: Mapping[str, type[msgspec.Struct]] = {
    "connection": ConnectionSettings,
    "worker": WorkerSettings,
    "engine": EngineSettings,
    "health": HealthSettings,
}
_SECTION_OF: Mapping[str, str] = {
    name: section for section, kind in _SECTIONS.items() for name in kind.__struct_fields__
}
"""Names are unique over all sections, so variables and arguments need no section."""
_FROM_1 = (1, 2**63, "a whole number ≥ 1")
_RANGES: Mapping[str, tuple[int, int, str]] = {
    "health_port": (0, 65_535, "a port from 1 to 65535, or 0 for none"),
    "max_cached_workflows": (0, 2**63, "a whole number ≥ 0"),
}
"""Least and greatest value, and the words for both, where they are not the usual ones."""


def load_settings(arguments: Mapping[str, object] | None = None) -> Settings:
    """The settings of this process: `resolve_settings` over its environment and files."""
    return resolve_settings(arguments or {}, environment=os.environ, read_file=read_text)


def resolve_settings(
    arguments: Mapping[str, object], *, environment: Mapping[str, str], read_file: ReadFile
) -> Settings:
    """Merge all sources and check the result.

    Args:
        arguments: Names of any section; None means not given.
        environment: ORCHESTRATOR_<NAME>; an empty value means not given.
        read_file: Asked for the file that ORCHESTRATOR_CONFIG names, or for `DEFAULT_FILES`.

    Raises:
        MisconfiguredError: a key is unknown, a value is bad, a named file is missing, or memory is
            mixed with a server; the text names the source, and no password.
    """
    found = _from_file(environment, read_file)
    found |= _from_environment(environment)
    found |= _from_arguments(arguments)
    _check_connection(found)
    sections: dict[str, dict[str, object]] = {section: {} for section in _SECTIONS}
    for name, sourced in found.items():
        sections[_SECTION_OF[name]][name] = _checked(name, sourced)
    return msgspec.convert(sections, type=Settings)


def redact_url(url: str) -> str:
    """`url` with `***` in place of passwords; rather too much is hidden than too little."""
    return _PASSWORD_PARAMETER.sub(r"\1***", _PASSWORD.sub(r"\1:***@", url))


def read_text(path: Path) -> str | None:
    """The text of a file of this machine, or None when there is none.

    Raises:
        MisconfiguredError: it is there and cannot be read.
    """
    try:
        return path.expanduser().read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, RuntimeError) as error:  # RuntimeError: no home directory
        raise MisconfiguredError(f"file {path}: cannot be read: {error}") from error


def _from_file(environment: Mapping[str, str], read_file: ReadFile) -> dict[str, _Sourced]:
    named = environment.get(_CONFIG_VARIABLE)
    for path in (Path(named),) if named else DEFAULT_FILES:
        text = read_file(path)
        if text is not None:
            return _from_toml(text, path)
    if named:
        raise MisconfiguredError(
            f"environment variable {_CONFIG_VARIABLE}: there is no file {named}"
        )
    return {}


def _from_toml(text: str, path: Path) -> dict[str, _Sourced]:
    try:
        document: dict[str, object] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MisconfiguredError(f"file {path}: expected TOML: {error}") from error
    found: dict[str, _Sourced] = {}
    for section, table in document.items():
        kind = _SECTIONS.get(section)
        if kind is None:
            expected = ", ".join(f"[{one}]" for one in _SECTIONS)
            raise MisconfiguredError(
                f"file {path}: expected one of the tables {expected}; found {section!r}"
            )
        if not isinstance(table, dict):
            raise MisconfiguredError(f"file {path}: {section} must be a table: [{section}]")
        for name, value in cast("dict[str, object]", table).items():
            if name not in kind.__struct_fields__:
                expected = ", ".join(kind.__struct_fields__)
                raise MisconfiguredError(
                    f"file {path}: [{section}] takes {expected}; found {name!r}"
                )
            found[name] = _Sourced(value, f"file {path}: [{section}] {name}")
    return found


def _from_environment(environment: Mapping[str, str]) -> dict[str, _Sourced]:
    found: dict[str, _Sourced] = {}
    for variable, text in environment.items():
        if not variable.startswith(_PREFIX) or variable == _CONFIG_VARIABLE or not text:
            continue
        name = variable.removeprefix(_PREFIX).lower()
        if name not in _SECTION_OF:
            if _SERVICE_VARIABLE.fullmatch(variable):
                continue
            expected = ", ".join(_PREFIX + one.upper() for one in _SECTION_OF)
            raise MisconfiguredError(
                f"environment variable {variable} is unknown; expected one of {expected}, "
                f"{_CONFIG_VARIABLE}"
            )
        source = f"environment variable {variable}"
        found[name] = _Sourced(_number_or_text(name, text), source)
    return found


def _from_arguments(arguments: Mapping[str, object]) -> dict[str, _Sourced]:
    found: dict[str, _Sourced] = {}
    for name, value in arguments.items():
        if name not in _SECTION_OF:
            expected = ", ".join(_SECTION_OF)
            raise MisconfiguredError(f"argument {name!r} is unknown; expected one of {expected}")
        if value is not None:
            found[name] = _Sourced(value, f"argument {name}")
    return found


def _number_or_text(name: str, text: str) -> object:
    """A variable's text as the type of its setting; what is no number stays text and is refused
    later, with the others."""
    if _default(name).__class__ is int and re.fullmatch(r"[+-]?[0-9]{1,18}", text.strip()):
        return int(text)
    return text


def _default(name: str) -> object:
    section: object = getattr(Settings(), _SECTION_OF[name])
    return getattr(section, name)


def _checked(name: str, sourced: _Sourced) -> object:
    """The value, when it has the type and range of its setting."""
    value, source = sourced
    if name in ("broker", "store"):
        return value  # checked together, by _check_connection
    default = _default(name)
    if isinstance(default, int):
        least, most, expected = _RANGES.get(name, _FROM_1)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise MisconfiguredError(f"{source}: expected {expected}, found {value!r}")
        return value
    if name == "health_host":
        if not isinstance(value, str) or not value:
            raise MisconfiguredError(f"{source}: expected an address, found {value!r}")
        return value
    if name == "namespace":
        return _checked_namespace(sourced)
    words = _words(name)
    if value not in words:
        raise MisconfiguredError(f"{source}: expected one of {', '.join(words)}; found {value!r}")
    return value


def _words(name: str) -> tuple[str, ...]:
    kinds: dict[str, Any] = {  # Any: a Literal is no type that could be named
        "queue_type": QueueType,
        "durability": DurabilityClass,
    }
    return cast("tuple[str, ...]", kinds[name].__args__)


def _checked_namespace(sourced: _Sourced) -> str:
    if not isinstance(sourced.value, str):
        raise MisconfiguredError(f"{sourced.source}: expected text, found {sourced.value!r}")
    try:
        return check_namespace(sourced.value)
    except InvalidNameError as error:
        raise MisconfiguredError(f"{sourced.source}: {error}") from error


def _check_connection(found: Mapping[str, _Sourced]) -> None:
    broker = found.get("broker", _Sourced(DEFAULT_BROKER, "default of broker"))
    store = found.get("store", _Sourced(DEFAULT_STORE, "default of store"))
    broker_url = _checked_url(broker, _BROKER_SCHEMES)
    store_url = _checked_url(store, _STORE_SCHEMES)
    if _is_embedded(broker_url) != _is_embedded(store_url):
        raise MisconfiguredError(
            f"memory and a server cannot be mixed: broker is {redact_url(broker_url)} "
            f"({broker.source}), store is {redact_url(store_url)} ({store.source}); "
            f"set both to {EMBEDDED}, or neither"
        )


def _checked_url(sourced: _Sourced, schemes: tuple[str, ...]) -> str:
    url, source = sourced
    if not isinstance(url, str):
        raise MisconfiguredError(f"{source}: expected a URL, found a {type(url).__name__}")
    expected = " or ".join(f"{scheme}://" for scheme in schemes)
    problem = ""
    try:
        parts = urlsplit(url)
        known = parts.scheme in schemes and url.startswith(f"{parts.scheme}://")
        if not known:
            problem = f"expected a URL that begins with {expected}"
        elif parts.scheme == "memory":
            problem = "" if url == EMBEDDED else f"expected {EMBEDDED} and nothing more"
        elif not parts.hostname:
            problem = "expected a host"
        else:
            _ = parts.port  # raises for a port that is no number
    except ValueError:
        # The parser's own text may quote the part that holds the password.
        problem = "expected a well-formed URL; special characters of a password are written %XX"
    if problem:
        raise MisconfiguredError(f"{source}: {problem}, found {redact_url(url)!r}")
    return url


def _is_embedded(url: str) -> bool:
    return url == EMBEDDED
