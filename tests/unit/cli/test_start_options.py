"""Options of a start and filters of a listing, as typed on the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.cli.attributes import read_attributes
from orchestrator.cli.exits import CommandError
from orchestrator.cli.listing import Wanted
from orchestrator.cli.start_options import StartOptions
from orchestrator.client import WorkflowExecutionStatus
from orchestrator.common import SearchAttributeKey


def test_a_search_attribute_is_a_keyword_unless_its_type_is_told() -> None:
    found = read_attributes(
        [
            "City=Rome = Roma",
            "Price:float=9.5",
            "Count:int=3",
            "Paid:bool=true",
            "Due:datetime=2026-03-01T12:00:00",
            "Tags:keyword-list=a,b",
        ]
    )
    assert found[SearchAttributeKey.for_keyword("City")] == "Rome = Roma"
    assert found[SearchAttributeKey.for_float("Price")] == 9.5
    assert found[SearchAttributeKey.for_int("Count")] == 3
    assert found[SearchAttributeKey.for_bool("Paid")] is True
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert found[SearchAttributeKey.for_datetime("Due")] == noon
    assert found[SearchAttributeKey.for_keyword_list("Tags")] == ["a", "b"]


@pytest.mark.parametrize(
    "text", ["City", "=Rome", "City:place=Rome", "Count:int=three", "Paid:bool=yes", "D:datetime=x"]
)
def test_what_cannot_be_read_says_what_is_expected(text: str) -> None:
    with pytest.raises(CommandError, match="--search-attribute"):
        read_attributes([text])


def test_a_name_is_given_once() -> None:
    with pytest.raises(CommandError, match="given twice"):
        read_attributes(["City=Rome", "City=Oslo"])


def test_a_start_takes_times_in_seconds_and_notes_as_json() -> None:
    given = StartOptions(
        run_timeout=1.5, max_attempts=3, memo=('by="shop"', "n=1"), static_summary="s"
    ).options()
    assert given["run_timeout"] == timedelta(seconds=1.5)
    assert given["retry_policy"].maximum_attempts == 3
    assert given["memo"] == {"by": "shop", "n": 1}
    assert given["static_summary"] == "s"
    assert StartOptions().options()["retry_policy"] is None


@pytest.mark.parametrize("text", ["by=shop", "=1", "by"])
def test_a_note_that_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="--memo"):
        StartOptions(memo=(text,)).options()


def test_a_filter_is_what_the_client_takes() -> None:
    found = Wanted(status="timed-out", type="Order", search_attribute=("City=Rome",)).filter()
    assert found["status"] is WorkflowExecutionStatus.TIMED_OUT
    assert found["workflow_type"] == "Order"
    attributes = found["search_attributes"]
    assert attributes is not None
    assert len(attributes) == 1
