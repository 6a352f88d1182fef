"""The pool: takes work from the feed through the gate to the worker, and gives it its next turn.

One dispatcher stands at the gate, so that work leaves in order; each attempt is a task of its own,
at most as many as the gate has slots. An item that waits for its retry is in a heap and holds no
slot. Stopping drains: the dispatcher ends, attempts in flight finish and are recorded.
"""

import asyncio
import heapq
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import count

from batchai.clock import Clock
from batchai.domain import Outcome
from batchai.engine import policy
from batchai.engine.caching import Warmth
from batchai.engine.canary import Failure
from batchai.engine.feed import Feed
from batchai.engine.intake import Intake
from batchai.engine.outage import Outage
from batchai.engine.policy import Tried
from batchai.engine.progress import Progress
from batchai.engine.scan import UNRENDERABLE
from batchai.engine.step import PreparedStep
from batchai.engine.watch import Watch
from batchai.engine.worker import Ended, Prepared, Work, Worker
from batchai.errors import (
    BudgetExhaustedError,
    OverLimitError,
    SourceError,
    StoreError,
    TemplateError,
)
from batchai.limits import Gate, Permit
from batchai.prompts import Rendered
from batchai.store import Reader
from batchai.store.queries import PendingItem

log = logging.getLogger(__name__)

_MOST_WAITING = 2000  # items waiting for a retry; beyond it no new ones are begun
_NOTHING = Rendered(None, ())


class Reason(StrEnum):
    """Why a launch ended."""

    FINISHED = "finished"
    INTERRUPTED = "interrupted"  # SIGINT
    TERMINATED = "terminated"  # SIGTERM
    BUDGET = "budget"
    QUOTA = "quota"
    AUTH = "auth"
    UNKNOWN_MODEL = "unknown_model"
    OUTAGE = "outage"
    STOP_IF = "stop_if"
    SOURCE = "source"
    STORE = "store"
    DEFECT = "defect"  # batchai itself failed


_STOPS = {
    Outcome.AUTH_FAILED: Reason.AUTH,
    Outcome.QUOTA_EXHAUSTED: Reason.QUOTA,
    Outcome.UNKNOWN_MODEL: Reason.UNKNOWN_MODEL,
}


@dataclass(frozen=True, slots=True)
class End:
    """How a launch ended, and one line about it for a person."""

    reason: Reason
    detail: str = ""


