"""What a run needs of a data converter, so that it depends on no particular one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from orchestrator.converter import PayloadConverter
from orchestrator.wire.failure import Failure
from orchestrator.wire.payload import Payload


class Values(Protocol):
    """Python values ↔ payloads, exceptions ↔ failures. Deterministic and without I/O."""

    @property
    def payload_converter(self) -> PayloadConverter:
        """For user code that converts by itself."""
        ...

    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:  # Any: user's values
        """Raises ConversionError for a value that no converter takes."""
        ...

    def from_payloads(
        self,
        payloads: Sequence[Payload],
        type_hints: list[Any] | None = None,  # Any: annotations are of no common type
    ) -> list[Any]:  # Any: user's values
        """Raises ConversionError for a payload that does not fit its type."""
        ...

    def to_failure(self, exception: BaseException) -> Failure:
        """The exception with its causes, as data."""
        ...

    def from_failure(self, failure: Failure) -> BaseException:
        """Our own exception classes only, with causes."""
        ...
