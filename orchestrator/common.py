"""Words shared by clients, workers and workflow code: policies, retries, priorities.

Names and meanings are those of Temporal's Python SDK.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from math import inf
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar, overload

from orchestrator.metering import MetricAttributes as MetricAttributes
from orchestrator.metering import MetricCommon as MetricCommon
from orchestrator.metering import MetricCounter as MetricCounter
from orchestrator.metering import MetricExporter as MetricExporter
from orchestrator.metering import MetricGauge as MetricGauge
from orchestrator.metering import MetricGaugeFloat as MetricGaugeFloat
from orchestrator.metering import MetricHistogram as MetricHistogram
from orchestrator.metering import MetricHistogramFloat as MetricHistogramFloat
from orchestrator.metering import MetricHistogramTimedelta as MetricHistogramTimedelta
from orchestrator.metering import MetricMeter as MetricMeter

_T = TypeVar("_T")
_Default = TypeVar("_Default")


@dataclass(frozen=True)
class RetryPolicy:
    """When a failed attempt is tried again.

    The n-th retry waits `initial_interval * backoff_coefficient ** (n - 1)`, at most
    `maximum_interval` (None: 100 initial intervals). `maximum_attempts` 0 means no bound; 1 means
    no retry. A failure whose type is in `non_retryable_error_types` is final.
    """

    initial_interval: timedelta = timedelta(seconds=1)
    backoff_coefficient: float = 2.0
    maximum_interval: timedelta | None = None
    maximum_attempts: int = 0
    non_retryable_error_types: Sequence[str] | None = None

    def validate(self) -> None:
        """Check that the values fit together.

        Raises:
            ValueError: an interval is not positive, the coefficient is no number from 1 on, the
                maximum is below the initial interval, attempts are no whole number from 0 on, or
                the error types are no list of names.
        """
        if self.initial_interval <= timedelta(0):
            raise ValueError(f"initial_interval must be positive, found {self.initial_interval}")
        if not 1 <= self.backoff_coefficient < inf:
            raise ValueError(
                f"backoff_coefficient must be a number ≥ 1, found {self.backoff_coefficient}"
            )
        if self.maximum_interval is not None and self.maximum_interval < self.initial_interval:
            raise ValueError(
                f"maximum_interval ({self.maximum_interval}) must not be below "
                f"initial_interval ({self.initial_interval})"
            )
        attempts, types = self.maximum_attempts, self.non_retryable_error_types
        if not isinstance(attempts, int) or attempts < 0:
            raise ValueError(f"maximum_attempts must be a whole number ≥ 0, found {attempts!r}")
        if isinstance(types, str) or not all(isinstance(one, str) for one in types or ()):
            raise ValueError(
                f"non_retryable_error_types must be a list of names of types, found {types!r}"
            )


class WorkflowIDReusePolicy(IntEnum):
    """May a closed run's workflow id be used again? Looked at only when no run is open."""

    ALLOW_DUPLICATE = 1
    ALLOW_DUPLICATE_FAILED_ONLY = 2
    """Only after a run that failed, timed out, was cancelled or terminated."""
    REJECT_DUPLICATE = 3
    TERMINATE_IF_RUNNING = 4
    """Deprecated, as in Temporal: use `WorkflowIDConflictPolicy.TERMINATE_EXISTING`."""


class WorkflowIDConflictPolicy(IntEnum):
    """What a start does when a run with its workflow id is open."""

    UNSPECIFIED = 0
    FAIL = 1
    USE_EXISTING = 2
    TERMINATE_EXISTING = 3


class ActivityIDReusePolicy(IntEnum):
    """May a closed standalone activity's id be used again? Looked at only when none is open."""

    ALLOW_DUPLICATE = 1
    ALLOW_DUPLICATE_FAILED_ONLY = 2
    """Only after one that failed, timed out, was cancelled or terminated."""
    REJECT_DUPLICATE = 3


class ActivityIDConflictPolicy(IntEnum):
    """What a start does when a standalone activity of its id is open."""

    UNSPECIFIED = 0
    FAIL = 1
    USE_EXISTING = 2


class QueryRejectCondition(IntEnum):
    """Which runs do not answer a query."""

    NONE = 1
    NOT_OPEN = 2
    NOT_COMPLETED_CLEANLY = 3


class RawValue:
    """A value that was not converted: what dynamic handlers get, and a way to pass a payload on.

    `workflow.payload_converter().from_payload(raw.payload, SomeType)` converts it.
    """

    __slots__ = ("payload",)

    def __init__(self, payload: Any) -> None:  # Any: a Payload of `wire`, a layer above
        self.payload = payload

    def __repr__(self) -> str:
        return f"RawValue({self.payload!r})"


