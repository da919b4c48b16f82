"""What clients and workers are given: one payload converter and one failure converter.

Immutable and without state, so one instance serves every run of a process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from orchestrator.converter.failure_converter import DefaultFailureConverter, FailureConverter
from orchestrator.converter.payload_converter import DefaultPayloadConverter, PayloadConverter
from orchestrator.wire.failure import Failure
from orchestrator.wire.payload import Payload


@dataclass(frozen=True)
class DataConverter:
    """Python values ↔ payloads, exceptions ↔ failures. Deterministic and without I/O.

    Classes are given, not instances, as in Temporal; each is called once, without arguments.
    """

    payload_converter_class: type[PayloadConverter] = DefaultPayloadConverter
    failure_converter_class: type[FailureConverter] = DefaultFailureConverter
    payload_converter: PayloadConverter = field(init=False)
    failure_converter: FailureConverter = field(init=False)

    default: ClassVar[DataConverter]
    """The converter that is used when none is given."""

    def __post_init__(self) -> None:
        # A frozen dataclass sets its derived fields this way.
        object.__setattr__(self, "payload_converter", self.payload_converter_class())
        object.__setattr__(self, "failure_converter", self.failure_converter_class())

    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:  # Any: user's values
        """As `PayloadConverter.to_payloads`."""
        return self.payload_converter.to_payloads(values)

    def from_payloads(
        self,
        payloads: Sequence[Payload],
        type_hints: list[Any] | None = None,  # Any: annotations are of no common type
    ) -> list[Any]:  # Any: user's values
        """As `PayloadConverter.from_payloads`."""
        return self.payload_converter.from_payloads(payloads, type_hints)

    def to_failure(self, exception: BaseException) -> Failure:
        """`exception` with its causes, as data. Never raises."""
        return self.failure_converter.to_failure(exception, self.payload_converter)

    def from_failure(self, failure: Failure) -> BaseException:
        """An exception of ours, with its causes. Never raises."""
        return self.failure_converter.from_failure(failure, self.payload_converter)


DataConverter.default = DataConverter()
