"""The middle of a workflow task, between what was read and what is written: intake, activate,
decide. Nothing here waits, but for a payload codec where there is one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from orchestrator import __version__
from orchestrator.core.decide import Task, activation_time_ms, consume, decide
from orchestrator.core.history_size import bytes_of, suggests_continue_as_new
from orchestrator.core.intake import Intake, intake
from orchestrator.core.transition import Transition
from orchestrator.core.updates import answers_of
from orchestrator.ids import Mark
from orchestrator.replay.facts import Activation, TaskFailure
from orchestrator.telemetry.log import get_logger
from orchestrator.wire.inbox import InboxEntry
from orchestrator.worker.border import Border
from orchestrator.worker.context import WorkerContext
from orchestrator.worker.run_cache import CachedRun
from orchestrator.worker.user_code import UserCode

_log = get_logger(__name__)
_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


class Activations:
    """Activates the runs of one worker."""

    def __init__(self, context: WorkerContext, user_code: UserCode, border: Border) -> None:
        self._context = context
        self._user_code = user_code
        self._border = border

    async def activate(
        self, run: CachedRun, entries: Sequence[InboxEntry], *, attempt: int, unseen: int
    ) -> tuple[Transition, ...] | TaskFailure:
        """Let the code see `entries`; the commits that this makes. The run is ahead of the store
        until they are written: whoever cannot write them evicts it.

        `attempt` is 1 and the failures before; `unseen` more than 0 forces a close.
        """
        news = intake(run.state, entries)
        if news.dropped:
            self._count_dropped(run, news.dropped)
        events = (*run.pending, *news.events)
        task = self._task(run, news, entries, attempt=attempt, unseen=unseen)
        if not events and not news.updates:
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
        news.answers.extend(answers_of(completion.rejections))
        if not events and not completion.commands:
            return (consume(run.state, news, task, mint=self._context.mint),)
        return decide(run.state, news, completion.commands, task, mint=self._context.mint)

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
