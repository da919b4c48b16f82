"""What a start may be given beside its names: times, retries, a schedule, notes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Group, Parameter, validators

from orchestrator.cli.attributes import ATTRIBUTE_HELP, read_attributes
from orchestrator.cli.exits import CommandError
from orchestrator.cli.options import to_timedelta

_TIMES = Group("Times and retries", sort_key=20)
_NOTES = Group("Notes", sort_key=30)
_POSITIVE = validators.Number(gt=0)


@Parameter(name="*")
@dataclass(frozen=True)
class StartOptions:
    """What is not given is left to the client."""

    execution_timeout: Annotated[
        float | None,
        Parameter(group=_TIMES, validator=_POSITIVE, help="Seconds for all runs together."),
    ] = None
    run_timeout: Annotated[
        float | None, Parameter(group=_TIMES, validator=_POSITIVE, help="Seconds for one run.")
    ] = None
    task_timeout: Annotated[
        float | None,
        Parameter(group=_TIMES, validator=_POSITIVE, help="Seconds a worker may hold a task [10]."),
    ] = None
    start_delay: Annotated[
        float | None,
        Parameter(group=_TIMES, validator=_POSITIVE, help="Seconds until it begins."),
    ] = None
    cron_schedule: Annotated[
        str | None,
        Parameter(group=_TIMES, help="Run again and again: '0 12 * * MON-FRI', '@every 1h30m'."),
    ] = None
    max_attempts: Annotated[
        int | None,
        Parameter(
            group=_TIMES,
            validator=validators.Number(gte=0),
            help="Try a run that fails again, so often in all; 0: without end.",
        ),
    ] = None
    memo: Annotated[
        tuple[str, ...],
        Parameter(
            group=_NOTES,
            negative="",
            show_default=False,
            help="A note as NAME=JSON, e.g. by='\"shop\"'; repeat it for more.",
        ),
    ] = ()
    search_attribute: Annotated[
        tuple[str, ...],
        Parameter(group=_NOTES, negative="", show_default=False, help=f"{ATTRIBUTE_HELP}."),
    ] = ()
    static_summary: Annotated[
        str | None, Parameter(group=_NOTES, help="One line for people, in Markdown.")
    ] = None
    static_details: Annotated[
        str | None, Parameter(group=_NOTES, help="A page for people, in Markdown.")
    ] = None

    def options(self) -> dict[str, Any]:  # Any: options of any types
        """As `Client.start_workflow` takes them.

        Raises:
            CommandError: a note or a search attribute cannot be read.
        """
        from orchestrator.common import RetryPolicy

        retries = None
        if self.max_attempts is not None:
            retries = RetryPolicy(maximum_attempts=self.max_attempts)
        return {
            "execution_timeout": to_timedelta(self.execution_timeout),
            "run_timeout": to_timedelta(self.run_timeout),
            "task_timeout": to_timedelta(self.task_timeout),
            "start_delay": to_timedelta(self.start_delay),
            "cron_schedule": self.cron_schedule,
            "retry_policy": retries,
            "memo": _notes(self.memo),
            "search_attributes": read_attributes(self.search_attribute),
            "static_summary": self.static_summary,
            "static_details": self.static_details,
        }


def _notes(texts: tuple[str, ...]) -> Mapping[str, Any]:  # Any: user's values
    import msgspec

    notes: dict[str, Any] = {}  # Any: as above
    for text in texts:
        name, sign, value = text.partition("=")
        try:
            if not sign or not name:
                raise msgspec.DecodeError("no NAME=")
            notes[name] = msgspec.json.decode(value)
        except msgspec.DecodeError as error:
            raise CommandError(f"--memo: expected NAME=JSON, found {text!r}: {error}") from None
    return notes
