"""The page of features says what is shown, by tests that are there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.docs.features import PAGE, ROOT, Feature, features, names_of_tests, page


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
