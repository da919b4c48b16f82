"""The middle of a workflow task, between what was read and what is written: intake, activate,
decide. Nothing here waits, but for a payload codec where there is one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestrator import __version__
from orchestrator.core.decide import Task, activation_time_ms, consume, decide
from orchestrator.core.history_size import bytes_of, suggests_continue_as_new
from orchestrator.core.intake import Intake, intake
from orchestrator.core.transition import Transition
from orchestrator.core.updates import answers_of
from orchestrator.ids import Mark
from orchestrator.limits import COMMIT_BYTES_MAX, COMMIT_COMMANDS_MAX
from orchestrator.replay.command_log import closes
from orchestrator.replay.facts import Activation, Commands, TaskFailure
from orchestrator.telemetry.log import get_logger
from orchestrator.wire import codec
from orchestrator.wire.commands import Command, RecordMarker
from orchestrator.wire.events import WorkflowTaskFailureCause
from orchestrator.wire.failure import ApplicationFailure, Failure
from orchestrator.wire.inbox import InboxEntry
from orchestrator.worker.border import Border
from orchestrator.worker.context import WorkerContext
from orchestrator.worker.run_cache import CachedRun
from orchestrator.worker.user_code import UserCode

_log = get_logger(__name__)
_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(slots=True)
class OpenTask:
    """A task whose code waits for local activities: more commands may come before it is decided.

    `has_news`: there is something to write even if no local activity ends.
    """

    news: Intake
    task: Task
    commands: list[Command]
    has_news: bool
    size_bytes: int
    closes: bool = False

    def has_room_for(self, marker: RecordMarker) -> bool:
        """Whether the end of a local activity still fits into the first commit of the task, with
        all that stands before it: a replay knows nothing of ends in further ones."""
        size_bytes = self.size_bytes + 2 * len(codec.encode(marker))  # a codec may add to it
        is_first = not self.commands
        return is_first or (
            len(self.commands) < COMMIT_COMMANDS_MAX and size_bytes <= COMMIT_BYTES_MAX
        )

    def add(self, completion: Commands) -> None:
        """Take what the code wished for next."""
        self.commands.extend(completion.commands)
        self.size_bytes += sum(len(codec.encode(one)) for one in completion.commands)
        self.closes = closes(completion)
        self.news.answers.extend(answers_of(completion.rejections))
        self.has_news = self.has_news or bool(completion.commands)


class Activations:
    """Activates the runs of one worker."""

    def __init__(self, context: WorkerContext, user_code: UserCode, border: Border) -> None:
        self._context = context
        self._user_code = user_code
        self._border = border

    async def activate(
        self, run: CachedRun, entries: Sequence[InboxEntry], *, attempt: int, unseen: int
    ) -> tuple[Transition, ...] | OpenTask | TaskFailure:
        """Let the code see `entries`; the commits that this makes. The run is ahead of the store
        until they are written: whoever cannot write them evicts it.

        `attempt` is 1 and the failures before; `unseen` more than 0 forces a close.
        """
        news = intake(run.state, entries)
        if news.dropped:
            self._count_dropped(run, news.dropped)
        events = (*run.pending, *news.events)
        task = self._task(run, news, entries, attempt=attempt, unseen=unseen)
        if not events and not news.updates and not run.run.local.to_run:
            return (consume(run.state, news, task, mint=self._context.mint),)
        run.pending = ()
        activation = Activation(
            time_ms=task.now_ms,
            events=events,
            build_id=self._context.build_id,
            updates=tuple(news.updates.values()),
            history_length=run.state.last_event_id + 2,
            history_bytes=task.history_bytes,
            continue_as_new_suggested=suggests_continue_as_new(
                run.state, history_bytes=task.history_bytes
            ),
        )
        self._context.counters.add("activations")
        if not run.is_fresh:
            self._context.counters.add("cached_activations")
        if self._border.is_open:
            completion = self._user_code.activate(run.run, activation)
        else:
            completion = await self._border.activate(self._user_code, run.run, activation)
        if isinstance(completion, TaskFailure):
            return completion
        if run.run.local.to_run and not closes(completion):
            opened = OpenTask(news, task, [], has_news=bool(entries or events), size_bytes=0)
            opened.add(completion)
            return opened
        news.answers.extend(answers_of(completion.rejections))
        if not events and not completion.commands:
            return (consume(run.state, news, task, mint=self._context.mint),)
        return self._decide(run, news, completion.commands, task)

    async def end_local(
        self, run: CachedRun, opened: OpenTask, ended: RecordMarker
    ) -> TaskFailure | None:
        """Let the code see the end of a local activity, within its task."""
        completion = self._user_code.end_local(run.run, ended)
        if not self._border.is_open:
            completion = await self._border.seal_completion(completion)
        if isinstance(completion, TaskFailure):
            return completion
        opened.add(completion)
        return None

    def decide(self, run: CachedRun, opened: OpenTask) -> tuple[Transition, ...] | TaskFailure:
        """The commits of a task as far as it has come; what still runs goes on in the next one."""
        running = 0 if opened.closes else len(run.run.local.to_run)
        task = replace(opened.task, local_activities=running)
        return self._decide(run, opened.news, opened.commands, task)

    def _decide(
        self, run: CachedRun, news: Intake, commands: Sequence[Command], task: Task
    ) -> tuple[Transition, ...] | TaskFailure:
        try:
            return decide(run.state, news, commands, task, mint=self._context.mint)
        except UnicodeEncodeError as error:  # in a text that the code gave: a note's name, a type
            message = f"a text of the workflow's code cannot be stored: {error}"
            failure = Failure(
                message=message, detail=ApplicationFailure(error_type="UnicodeEncodeError")
            )
            return TaskFailure(cause=WorkflowTaskFailureCause.PAYLOAD, failure=failure)

    def _task(
        self,
        run: CachedRun,
        news: Intake,
        entries: Sequence[InboxEntry],
        *,
        attempt: int,
        unseen: int,
    ) -> Task:
        estimate_ms = self._context.clock.now_ms()
        return Task(
            identity=self._context.identity,
            now_ms=activation_time_ms(run.state, news, estimate_ms=estimate_ms),
            token=run.token,
            consumed_to=entries[-1].number if entries else run.consumed,
            consumed_mark=Mark(entries[-1].mark) if entries else None,
            attempt=attempt,
            history_bytes=run.history_bytes + bytes_of(news.events),
            sticky=self._context.sticky,
            unseen_messages=unseen,
            python=_PYTHON,
            sdk_version=__version__,
            build_id=self._context.build_id,
        )

    def _count_dropped(self, run: CachedRun, count: int) -> None:
        """Entries were late, doubled or void: nothing is wrong, but many of them tell a story."""
        self._context.counters.add("dropped_entries", count)
        log = self._context.bind(_log, run.state.workflow_id, run.run_id)
        log.debug("entries_dropped", count=count)
