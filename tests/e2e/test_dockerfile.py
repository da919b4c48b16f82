"""What workers/Dockerfile makes: the wheel, and an environment that holds it."""

from __future__ import annotations

import zipfile

import pytest

from tests.e2e.image import ROOT, Image

pytestmark = pytest.mark.slow


def test_the_wheel_holds_the_package_and_nothing_else(image: Image) -> None:
    [wheel] = (image.root / "wheels").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    [info] = tops - {"orchestrator"}
    assert info.endswith(".dist-info")
    scripts = [path.name for path in (ROOT / "orchestrator/adapters/redis/lua").iterdir()]
    for needed in ("py.typed", *(f"adapters/redis/lua/{script}" for script in scripts)):
        assert f"orchestrator/{needed}" in names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_the_image_is_small_and_its_user_is_nobody(image: Image) -> None:
    assert image.froms == 2
    assert image.stage.user not in ("", "root", "0", "0:0")
    packages = image.run(["/bin/sh", "-c", "ls $(dirname $(command -v orchestrator))/../lib/*/*"])
    installed = packages.stdout.split()
    assert "orchestrator" in installed
    assert not {"pytest", "hatchling", "build", "mypy", "testcontainers"} & set(installed)
