"""The page of features says what is shown, by tests that are there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.docs.features import PAGE, ROOT, Feature, features, names_of_tests, page
from tests.docs.places import places


@pytest.mark.parametrize("feature", features(), ids=lambda feature: feature.name)
def test_a_feature_names_tests_that_are_there_or_says_why_not(feature: Feature) -> None:
    assert bool(feature.tests) != bool(feature.why)
    for test in feature.tests:
        path, _, name = test.partition("::")
        assert Path(ROOT, path).is_file(), test
        assert name in names_of_tests(path), test


def test_no_feature_is_named_twice_in_a_section() -> None:
    names = [(feature.section, feature.name) for feature in features()]
    assert len(set(names)) == len(names)


def test_the_page_is_up_to_date() -> None:
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page(), "run it with UPDATE_DOCS=1"


def test_where_a_test_runs_is_read_from_its_text() -> None:
    everywhere = {"memory", "servers", "replay"}
    for test, found in (
        ("tests/engine/client/test_client.py::test_a_workflow_returns_a_typed_result", everywhere),
        (
            "tests/engine/client/test_client.py::test_a_wait_that_takes_too_long_goes_on",
            {"memory", "replay"},
        ),
        (
            "tests/engine/client/test_with_start.py::test_an_open_run_gets_the_update",
            everywhere,
        ),
        (
            "tests/contract/test_store_runs.py"
            "::test_a_start_delay_holds_the_first_task_back_until_it_is_due_or_signalled",
            {"memory", "servers"},
        ),
        (
            "tests/integration/test_updates_on_servers.py::test_many_updates_with_start_make_one_run",
            {"servers"},
        ),
    ):
        assert places(test) == found, test
