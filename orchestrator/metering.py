"""Metrics of user code: a meter makes instruments, an exporter stands behind it.

`orchestrator.common` has these names, which are those of Temporal's Python SDK. Without an exporter
(`orchestrator.contrib.opentelemetry` has one) a meter does nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import ClassVar, Generic, TypeAlias, TypeVar

MetricAttributes: TypeAlias = Mapping[str, str | int | float | bool]
_Value = TypeVar("_Value", int, float, timedelta)
_Number = TypeVar("_Number", int, float)


class MetricCommon:
    """What every instrument has."""

    def __init__(self, name: str, description: str | None, unit: str | None) -> None:
        self.name = name
        self.description = description
        self.unit = unit


class _Instrument(MetricCommon, Generic[_Value]):
    """An instrument that notes values of one type."""

    def __init__(
        self,
        name: str,
        description: str | None,
        unit: str | None,
        write: Callable[[_Value, MetricAttributes], None],
        attributes: MetricAttributes | None = None,
    ) -> None:
        super().__init__(name, description, unit)
        self._write: Callable[[_Value, MetricAttributes], None] = write
        self._attributes: MetricAttributes = attributes or {}

    def _note(self, value: _Value, additional_attributes: MetricAttributes | None) -> None:
        attributes = self._attributes
        if additional_attributes:
            attributes = {**attributes, **additional_attributes}
        self._write(value, attributes)

    def _with(self, attributes: MetricAttributes) -> MetricAttributes:
        return {**self._attributes, **attributes}


class MetricCounter(_Instrument[int]):
    """A count that only grows."""

    def add(self, value: int, additional_attributes: MetricAttributes | None = None) -> None:
        """Add to it.

        Raises:
            ValueError: `value` is negative.
        """
        _check_positive(value, self.name)
        self._note(value, additional_attributes)

    def with_additional_attributes(self, attributes: MetricAttributes) -> MetricCounter:
        """The same instrument with more attributes on each value."""
        return MetricCounter(
            self.name, self.description, self.unit, self._write, self._with(attributes)
        )


class MetricHistogram(_Instrument[int]):
    """The distribution of whole numbers."""

    def record(self, value: int, additional_attributes: MetricAttributes | None = None) -> None:
        """Note one.

        Raises:
            ValueError: `value` is negative.
        """
        _check_positive(value, self.name)
        self._note(value, additional_attributes)

    def with_additional_attributes(self, attributes: MetricAttributes) -> MetricHistogram:
        """The same instrument with more attributes on each value."""
        return MetricHistogram(
            self.name, self.description, self.unit, self._write, self._with(attributes)
        )


class MetricHistogramFloat(_Instrument[float]):
    """The distribution of numbers."""

    def record(self, value: float, additional_attributes: MetricAttributes | None = None) -> None:
        """Note one.

        Raises:
            ValueError: `value` is negative.
        """
        _check_positive(value, self.name)
        self._note(value, additional_attributes)

    def with_additional_attributes(self, attributes: MetricAttributes) -> MetricHistogramFloat:
        """The same instrument with more attributes on each value."""
        return MetricHistogramFloat(
            self.name, self.description, self.unit, self._write, self._with(attributes)
        )


class MetricHistogramTimedelta(_Instrument[timedelta]):
    """The distribution of durations."""

    def record(
        self, value: timedelta, additional_attributes: MetricAttributes | None = None
    ) -> None:
        """Note one.

        Raises:
            ValueError: `value` is negative.
        """
        _check_positive(value.total_seconds(), self.name)
        self._note(value, additional_attributes)

    def with_additional_attributes(self, attributes: MetricAttributes) -> MetricHistogramTimedelta:
        """The same instrument with more attributes on each value."""
        return MetricHistogramTimedelta(
            self.name, self.description, self.unit, self._write, self._with(attributes)
        )


class MetricGauge(_Instrument[int]):
    """How something stands, as a whole number."""

    def set(self, value: int, additional_attributes: MetricAttributes | None = None) -> None:
        """Note how it stands.

        Raises:
            ValueError: `value` is negative.
        """
        _check_positive(value, self.name)
        self._note(value, additional_attributes)

    def with_additional_attributes(self, attributes: MetricAttributes) -> MetricGauge:
        """The same instrument with more attributes on each value."""
        return MetricGauge(
            self.name, self.description, self.unit, self._write, self._with(attributes)
        )


class MetricGaugeFloat(_Instrument[float]):
    """How something stands, as a number."""

    def set(self, value: float, additional_attributes: MetricAttributes | None = None) -> None:
        """Note how it stands.

        Raises:
            ValueError: `value` is negative.
        """
        _check_positive(value, self.name)
        self._note(value, additional_attributes)

    def with_additional_attributes(self, attributes: MetricAttributes) -> MetricGaugeFloat:
        """The same instrument with more attributes on each value."""
        return MetricGaugeFloat(
            self.name, self.description, self.unit, self._write, self._with(attributes)
        )


class MetricExporter(ABC):
    """Where the values go. Asked once for each instrument that is made; the same name again is the
    same instrument. The answer is called for each value, in any thread, and must not block."""

    @abstractmethod
    def counter(
        self, name: str, description: str | None, unit: str | None
    ) -> Callable[[int, MetricAttributes], None]:
        """Adds to a count."""

    @abstractmethod
    def histogram(
        self, name: str, description: str | None, unit: str | None
    ) -> Callable[[float, MetricAttributes], None]:
        """Notes one number; durations are in seconds."""

    @abstractmethod
    def gauge(
        self, name: str, description: str | None, unit: str | None
    ) -> Callable[[float, MetricAttributes], None]:
        """Notes how something stands."""


class MetricMeter:
    """Makes instruments. Those of workflow code note nothing on replay."""

    noop: ClassVar[MetricMeter]
    """A meter without an exporter."""

    def __init__(
        self,
        exporter: MetricExporter | None = None,
        *,
        attributes: MetricAttributes | None = None,
        is_quiet: Callable[[], bool] | None = None,
    ) -> None:
        """Over an exporter; None: nothing is noted.

        Args:
            exporter: Where the values go.
            attributes: On every value.
            is_quiet: While it is true, values are dropped.
        """
        self._exporter = exporter
        self._attributes: MetricAttributes = attributes or {}
        self._is_quiet = is_quiet

    @property
    def is_noop(self) -> bool:
        """Whether nothing is noted anywhere."""
        return self._exporter is None

    def with_additional_attributes(self, attributes: MetricAttributes) -> MetricMeter:
        """The same meter with more attributes on every value."""
        return MetricMeter(
            self._exporter,
            attributes={**self._attributes, **attributes},
            is_quiet=self._is_quiet,
        )

    def quiet_while(self, is_quiet: Callable[[], bool]) -> MetricMeter:
        """The same meter, whose values are dropped while `is_quiet` says so."""
        return MetricMeter(self._exporter, attributes=self._attributes, is_quiet=is_quiet)

    def create_counter(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricCounter:
        """A count that only grows."""
        write = None if self._exporter is None else self._exporter.counter(name, description, unit)
        return MetricCounter(name, description, unit, self._writing(write), self._attributes)

    def create_histogram(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricHistogram:
        """The distribution of whole numbers."""
        write = self._histogram(name, description, unit)
        return MetricHistogram(name, description, unit, self._writing(write), self._attributes)

    def create_histogram_float(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricHistogramFloat:
        """The distribution of numbers."""
        write = self._histogram(name, description, unit)
        return MetricHistogramFloat(name, description, unit, self._writing(write), self._attributes)

    def create_histogram_timedelta(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricHistogramTimedelta:
        """The distribution of durations; `unit` is how they are exported, in seconds by default."""
        write = self._writing(self._histogram(name, description, unit or "s"))

        def write_seconds(value: timedelta, attributes: MetricAttributes) -> None:
            write(value.total_seconds(), attributes)

        return MetricHistogramTimedelta(name, description, unit, write_seconds, self._attributes)

    def create_gauge(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricGauge:
        """How something stands, as a whole number."""
        write = None if self._exporter is None else self._exporter.gauge(name, description, unit)
        return MetricGauge(name, description, unit, self._writing(write), self._attributes)

    def create_gauge_float(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricGaugeFloat:
        """How something stands, as a number."""
        write = None if self._exporter is None else self._exporter.gauge(name, description, unit)
        return MetricGaugeFloat(name, description, unit, self._writing(write), self._attributes)

    def _histogram(
        self, name: str, description: str | None, unit: str | None
    ) -> Callable[[float, MetricAttributes], None] | None:
        return None if self._exporter is None else self._exporter.histogram(name, description, unit)

    def _writing(
        self, write: Callable[[_Number, MetricAttributes], None] | None
    ) -> Callable[[_Number, MetricAttributes], None]:
        is_quiet = self._is_quiet

        def noted(value: _Number, attributes: MetricAttributes) -> None:
            if write is not None and (is_quiet is None or not is_quiet()):
                write(value, attributes)

        return noted


MetricMeter.noop = MetricMeter()


def _check_positive(value: float, name: str) -> None:
    if value < 0:
        raise ValueError(f"metric {name!r}: expected a value ≥ 0, found {value}")
