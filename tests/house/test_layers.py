"""Imports go down only: layers, strangers, cycles, and which package may use which library."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.house.source import Module, modules

_LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"ids", "units", "limits", "metering", "common", "exceptions", ""}),
    frozenset({"wire"}),
    frozenset({"core", "converter", "definition"}),
    frozenset({"replay"}),
    frozenset({"workflow", "activity"}),
    frozenset({"config", "envconfig", "telemetry", "ports"}),
    frozenset({"adapters.rabbitmq", "adapters.redis", "adapters.memory", "adapters"}),
    frozenset({"wiring", "relay"}),
    frozenset({"client", "engine", "service"}),
    frozenset({"worker"}),
    frozenset({"cli", "web", "testing", "plugin", "contrib", "__main__"}),
)
_STRANGERS = (
    frozenset({"core", "converter", "definition"}),
    frozenset({"adapters.rabbitmq", "adapters.redis", "adapters.memory"}),
    frozenset({"client", "engine"}),
)
_LIBRARIES: dict[str, frozenset[str]] = {
    "wire": frozenset({"msgspec"}),
    "core": frozenset({"msgspec"}),
    "replay": frozenset({"msgspec"}),
    "adapters.redis": frozenset({"redis", "hiredis", "msgspec"}),
    "adapters.rabbitmq": frozenset({"aio_pika", "aiormq", "pamqp", "yarl", "msgspec"}),
    "adapters.memory": frozenset({"msgspec"}),
}
_ONLY_IN: dict[str, frozenset[str]] = {
    "structlog": frozenset({"telemetry"}),
    "redis": frozenset({"adapters.redis"}),
    "hiredis": frozenset({"adapters.redis"}),
    "aio_pika": frozenset({"adapters.rabbitmq"}),
    "aiormq": frozenset({"adapters.rabbitmq"}),
    "pamqp": frozenset({"adapters.rabbitmq"}),
}
_PURE = frozenset({"core", "replay"})
_IMPURE_MODULES = frozenset({"time", "os", "socket", "threading"})
_IMPURE_NAMES = frozenset(
    {"datetime.now", "datetime.utcnow", "uuid.uuid4", "uuid4", "asyncio.run", "asyncio.sleep"}
)


def _rank(package: str) -> int:
    return next(rank for rank, layer in enumerate(_LAYERS) if package in layer)


def _library_imports(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("module", modules(), ids=str)
def test_every_module_has_a_layer(module: Module) -> None:
    assert any(module.package in layer for layer in _LAYERS), f"{module} is in no layer"


@pytest.mark.parametrize("module", modules(), ids=str)
def test_imports_go_down_only(module: Module) -> None:
    wrong = [
        target.name
        for target in module.imports()
        if target.package != module.package and _rank(target.package) > _rank(module.package)
    ]
    assert not wrong, f"{module} imports from above: {wrong}"


@pytest.mark.parametrize("module", modules(), ids=str)
def test_strangers_do_not_import_each_other(module: Module) -> None:
    wrong = [
        target.name
        for target in module.imports()
        for group in _STRANGERS
        if {module.package, target.package} <= group and target.package != module.package
    ]
    assert not wrong, f"{module} imports a stranger: {wrong}"


def test_no_circle_of_imports() -> None:
    graph = {m.name: {t.name for t in m.imports()} - {m.name} for m in modules()}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " → ".join((*path[path.index(name) :], name))
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("module", modules(), ids=str)
def test_libraries_stay_in_their_package(module: Module) -> None:
    allowed = _LIBRARIES.get(module.package)
    for library in set(_library_imports(module)):
        owners = _ONLY_IN.get(library)
        assert owners is None or module.package in owners, f"{module} imports {library}"
        if allowed is not None and not module.is_standard_or_own(library):
            assert library in allowed, f"{module} imports {library}"


@pytest.mark.parametrize("module", modules(), ids=str)
def test_the_kernel_names_no_clock_socket_or_thread(module: Module) -> None:
    if module.package not in _PURE:
        return
    imported = set(_library_imports(module)) & _IMPURE_MODULES
    assert not imported, f"{module} imports {imported}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute):
            name = ".".join(ast.unparse(node).split(".")[-2:])
            assert name not in _IMPURE_NAMES, f"{module}:{node.lineno} names {name}"
            random_function = name.startswith("random.") and name != "random.Random"
            assert not random_function, f"{module}:{node.lineno} names {name}"
        if isinstance(node, ast.ImportFrom) and node.module in {"uuid", "random"}:
            names = {alias.name for alias in node.names}
            assert names <= {"Random", "UUID"}, f"{module}:{node.lineno} imports {names}"
