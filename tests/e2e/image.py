"""What a Dockerfile does, done in a folder: no Docker is needed to know that its steps work.

The folder stands for the root of the file system: absolute paths of the Dockerfile are looked up
below it, in commands too. The base image is a virtual environment with pip and nothing else. All
steps run as somebody who is not root, with a home of their own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOBODY = 65534
BUILD_SECONDS_MAX = 300
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")


@dataclass
class Stage:
    """What one stage of the file has set so far."""

    name: str
    environment: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = ""
    stop_signal: str = ""
    command: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)


class Image:
    """An image built from `dockerfile` below a folder of its own; `remove` deletes it."""

    def __init__(self, dockerfile: Path, arguments: Mapping[str, str]) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="orchestrator-image-"))
        self.stage = Stage("")
        self.froms = 0
        self._dockerfile = dockerfile
        self._given = arguments
        self._allowed = allowed_by(dockerfile.with_name(f"{dockerfile.name}.dockerignore"))
        self._instructions = instructions(dockerfile.read_text(encoding="utf-8"))
        self._tops = {
            top
            for _, rest in self._instructions
            for top in re.findall(r"(?<![\w./:}])/(\w+)", rest)
        }
        self.root.chmod(0o755)
        (self.root / "home").mkdir()
        self._own(self.root)

    def build(self) -> None:
        """Do all steps in order, on a base image that holds Python and pip."""
        self._make_base()
        self._do(self._instructions)

    def for_other(self, arguments: Mapping[str, str]) -> Image:
        """An image with other arguments for its last stage; it shares what the stages before made,
        and is to be removed first."""
        other = Image(self._dockerfile, arguments)
        for top in ("base", *self._tops):
            if (self.root / top).exists() and f"/{top}" != self.stage.folder:
                (other.root / top).symlink_to(self.root / top)
        last = max(i for i, (name, _) in enumerate(self._instructions) if name == "FROM")
        other._do(self._instructions[last:])
        return other

    def _make_base(self) -> None:
        """A Python of somebody's home may be closed to others: then it is the system's."""
        for program in (sys.executable, "/usr/bin/python3"):
            command = [program, "-m", "venv", "--clear", str(self.root / "base")]
            if self.run(command, check=False).returncode == 0:
                return
        raise AssertionError("no Python that a user who is not root may make an environment of")

    def _do(self, steps: Sequence[tuple[str, str]]) -> None:
        for name, rest in steps:
            getattr(self, f"_{name.lower()}")(rest)

    def remove(self) -> None:
        """Delete everything."""
        shutil.rmtree(self.root, ignore_errors=True)

    def path(self, text: str) -> Path:
        """Where a path of the image is on this machine."""
        return self.root / (Path(self.stage.folder) / text).as_posix().lstrip("/")

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """What a process of the image finds, with the variables that a container adds."""
        path = self._below(self.stage.environment.get("PATH", "$PATH"))
        base = f"{self.root}/base/bin:/usr/bin:/bin"
        own = {name: value for name, value in self.stage.environment.items() if name != "PATH"}
        return {
            "HOME": str(self.root / "home"),
            "LANG": "C.UTF-8",
            **own,
            "PATH": path.replace("$PATH", base),
            **(more or {}),
        }

    def arguments_of(self, command: Sequence[str]) -> list[str]:
        """How to run `command` in the image: as nobody, if this process is root."""
        program = shutil.which(command[0], path=self.environment()["PATH"]) or command[0]
        return [*_as_nobody(), program, *command[1:]]

    def run(
        self, command: Sequence[str], *, more: Mapping[str, str] | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the image to its end."""
        done = subprocess.run(
            self.arguments_of(command),
            cwd=self.path("."),
            env=self.environment(more),
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS_MAX,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{command}:\n{done.stdout}\n{done.stderr}"
        return done

    def spawn(self, command: Sequence[str], more: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start a process of the image; its output goes to a file in its home."""
        log = (self.root / "home" / "output.log").open("ab")
        with log:
            return subprocess.Popen(
                self.arguments_of(command),
                cwd=self.path("."),
                env=self.environment(more),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def output(self) -> str:
        """What the started processes have written."""
        return (self.root / "home" / "output.log").read_text(encoding="utf-8", errors="replace")

    def _from(self, rest: str) -> None:
        base, _, name = rest.partition(" AS ")
        assert re.fullmatch(r"python:3\.\d+-slim", base), f"a slim image of Python, not {base}"
        self.froms += 1
        self.stage = Stage(name)

    def _arg(self, rest: str) -> None:
        name, _, default = rest.partition("=")
        self.stage.arguments[name] = self._given.get(name, default)

    def _env(self, rest: str) -> None:
        for pair in rest.split():
            name, _, value = pair.partition("=")
            self.stage.environment[name] = value if name == "PATH" else self._filled(value)

    def _workdir(self, rest: str) -> None:
        self.stage.folder = rest
        self.path(".").mkdir(parents=True, exist_ok=True)
        self._own(self.path("."))

    def _copy(self, rest: str) -> None:
        *sources, target = self._filled(rest).split()
        if sources[0].startswith("--from="):
            # Stages share the folder: what is copied to its own place is there already.
            assert sources[1:] == [target], "copied to its own place, because paths are in it"
            return
        for source in sources:
            assert self._allowed(source), f"{source} is kept out by the .dockerignore file"
            self._copy_one(ROOT / source, target)
        self._own(self.path("."))

    def _copy_one(self, source: Path, target: str) -> None:
        place = self.path(target)
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, place, dirs_exist_ok=True, ignore=ignored)
            return
        if target.endswith("/"):
            place.mkdir(parents=True, exist_ok=True)
            place = place / source.name
        shutil.copy(source, place)

    def _run(self, rest: str) -> None:
        self.run(["/bin/sh", "-c", self._below(rest)])

    def _user(self, rest: str) -> None:
        self.stage.user = rest

    def _stopsignal(self, rest: str) -> None:
        self.stage.stop_signal = rest

    def _healthcheck(self, rest: str) -> None:
        self.stage.healthcheck = json.loads(rest.partition(" CMD ")[2])

    def _cmd(self, rest: str) -> None:
        self.stage.command = json.loads(rest)

    def _filled(self, text: str) -> str:
        return _VARIABLE.sub(lambda found: self.stage.arguments[found[1]], text)

    def _below(self, text: str) -> str:
        """`text` with the image's absolute paths put below our folder."""
        tops = "|".join(sorted(self._tops))
        return re.sub(rf"(?<![\w./:}}])/(?=({tops})\b)", f"{self.root}/", text)

    def _own(self, place: Path) -> None:
        for path in (place, *place.rglob("*")) if os.geteuid() == 0 else ():
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def instructions(text: str) -> list[tuple[str, str]]:
    """Name and rest of each instruction of a Dockerfile."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ")
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in whole.splitlines())]


def allowed_by(ignore: Path) -> Callable[[str], bool]:
    """Whether a path of the repository is in the build context."""
    lines = ignore.read_text(encoding="utf-8").split()
    assert lines[0] == "*", "nothing but what is listed belongs into the build context"
    kept = [line[1:] for line in lines if line.startswith("!")]
    return lambda source: any(fnmatch(source.partition("/")[0], name) for name in kept)


def _as_nobody() -> list[str]:
    if os.geteuid() != 0:
        return []
    user = str(NOBODY)
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--inh-caps=-all"]
