"""Names from outside: what is taken as it is, and what is refused with a reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestrator.exceptions import InvalidNameError
from orchestrator.ids import check_name, check_namespace, check_run_id, check_task_queue
from orchestrator.ids import check_workflow_id as check_id
from orchestrator.limits import NAME_BYTES_MAX, NAMESPACE_CHARS_MAX, TASK_QUEUE_BYTES_MAX


@pytest.mark.parametrize("name", ["default", "a", "9-lives_of.a-cat", "n" * NAMESPACE_CHARS_MAX])
def test_a_plain_namespace_is_taken_as_it_is(name: str) -> None:
    assert check_namespace(name) == name


@pytest.mark.parametrize("name", ["", ".a", "a b", "ä", "a{b}", "n" * (NAMESPACE_CHARS_MAX + 1)])
def test_a_namespace_that_could_break_a_key_is_refused(name: str) -> None:
    with pytest.raises(InvalidNameError):
        check_namespace(name)


@pytest.mark.parametrize("name", ["a.workflow", "a.b.dead", "a.sticky.b"])
def test_a_namespace_that_could_be_a_queue_of_another_is_refused(name: str) -> None:
    with pytest.raises(InvalidNameError, match="behind a '\\.'"):
        check_namespace(name)


@pytest.mark.parametrize("name", ["workflow", "workflow.a", "a.workflows"])
def test_a_namespace_that_only_resembles_a_queue_is_taken(name: str) -> None:
    assert check_namespace(name) == name


@pytest.mark.parametrize("check", [check_id, check_run_id, check_task_queue])
@pytest.mark.parametrize("name", ["", "a{b", "a}b", "line\nbreak", "\x00", "\x7f", "\ud800"])
def test_braces_control_characters_and_nothing_are_refused(
    check: Callable[[str], str], name: str
) -> None:
    with pytest.raises(InvalidNameError):
        check(name)


def test_a_workflow_id_may_hold_spaces_and_any_script() -> None:
    assert check_id("order 7/größe:注文") == "order 7/größe:注文"


@pytest.mark.parametrize("name", ["a b", "a#", "*", "tab\t"])
def test_a_task_queue_that_could_be_a_pattern_is_refused(name: str) -> None:
    with pytest.raises(InvalidNameError):
        check_task_queue(name)


def test_lengths_count_bytes_not_characters() -> None:
    assert check_id("é" * (NAME_BYTES_MAX // 2))
    with pytest.raises(InvalidNameError, match="bytes"):
        check_id("é" * (NAME_BYTES_MAX // 2 + 1))
    with pytest.raises(InvalidNameError, match="bytes"):
        check_task_queue("q" * (TASK_QUEUE_BYTES_MAX + 1))


def test_what_is_not_text_is_refused() -> None:
    with pytest.raises(InvalidNameError, match="not empty"):
        check_name("signal name", 7)  # type: ignore[arg-type]  # a caller without a type checker