@dataclass(frozen=True)
class Priority:
    """What is asked for a run or an activity; None: not given.

    It travels with the run, its activities and children inherit it, and `workflow.info()` and
    `describe` show it. It says who begins first among activities that wait under a concurrency
    limit (`Worker(max_task_queue_concurrent_activities=…)` and its like): the most urgent, and
    within one priority the fairness keys by their weight. Where nothing waits under a limit, and
    for workflow tasks, RabbitMQ's own order stays as it is.

    Args:
        priority_key: 1 to 5; 1 is the most urgent.
        fairness_key: Whose work it is, at most 64 bytes.
        fairness_weight: How much of the work of its priority it may have, 0.001 to 1000.
    """

    priority_key: int | None = None
    fairness_key: str | None = None
    fairness_weight: float | None = None

    default: ClassVar[Priority]

    def __post_init__(self) -> None:
        if self.priority_key is not None and not 1 <= self.priority_key <= 5:
            raise ValueError(f"priority_key: expected 1 to 5, found {self.priority_key}")
        if self.fairness_key is not None and len(self.fairness_key.encode()) > 64:
            raise ValueError("fairness_key: expected at most 64 bytes")
        weight = self.fairness_weight
        if weight is not None and not 0.001 <= weight <= 1000:
            raise ValueError(f"fairness_weight: expected 0.001 to 1000, found {weight}")


Priority.default = Priority()


class SearchAttributeIndexedValueType(IntEnum):
    """How a search attribute is looked up; the numbers are Temporal's."""

    TEXT = 1
    """For people and for later full-text search; not looked up by its exact value."""
    KEYWORD = 2
    INT = 3
    DOUBLE = 4
    BOOL = 5
    DATETIME = 6
    KEYWORD_LIST = 7
    """Looked up by any one of its texts."""


@dataclass(frozen=True)
class SearchAttributeKey(Generic[_T]):
    """The name of a search attribute and the type of its values; made by one of the `for_…`."""

    name: str
    indexed_value_type: SearchAttributeIndexedValueType

    def value_set(self, value: _T) -> SearchAttributeUpdate[_T]:
        """A change that sets it, for `workflow.upsert_search_attributes`."""
        return SearchAttributeUpdate(self, value)

    def value_unset(self) -> SearchAttributeUpdate[_T]:
        """A change that removes it."""
        return SearchAttributeUpdate(self, None)

    @staticmethod
    def for_text(name: str) -> SearchAttributeKey[str]:
        """A text that is read by people."""
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.TEXT)

    @staticmethod
    def for_keyword(name: str) -> SearchAttributeKey[str]:
        """A text that is looked up as a whole."""
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.KEYWORD)

    @staticmethod
    def for_int(name: str) -> SearchAttributeKey[int]:
        """A whole number of 64 bits."""
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.INT)

    @staticmethod
    def for_float(name: str) -> SearchAttributeKey[float]:
        """A number."""
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.DOUBLE)

    @staticmethod
    def for_bool(name: str) -> SearchAttributeKey[bool]:
        """True or false."""
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.BOOL)

    @staticmethod
    def for_datetime(name: str) -> SearchAttributeKey[datetime]:
        """A point in time; values must be aware of their time zone."""
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.DATETIME)

    @staticmethod
    def for_keyword_list(name: str) -> SearchAttributeKey[Sequence[str]]:
        """Several texts, each looked up as a whole."""
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.KEYWORD_LIST)


@dataclass(frozen=True)
class SearchAttributeUpdate(Generic[_T]):
    """A change of one search attribute; a `value` of None removes it."""

    key: SearchAttributeKey[_T]
    value: _T | None


class SearchAttributePair(NamedTuple, Generic[_T]):
    """A search attribute and its value."""

    key: SearchAttributeKey[_T]
    value: _T


@dataclass(frozen=True)
class TypedSearchAttributes(Collection[SearchAttributePair[Any]]):  # Any: pairs of any types
    """Search attributes with their values, each key once.

    Raises:
        ValueError: a name is given twice.
    """

    search_attributes: Sequence[SearchAttributePair[Any]] = ()  # Any: pairs of any types

    empty: ClassVar[TypedSearchAttributes]

    def __post_init__(self) -> None:
        names = [pair.key.name for pair in self.search_attributes]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"search attribute {doubled[0]!r} is given twice")

    def __len__(self) -> int:
        return len(self.search_attributes)

    def __iter__(self) -> Iterator[SearchAttributePair[Any]]:  # Any: pairs of any types
        return iter(self.search_attributes)

    def __contains__(self, key: object) -> bool:
        return any(pair.key == key for pair in self.search_attributes)

    def __getitem__(self, key: SearchAttributeKey[_T]) -> _T:
        for pair in self.search_attributes:
            if pair.key == key:
                value: _T = pair.value
                return value
        raise KeyError(key.name)

    @overload
    def get(self, key: SearchAttributeKey[_T]) -> _T | None: ...
    @overload
    def get(self, key: SearchAttributeKey[_T], default: _Default) -> _T | _Default: ...
    def get(self, key: SearchAttributeKey[Any], default: Any = None) -> Any:  # Any: see above
        """The value of `key`, or `default`."""
        found = [pair.value for pair in self.search_attributes if pair.key == key]
        return found[0] if found else default

    def updated(self, *pairs: SearchAttributePair[Any]) -> TypedSearchAttributes:  # Any: as above
        """A copy in which `pairs` are set."""
        names = {pair.key.name for pair in pairs}
        kept = [pair for pair in self.search_attributes if pair.key.name not in names]
        return TypedSearchAttributes([*kept, *pairs])


TypedSearchAttributes.empty = TypedSearchAttributes()
