"""The package's source as the house tests see it: files, syntax trees, imports."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "orchestrator"


@dataclass(frozen=True)
class Module:
    """One file of the package. `package` is its room: `wire`, `adapters.redis`, `ids` …"""

    name: str
    package: str
    path: Path
    tree: ast.Module

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))

    def imports(self) -> Iterator[Module]:
        """Modules of ours named by any import statement: inside functions and TYPE_CHECKING too."""
        known = {module.name: module for module in modules()}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                names = [
                    full if (full := f"{base}.{alias.name}") in known else base
                    for alias in node.names
                ]
            else:
                continue
            yield from (known[name] for name in names if name in known)

    def is_standard_or_own(self, library: str) -> bool:
        """Whether `library` comes with Python or is this package."""
        return library in sys.stdlib_module_names or library in {"__future__", "orchestrator"}


@cache
def modules() -> tuple[Module, ...]:
    """Every Python file below `orchestrator/`, in a stable order."""
    return tuple(_read(path) for path in sorted(PACKAGE.rglob("*.py")))


def _read(path: Path) -> Module:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if parts[-1] == "__init__":
        parts = parts[:-1]
    package = ".".join(parts[:2]) if parts[:1] == ("adapters",) else (parts or ("",))[0]
    name = ".".join(("orchestrator", *parts))
    return Module(name, package, path, ast.parse(path.read_text(encoding="utf-8")))
