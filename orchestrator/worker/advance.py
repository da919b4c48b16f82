"""The life of a workflow task: sync, intake, activate, decide, commit, publish.

Whoever holds a wake-up advances its run until the inbox is seen empty. Stale and refused mean: look
again, never "done"; coroutines that have run ahead of history are thrown away. A run that cannot go
on leaves with its reason written down and a row that brings it back; what is raised from here is an
unreachable store or a cancellation, and then the delivery comes again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from orchestrator.core.history_size import bytes_of
from orchestrator.core.state import started_of
from orchestrator.core.transition import Transition
from orchestrator.exceptions import MalformedMessageError, UnavailableError
from orchestrator.ids import WorkflowId
from orchestrator.limits import (
    ACTIVATIONS_PER_TASK_MAX,
    CLOSE_REFUSALS_MAX,
    CRASHES_BEFORE_ISOLATION,
    CRASHES_BEFORE_PARKING,
    INBOX_ENTRIES_MAX,
    INBOX_PAGE_ENTRIES,
    STALE_IN_A_ROW_MAX,
)
from orchestrator.ports.store import Committed, Head, Refused, Stale, Synced, Wake
from orchestrator.relay.certainty import until_known
from orchestrator.replay.facts import TaskFailure
from orchestrator.telemetry.log import get_logger
from orchestrator.wire.events import CommandEvent
from orchestrator.wire.inbox import InboxEntry
from orchestrator.wire.options import RunStatus
from orchestrator.worker.activations import Activations, OpenTask
from orchestrator.worker.border import Border
from orchestrator.worker.confirmations import Confirmations
from orchestrator.worker.context import WorkerContext
from orchestrator.worker.extensions import Extensions
from orchestrator.worker.local_attempts import LocalAttempts
from orchestrator.worker.local_work import LocalTasks, LocalWork
from orchestrator.worker.publications import Publications
from orchestrator.worker.run_cache import CachedRun, RunCache
from orchestrator.worker.run_loader import Lacking, Loaded, RunLoader
from orchestrator.worker.setbacks import Setbacks, Standstill, lacking
from orchestrator.worker.user_code import UserCode

_log = get_logger(__name__)

Isolate: TypeAlias = Callable[[WorkflowId], Awaitable[str | None]]
"""Replays and activates a run once in a process of its own; None when that process lived, else why
not."""


@dataclass(slots=True)
class Errand:
    """One delivery's work on one run, and how far it has come.

    `count`: the attempt is counted when there is something to do. `wants_run`: the caller needs the
    run in memory even if there is nothing to do, and even if it is closed. `entries` None: head and
    inbox are to be read first.
    """

    workflow_id: WorkflowId
    published: Confirmations
    run: CachedRun | None = None
    entries: tuple[InboxEntry, ...] | None = None
    rest: tuple[Transition, ...] = ()
    count: bool = False
    publish_again: bool = False
    wants_run: bool = False
    attempt: int = 1
    local: LocalWork | None = None
    """The local activities of `run` that are in flight."""
    uncounted: int | None = None
    """The attempt counter as it was before this errand, once that is known."""
    stale: int = 0
    refusals: int = 0
    unseen: int = 0

    def drop_run(self) -> None:
        """Throw the coroutines away; only history may be continued."""
        run, self.run, self.entries, self.rest = self.run, None, None, ()
        local, self.local = self.local, None
        if local is not None:
            local.drop()
        if run is not None:
            run.evict()

    def take_run(self) -> CachedRun | None:
        """Hand the run over to the caller."""
        run, self.run = self.run, None
        return run


Standing: TypeAlias = CachedRun | Standstill | None
"""How an errand ends: with the run at its head and nothing unread, the caller's to keep; with the
reason why it does not go on; or with nothing at hand: closed, gone, or moved on by others."""


class Advancer:
    """Advances the runs of one worker."""

    def __init__(
        self,
        context: WorkerContext,
        *,
        user_code: UserCode,
        border: Border,
        loader: RunLoader,
        extensions: Extensions,
        cache: RunCache,
        isolate: Isolate | None,
        local_attempts: LocalAttempts,
    ) -> None:
        self._context = context
        self._activations = Activations(context, user_code, border)
        self._local = LocalTasks(local_attempts, self._activations, context.clock)
        self._loader = loader
        self._setbacks = Setbacks(context, loader)
        self._publications = Publications(context)
        self._extensions = extensions
        self._cache = cache
        self._isolate = isolate

    async def advance(self, errand: Errand) -> Standing:
        """Activate and commit until the inbox is seen empty; then the delivery may be acked.

        Raises:
            UnavailableError: the store does not answer; the delivery is to be given back.
        """
        run_id = None
        if errand.run is not None:
            run_id = errand.run.run_id
            self._learn_timeout(errand.run)
        try:
            return await self._advance(errand)
        except MalformedMessageError as error:
            return await self._setbacks.hand_back(
                errand.workflow_id, lacks=str(error), attempt=errand.uncounted
            )
        except UnavailableError:
            raise
        except Exception as error:  # the boundary of one run: the others' worker must live
            return await self._setbacks.stumble(
                errand.workflow_id, run_id, error, attempt=errand.uncounted
            )
        finally:
            errand.drop_run()

    async def _advance(self, errand: Errand) -> Standing:
        turns = 0
        while turns < ACTIVATIONS_PER_TASK_MAX:
            turns += errand.local is None
            run, entries = errand.run, errand.entries
            if run is None or entries is None:
                synced = await self._sync(errand)
                if synced is None:
                    return None
                if not _has_work(synced):
                    return await self._rest(errand, synced)
                prepared = await self._prepare(errand, synced)
                if not isinstance(prepared, CachedRun):
                    return prepared
                run, entries = prepared, synced.unread
            parts = errand.rest or await self._activations.activate(
                run, entries, attempt=errand.attempt, unseen=errand.unseen
            )
            if isinstance(parts, OpenTask):
                waited = await self._wait_locally(errand, run, parts)
                if waited is None:
                    continue
                parts = waited
            elif errand.local is not None:
                errand.local.end(run.run.local)
                errand.local = None
            if isinstance(parts, TaskFailure):
                return await self._fail(errand, run, parts)
            if await self._commit(errand, run, parts):
                return errand.take_run()
        return await self._hand_on(errand)

    async def _wait_locally(
        self, errand: Errand, run: CachedRun, opened: OpenTask
    ) -> tuple[Transition, ...] | TaskFailure | None:
        """As far as the run's local activities have come; None: look at the run again."""

        async def look() -> bool:
            synced = await self._sync(errand)
            if synced is None or errand.run is None:
                errand.drop_run()
                return True
            errand.entries = synced.unread
            return bool(synced.unread)

        if errand.local is None:
            errand.local = self._local.begin(run)
        parts = await self._local.wait(errand.local, run, opened, look)
        if parts is not None and (opened.closes or not run.run.local.to_run):
            errand.local = None
        return parts

    # Sync -----------------------------------------------------------------------------------------

    async def _sync(self, errand: Errand) -> Synced | None:
        """Head and inbox, read together; the row of what is unread has moved on."""
        count = errand.count

        async def read() -> Synced | None:
            # Counted at most once: a call whose answer was lost may have counted.
            nonlocal count
            count, errand.count = errand.count, False
            return await self._context.store.sync(
                errand.workflow_id,
                task_timeout_ms=self._extensions.timeout_ms(errand.workflow_id),
                count_attempt=count,
                entries_max=INBOX_ENTRIES_MAX if errand.refusals else INBOX_PAGE_ENTRIES,
            )

        synced = await until_known(read, self._context.clock)
        if synced is None:
            return None
        head = synced.head
        errand.attempt = head.failures + 1
        counted = count and _has_work(synced)
        errand.uncounted = head.attempt - 1 if counted else head.attempt
        if errand.run is not None and not errand.run.stands_on(
            head, in_task=errand.local is not None
        ):
            errand.drop_run()
        if errand.publish_again and head.status is RunStatus.RUNNING:
            errand.publish_again = False
            await self._publications.publish_again(errand.workflow_id, head.run_id)
        return synced

    async def _rest(self, errand: Errand, synced: Synced) -> Standing:
        """There is nothing to do: the run itself if it is at hand or wanted."""
        head = synced.head
        if synced.held_back:
            return Standstill(head.problem or "the run is held back for a while; ask again later")
        if errand.run is not None or not errand.wants_run:
            return errand.take_run()
        loaded = await self._load(errand, head)
        match loaded:
            case Loaded(cached=cached):
                return cached
            case Lacking(what=what):
                return Standstill(lacking(what))
            case TaskFailure():
                return Standstill(f"{loaded.cause.value}: {loaded.failure.message}")
            case None:
                return None

    async def _prepare(self, errand: Errand, synced: Synced) -> Standing:
        """Have the run at its head in memory; or the reason why not."""
        head = synced.head
        reason = await self._reason_to_park(errand.workflow_id, head)
        if reason is not None:
            return await self._setbacks.park(errand.workflow_id, head, reason)
        if errand.run is not None:
            return errand.run
        loaded = await self._load(errand, head)
        match loaded:
            case Loaded():
                errand.run, errand.rest = loaded.cached, loaded.rest
                return errand.run
            case Lacking(what=what):
                return await self._setbacks.hand_back(
                    errand.workflow_id, lacks=what, attempt=errand.uncounted
                )
            case TaskFailure():
                return await self._setbacks.fail(
                    errand.workflow_id, head.run_id, head.token, loaded, attempt=errand.attempt
                )
            case None:
                return None

    async def _load(self, errand: Errand, head: Head) -> Loaded | Lacking | TaskFailure | None:
        loaded = await self._loader.load(
            errand.workflow_id,
            head.run_id,
            token=head.token,
            consumed=head.consumed,
            unseen=errand.unseen,
        )
        if isinstance(loaded, Loaded):
            self._learn_timeout(loaded.cached)
        return loaded

    def _learn_timeout(self, run: CachedRun) -> None:
        timeout_ms = started_of(run.state).task_timeout_ms
        self._extensions.learn(run.state.workflow_id, task_timeout_ms=timeout_ms)

    async def _reason_to_park(self, workflow_id: WorkflowId, head: Head) -> str | None:
        """Why a run that was begun so often without any trace must not be begun here again."""
        if head.attempt < CRASHES_BEFORE_ISOLATION:
            return None
        if head.attempt >= CRASHES_BEFORE_PARKING:
            return (
                f"its worker died {head.attempt} times while it worked on this run, although the "
                "run survives in a process of its own"
            )
        if self._isolate is None:
            return None
        self._context.bind(_log, workflow_id, head.run_id, attempt=head.attempt).warning(
            "run_isolated"
        )
        return await self._isolate(workflow_id)

    # Commit ---------------------------------------------------------------------------------------

    async def _commit(self, errand: Errand, run: CachedRun, parts: Sequence[Transition]) -> bool:
        """Write the parts in order and publish what each makes necessary; whether that was all.

        If it was not, the errand holds what is to be done next; if it was, it holds the run unless
        that is closed or belongs to others.
        """
        unread: tuple[InboxEntry, ...] = ()
        is_recorded = bool(errand.rest)
        for part in parts:
            answer = await self._commit_part(part)
            match answer:
                case Committed():
                    self._accept(errand, run, part, answer)
                    unread, is_recorded = answer.unread, True
                case Stale():
                    return self._overtaken(errand)
                case Refused():
                    return self._refused(errand, answer, is_recorded=is_recorded)
        errand.stale = errand.refusals = errand.unseen = 0
        errand.attempt, errand.rest = 1, ()
        if parts[-1].close is not None:
            errand.drop_run()
            return True
        errand.entries = unread
        if run.run.local.to_run:
            return False
        if unread and self._cache.limit == 0:
            errand.drop_run()
        return not unread

    async def _commit_part(self, part: Transition) -> Committed | Stale | Refused:
        return await until_known(lambda: self._context.store.commit(part), self._context.clock)

    def _accept(self, errand: Errand, run: CachedRun, part: Transition, answer: Committed) -> None:
        self._context.counters.add("commits")
        run.token, run.consumed = part.new_token, part.consumed_to
        run.history_bytes += bytes_of(part.events)
        run.run.accept(
            [event for event in part.events if isinstance(event.attributes, CommandEvent)]
        )
        self._publications.publish(started_of(run.state), part, answer, errand.published)

    def _overtaken(self, errand: Errand) -> bool:
        """Somebody else moved the run: look again, unless that happens all the time, when they
        hold deliveries of their own."""
        self._context.counters.add("stale")
        self._context.bind(_log, errand.workflow_id).debug(
            "commit_stale", in_a_row=errand.stale + 1
        )
        errand.drop_run()
        errand.stale += 1
        return errand.stale >= STALE_IN_A_ROW_MAX

    def _refused(self, errand: Errand, answer: Refused, *, is_recorded: bool) -> bool:
        """A close that has not seen every message: replay with all of them in one activation. A
        task of which a part `is_recorded` cannot be decided anew; its close is forced at once."""
        self._context.counters.add("refused")
        errand.drop_run()
        errand.refusals += 1
        self._context.bind(_log, errand.workflow_id).debug(
            "close_refused", unseen=answer.unseen, refusals=errand.refusals
        )
        force = is_recorded or errand.refusals >= CLOSE_REFUSALS_MAX
        errand.unseen = answer.unseen if force else 0
        return False

    # Ends -----------------------------------------------------------------------------------------

    async def _fail(self, errand: Errand, run: CachedRun, failure: TaskFailure) -> Standstill:
        run_id, token = run.run_id, run.token
        errand.drop_run()
        return await self._setbacks.fail(
            errand.workflow_id, run_id, token, failure, attempt=errand.attempt
        )

    async def _hand_on(self, errand: Errand) -> Standing:
        """Unread entries remain: a fresh wake-up, confirmed before the ack."""
        synced = await self._sync(errand)
        if synced is not None and _has_work(synced):
            errand.published.expect()
            wake = Wake(task_queue=synced.head.task_queue)
            self._context.dispatcher.wake(errand.workflow_id, wake, errand.published.told)
        return errand.take_run()


def _has_work(synced: Synced) -> bool:
    head = synced.head
    if synced.held_back or head.status is not RunStatus.RUNNING:
        return False
    return bool(synced.unread) or head.unfinished
