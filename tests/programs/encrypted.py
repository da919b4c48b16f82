"""Encryption: values are readable in the processes of the user's, and nowhere else.

Keys are named in what they encrypt, so that a new one can come into use while runs are open.
"""

from __future__ import annotations

from datetime import timedelta

from orchestrator import activity, workflow
from orchestrator.contrib.compression import CompressionCodec
from orchestrator.contrib.encryption import EncryptionCodec
from orchestrator.converter import (
    ChainedPayloadCodec,
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
)
from orchestrator.exceptions import ApplicationError

KEYS = {"2025": b"0" * 32, "2026": b"1" * 32}
"""In life these come from a vault."""


def converter(*, key_id: str) -> DataConverter:
    """Compresses, then encrypts; hides the texts of errors too."""
    return DataConverter(
        payload_codec=ChainedPayloadCodec(CompressionCodec(), EncryptionCodec(KEYS, key_id=key_id)),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )


@activity.defn
async def diagnose(complaint: str) -> str:
    """What it may be."""
    if complaint == "none":
        raise ApplicationError("nothing hurts", complaint, type="Healthy", non_retryable=True)
    return f"{complaint}: rest"


@workflow.defn
class Patient:
    """A record that nobody but the doctors may read."""

    def __init__(self) -> None:
        self.answers: list[str] = []

    @workflow.run
    async def run(self, complaint: str) -> str:
        """A diagnosis, once the patient has answered."""
        await workflow.wait_condition(lambda: bool(self.answers))
        return await workflow.execute_activity(
            diagnose,
            f"{complaint} ({self.answers[0]})" if complaint != "none" else complaint,
            start_to_close_timeout=timedelta(seconds=10),
        )

    @workflow.update
    def answer(self, text: str) -> int:
        """An answer; returns how many there are."""
        self.answers.append(text)
        return len(self.answers)

    @workflow.query
    def known(self) -> list[str]:
        """The answers so far."""
        return self.answers


WORKFLOWS = [Patient]
ACTIVITIES = [diagnose]