class Runner:
    """Works on a run until nothing is left or something stops it."""

    def __init__(
        self,
        step: PreparedStep,
        *,
        worker: Worker,
        gate: Gate,
        outage: Outage,
        watch: Watch | None,
        progress: Progress,
        clock: Clock,
    ) -> None:
        self._step = step
        self._worker = worker
        self._gate = gate
        self._outage = outage
        self._watch = watch
        self._progress = progress
        self._clock = clock
        self._warmth = Warmth(step.cache, clock)
        self._wake = asyncio.Event()
        self._waiting: list[tuple[float, int, Work]] = []  # due time, ticket, work
        self._held: deque[Work] = deque()  # due, and held back by the watch
        self._tickets = count()
        self._in_flight = 0
        self._end: End | None = None
        self._dispatcher: asyncio.Task[None] | None = None
        self._pool: asyncio.Task[None] | None = None
        self._is_abandoned = False

    @property
    def in_flight(self) -> int:
        """Attempts that are not recorded yet."""
        return self._in_flight

    @property
    def waits_for(self) -> str | None:
        """What keeps the next request back, in words; None while it goes on."""
        return self._outage.waits_for or self._gate.waiting_for

    async def run(
        self, reader: Reader, intake: Intake | None = None, *, only: frozenset[int] | None = None
    ) -> End:
        """Scan and send; returns when all in flight is recorded. `only`: just these items."""
        self._pool = asyncio.create_task(self._work(reader, intake, only))
        try:
            await self._pool
        except asyncio.CancelledError:
            if not self._is_abandoned:
                raise
        return self._end or End(Reason.FINISHED)

    def stop(self, reason: Reason, detail: str = "") -> None:
        """Drain: send nothing more. The first reason counts, but for a store that breaks."""
        if self._end is None:
            self._end = End(reason, detail)
            if self._dispatcher is not None:
                self._dispatcher.cancel()
        elif reason is Reason.STORE and self._end.reason is not Reason.STORE:
            self._end = End(reason, detail)

    def abandon(self) -> None:
        """After `stop`: leave at once; what is in flight will count as unknown."""
        self._is_abandoned = True
        if self._pool is not None:
            self._pool.cancel()

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called, by whomever."""
        return self._end is not None

    async def _work(
        self, reader: Reader, intake: Intake | None, only: frozenset[int] | None
    ) -> None:
        feed = Feed(reader, step=self._step.name, wake=self._wake, only=only)
        feed.grow(intake is not None)
        try:
            async with asyncio.TaskGroup() as tasks:
                if intake is not None:
                    tasks.create_task(self._guard(lambda: self._take_in(intake, feed)))
                self._dispatcher = tasks.create_task(
                    self._guard(lambda: self._dispatch(feed, reader, tasks))
                )
        finally:
            await feed.close()

    async def _guard(self, work: Callable[[], Awaitable[None]]) -> None:
        """What goes wrong in a task drains the pool; raised, it would cancel what is in flight."""
        try:
            await work()
        except SourceError as error:
            self.stop(Reason.SOURCE, str(error))
        except StoreError as error:
            self.stop(Reason.STORE, str(error))
        except BudgetExhaustedError as error:
            self.stop(Reason.BUDGET, str(error))
        except Exception as error:
            log.exception("batchai itself failed")
            self.stop(Reason.DEFECT, f"{type(error).__name__}: {error}; please report it")

    async def _take_in(self, intake: Intake, feed: Feed) -> None:
        try:
            await intake.run(refresh=feed.refresh, is_over=lambda: self._end is not None)
        finally:
            feed.grow(False)

    async def _dispatch(self, feed: Feed, reader: Reader, tasks: asyncio.TaskGroup) -> None:
        while self._end is None and (work := await self._next_work(feed, reader)) is not None:
            prepared = await self._prepare(work)
            if prepared is None:
                feed.give_back(work.item_id)
                continue
            try:
                permit = await self._gate.acquire(prepared.ask)
            except OverLimitError as error:
                await self._fail_unsent(work, Outcome.OVER_LIMIT, str(error))
                feed.give_back(work.item_id)
                continue
            self._in_flight += 1
            if self._watch is not None:
                self._watch.ask(work.item_id)
            attempt = partial(self._attempt, work, prepared, permit, feed)
            tasks.create_task(self._guard(attempt))

    async def _next_work(self, feed: Feed, reader: Reader) -> Work | None:
        """The retry that is due longest, else a new item; None when nothing is left."""
        while True:
            self._wake.clear()
            now = self._clock.monotonic()
            if (due_work := self._due(now)) is not None:
                return due_work
            item = feed.take() if self._may_begin() else None
            if item is not None:
                work = await self._begin(item, reader)
                if work is not None:
                    return work
                feed.give_back(item.item_id)
                continue
            is_idle = not (self._waiting or self._held or self._in_flight)
            if feed.is_exhausted and is_idle:
                return None
            due = self._waiting[0][0] - now if self._waiting else None
            await self._clock.wait(self._wake, due)

    def _due(self, now: float) -> Work | None:
        """The retry that is due longest and may be sent; those that may not wait their turn.

        What comes back is due before what was held back: items are asked to their end one after
        the other, so that few of them decide whether the job is broken.
        """
        while self._waiting and self._waiting[0][0] <= now:
            work = heapq.heappop(self._waiting)[2]
            if self._may_ask(work):
                return work
            self._held.append(work)
        if self._held and self._may_ask(self._held[0]):
            return self._held.popleft()
        return None

    def _may_ask(self, work: Work) -> bool:
        return self._watch is None or self._watch.may_ask(work.item_id)

    def _may_begin(self) -> bool:
        """Whether a new item may be begun: not too many wait, watch and cache allow it."""
        if self._watch is not None and not self._watch.may_begin:
            return False
        if not self._warmth.admits(self._in_flight):
            return False
        return len(self._waiting) + len(self._held) < _MOST_WAITING

    async def _begin(self, item: PendingItem, reader: Reader) -> Work | None:
        """Render an item; one that cannot be rendered fails here and costs nothing."""
        if self._watch is not None:
            self._watch.begin()
        work = Work(item.item_id, item.key, _NOTHING, UNRENDERABLE, item.attempts + 1)
        if item.row is None:
            await self._fail_unsent(work, Outcome.UNRENDERABLE, "its row is not in the store")
            return None
        try:
            work.rendered = self._step.prompts.render(item.row)
        except TemplateError as error:
            await self._fail_unsent(work, Outcome.UNRENDERABLE, str(error))
            return None
        work.fingerprint = self._step.prompts.fingerprint(work.rendered)
        if item.tried:
            work.history = _history(reader, item, self._step.name)
        return work

    async def _prepare(self, work: Work) -> Prepared | None:
        """The next request; a defect of ours is this item's failure, not the pool's."""
        try:
            if any(message.attachments for message in work.rendered.messages):
                return await asyncio.to_thread(self._worker.prepare, work)
            return self._worker.prepare(work)
        except SourceError as error:  # of a file that is attached
            await self._fail_unsent(work, Outcome.UNRENDERABLE, str(error))
            return None
        except Exception as error:
            log.exception("a request could not be made", extra={"item": work.key})
            detail = f"batchai itself failed ({type(error).__name__}); please report it"
            await self._fail_unsent(work, Outcome.UNRENDERABLE, detail)
            return None

    async def _attempt(self, work: Work, prepared: Prepared, permit: Permit, feed: Feed) -> None:
        try:
            self._follow(await self._worker.attempt(work, prepared, permit), feed)
        finally:
            permit.release()
            self._in_flight -= 1
            self._wake.set()

    def _follow(self, ended: Ended, feed: Feed) -> None:
        """What the verdict on an attempt means for its item and for the pool."""
        work, outcome = ended.work, ended.settlement.outcome
        self._progress.take(ended)
        self._warmth.take(ended.settlement.usage)
        self._tell_gate(ended)
        match ended.verdict:
            case policy.Again(delay_seconds=delay):
                due = self._clock.monotonic() + delay
                heapq.heappush(self._waiting, (due, next(self._tickets), work))
                if self._watch is not None:
                    self._watch.ask_again(work.item_id, outcome)
            case policy.Stop():
                self.stop(_STOPS[outcome], ended.settlement.detail)
            case policy.Succeed() | policy.Fix():
                feed.give_back(work.item_id)
                if self._watch is not None:
                    self._watch.succeeded(work.item_id)
            case policy.Fail():
                feed.give_back(work.item_id)
                self._note_failure(work, outcome, ended.settlement.detail)
        if self._outage.is_over_patience():
            self.stop(Reason.OUTAGE, self._outage.reason)

    def _tell_gate(self, ended: Ended) -> None:
        outcome = ended.settlement.outcome
        if outcome in {Outcome.RATE_LIMITED, Outcome.OVERLOADED}:
            self._gate.congested()
        elif outcome in {Outcome.SERVER_ERROR, Outcome.TIMED_OUT, Outcome.CONNECTION_LOST}:
            self._gate.faulted()
        else:
            self._gate.succeeded()

    def _note_failure(self, work: Work, outcome: Outcome, detail: str) -> None:
        """A broken job stops."""
        if self._watch is None:
            return
        reason = self._watch.failed(work.item_id, Failure(outcome.value, detail))
        if reason is not None:
            self.stop(Reason.STOP_IF, reason)

    async def _fail_unsent(self, work: Work, outcome: Outcome, detail: str) -> None:
        await self._worker.settle_unsent(work, outcome, detail)
        self._progress.fail_unsent(outcome.value)
        self._note_failure(work, outcome, detail)


def _history(reader: Reader, item: PendingItem, step: str) -> list[Tried]:
    """The attempts that still count, so that a resumed item goes on where it was."""
    history: list[Tried] = []
    left = item.tried
    for row in reversed(reader.attempts_of(item.item_id, step)):
        if row.outcome is None or left == 0:
            break
        is_counted = policy.is_counted(row.outcome, reached=True)
        left -= is_counted
        history.append(Tried(row.outcome, row.max_tokens, row.detail, row.answer, is_counted))
    return history[::-1]
