"""App modules are found as a person expects, and what is wrong with one is said in one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cli.app_modules import load_app
from orchestrator.cli.exits import CommandError, ExitCode, text_of

GOOD = 'task_queue = "q"\nworkflows = []\nactivities = [len]\n'


@pytest.fixture(autouse=True)
def _import_state() -> Iterator[None]:
    """What a test imports is forgotten with it."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def write(folder: Path, name: str, text: str = GOOD) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def failure(where: str, folder: Path) -> str:
    with pytest.raises(CommandError) as caught:
        load_app(where, folder=folder)
    assert caught.value.code is ExitCode.USAGE
    return text_of(caught.value)


@pytest.mark.parametrize(
    "where", ["shop_a.app", "shop_a/app.py", "./shop_a/app.py", "shop_a/app", "shop_a.app:nested"]
)
def test_a_module_is_named_by_dots_by_path_or_with_an_attribute(where: str, tmp_path: Path) -> None:
    write(tmp_path, "shop_a/app.py", GOOD + "import sys\nnested = sys.modules[__name__]\n")
    app = load_app(where, folder=tmp_path)
    assert (app.task_queue, list(app.workflows), list(app.activities)) == ("q", [], [len])


def test_a_package_is_an_app_as_well(tmp_path: Path) -> None:
    write(tmp_path, "shop_b/__init__.py")
    assert load_app("shop_b/", folder=tmp_path).task_queue == "q"


def test_the_workers_folder_is_looked_in_second(tmp_path: Path) -> None:
    write(tmp_path, "workers/shop_c/app.py", GOOD.replace('"q"', '"below"'))
    assert load_app("shop_c.app", folder=tmp_path).task_queue == "below"


def test_the_current_folder_wins_over_the_workers_folder(tmp_path: Path) -> None:
    write(tmp_path, "workers/shop_d/app.py", GOOD.replace('"q"', '"below"'))
    write(tmp_path, "shop_d/app.py", GOOD.replace('"q"', '"here"'))
    assert load_app("shop_d.app", folder=tmp_path).task_queue == "here"


def test_a_file_outside_of_the_folder_is_imported_from_its_root(tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/shop_e/__init__.py", "")
    write(tmp_path, "elsewhere/shop_e/app.py", "from shop_e import other\n" + GOOD)
    write(tmp_path, "elsewhere/shop_e/other.py", "")
    (tmp_path / "here").mkdir()
    app = load_app(str(tmp_path / "elsewhere/shop_e/app.py"), folder=tmp_path / "here")
    assert app.task_queue == "q"


def test_a_module_that_is_not_there_is_told_with_the_places_looked_in(tmp_path: Path) -> None:
    text = failure("shop_f.app", tmp_path)
    assert "there is no module 'shop_f.app'" in text
    assert str(tmp_path / "workers") in text
    assert "there is no file shop_f/app.py" in failure("shop_f/app.py", tmp_path)
    assert "'shop f' is no module" in failure("shop f", tmp_path)


def test_an_import_that_fails_inside_is_told_with_its_line(tmp_path: Path) -> None:
    write(tmp_path, "shop_g/app.py", "\nimport not_installed_anywhere\n")
    text = failure("shop_g.app", tmp_path)
    assert f"importing shop_g.app failed ({tmp_path}/shop_g/app.py, line 2)" in text
    assert "No module named 'not_installed_anywhere'" in text


def test_code_that_raises_or_exits_at_import_is_told(tmp_path: Path) -> None:
    write(tmp_path, "shop_h.py", "raise RuntimeError('no luck')")
    assert "RuntimeError: no luck" in failure("shop_h", tmp_path)
    write(tmp_path, "shop_i.py", "raise SystemExit(0)")
    assert "SystemExit" in failure("shop_i", tmp_path)
    write(tmp_path, "shop_j.py", "x = (")
    assert "SyntaxError" in failure("shop_j", tmp_path)


@pytest.mark.parametrize(
    ("line", "instead", "expected"),
    [
        ('task_queue = "q"', "", "has no 'task_queue'"),
        ('task_queue = "q"', "task_queue = 7", "'task_queue': expected a text"),
        ('task_queue = "q"', "task_queue = ''", "'task_queue': expected a text"),
        ("workflows = []", "", "has no 'workflows'"),
        ("workflows = []", "workflows = int", "'workflows': expected a list"),
        ("workflows = []", "workflows = [len]", "classes decorated with @workflow.defn"),
        ("activities = [len]", "", "has no 'activities'"),
        ("activities = [len]", "activities = len", "'activities': expected a list"),
        ("activities = [len]", "activities = ['pay']", "functions decorated with @activity.defn"),
    ],
)
def test_a_name_that_is_missing_or_mistyped_is_told(
    line: str, instead: str, expected: str, tmp_path: Path
) -> None:
    write(tmp_path, "shop_k.py", GOOD.replace(line, instead))
    assert expected in failure("shop_k", tmp_path)


def test_an_attribute_that_is_not_there_is_told(tmp_path: Path) -> None:
    write(tmp_path, "shop_l.py")
    assert "module shop_l has no attribute 'shop'" in failure("shop_l:shop", tmp_path)
