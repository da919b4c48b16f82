"""What names an attempt to those outside: all that begin, heartbeat and end compare, as a text."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from orchestrator.core.transition import AttemptName
from orchestrator.ids import ActivityKey, AttemptToken, EventId, RunId, WorkflowId

_decoder = msgspec.json.Decoder(tuple[str, str, int, str, int, str])


@dataclass(frozen=True, slots=True)
class TaskToken:
    """An attempt that was begun."""

    name: AttemptName
    token: AttemptToken

    def to_bytes(self) -> bytes:
        """For whoever shall complete the attempt."""
        name = self.name
        parts = (name.workflow_id, name.run_id, name.event_id, name.key, name.attempt, self.token)
        return msgspec.json.encode(parts)

    @classmethod
    def from_bytes(cls, text: bytes) -> TaskToken:
        """The inverse of `to_bytes`.

        Raises:
            ValueError: it is no task token.
        """
        try:
            workflow_id, run_id, event_id, key, attempt, token = _decoder.decode(text)
        except msgspec.MsgspecError as error:
            raise ValueError(
                f"expected a task token, as activity.info().task_token has it: {error}"
            ) from error
        name = AttemptName(
            workflow_id=WorkflowId(workflow_id),
            run_id=RunId(run_id),
            event_id=EventId(event_id),
            key=ActivityKey(key),
            attempt=attempt,
        )
        return cls(name, AttemptToken(token))
