"""The pool: takes work from the feed through the gate to the worker, and gives it its next turn.

One dispatcher stands at each gate, so that work leaves in order; each attempt is a task of its own,
at most as many as the gate has slots. An item goes on with its next step as soon as one is done.
Stopping drains: the dispatchers end, attempts in flight finish and are recorded.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from batchai.clock import Clock
from batchai.domain import Outcome
from batchai.engine import policy
from batchai.engine.canary import Failure
from batchai.engine.feed import Feed
from batchai.engine.intake import Intake
from batchai.engine.lanes import Lane, Station, lanes_of
from batchai.engine.outage import Outage
from batchai.engine.progress import Progress
from batchai.engine.route import Route
from batchai.engine.watch import Where
from batchai.engine.worker import Ended, Prepared, Work
from batchai.errors import (
    OUT_OF_MEMORY,
    BudgetExhaustedError,
    OverLimitError,
    SourceError,
    StoreError,
)
from batchai.limits import Permit
from batchai.store import Reader

log = logging.getLogger(__name__)

_MOST_WAITING = 2000  # requests waiting for a retry, or for an equal one; then none are begun
_MOST_READY = 500  # requests that wait for their turn; beyond it no new items are begun


class Reason(StrEnum):
    """Why a launch ended."""

    FINISHED = "finished"
    INTERRUPTED = "interrupted"  # SIGINT
    TERMINATED = "terminated"  # SIGTERM
    STOPPED = "stopped"  # `batchai stop`
    BUDGET = "budget"
    QUOTA = "quota"
    AUTH = "auth"
    UNKNOWN_MODEL = "unknown_model"
    OUTAGE = "outage"
    OUT_OF_REACH = "out_of_reach"  # a certificate or a proxy is in the way
    STOP_IF = "stop_if"
    SOURCE = "source"
    STORE = "store"
    MEMORY = "memory"
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
    """Works on a run until nothing is left or something stops it.

    stations: one for each step that an item goes through, in order.
    """

    def __init__(self, stations: Sequence[Station], *, progress: Progress, clock: Clock) -> None:
        self._stations = stations
        self._lanes = lanes_of(stations)
        self._duplicates = [station.duplicates for station in stations if station.duplicates]
        self._progress = progress
        self._clock = clock
        self._end: End | None = None
        self._bringing: list[asyncio.Task[None]] = []  # tasks that bring work to be sent
        self._pool: asyncio.Task[None] | None = None
        self._is_abandoned = False

    @property
    def in_flight(self) -> int:
        """Attempts that are not recorded yet."""
        return sum(lane.in_flight for lane in self._lanes)

    @property
    def waits_for(self) -> str | None:
        """What keeps the next request back, in words; None while it goes on."""
        return next((what for lane in self._lanes if (what := lane.waits_for)), None)

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
            for task in self._bringing:
                task.cancel()
        elif reason is Reason.STORE and self._end.reason is not Reason.STORE:
            self._end = End(reason, detail)

    def abandon(self) -> None:
        """After `stop`: leave at once; what is in flight will count as unknown."""
        self._is_abandoned = True
        if self._pool is not None:
            self._pool.cancel()

    @property
    def stopped(self) -> End | None:
        """Why `stop` was called, by whomever; None while it was not."""
        return self._end

    def set(self) -> None:
        """Tell every lane that there may be something new."""
        for lane in self._lanes:
            lane.wake.set()

    async def _work(
        self, reader: Reader, intake: Intake | None, only: frozenset[int] | None
    ) -> None:
        names = [station.step.name for station in self._stations]
        feed = Feed(reader, steps=names, wake=self, only=only)
        route = Route(
            self._stations,
            settled=lambda item_id, outcome: self._settle(feed, item_id, outcome),
            failed_unsent=self._note_failure,
        )
        feed.grow(intake is not None)
        try:
            async with asyncio.TaskGroup() as tasks:
                pool = _Pool(feed, reader, route, tasks)
                works = [partial(self._dispatch, lane, pool) for lane in self._lanes]
                if intake is not None:
                    works.append(partial(self._take_in, intake, feed))
                self._bringing = [tasks.create_task(self._guard(work)) for work in works]
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
        except MemoryError:
            self.stop(Reason.MEMORY, OUT_OF_MEMORY)
        except Exception as error:
            log.exception("batchai itself failed")
            self.stop(Reason.DEFECT, f"{type(error).__name__}: {error}; please report it")

    async def _take_in(self, intake: Intake, feed: Feed) -> None:
        try:
            await intake.run(refresh=feed.refresh, is_over=lambda: self._end is not None)
        finally:
            feed.grow(False)

    async def _dispatch(self, lane: Lane, pool: "_Pool") -> None:
        while self._end is None and (found := await self._next_work(lane, pool)) is not None:
            station, work = found
            prepared = await self._prepare(station, work, pool.route)
            if prepared is None:
                continue
            try:
                permit = await lane.gate.acquire(prepared.ask)
            except OverLimitError as error:
                await pool.route.fail_unsent(station, work, Outcome.OVER_LIMIT, str(error))
                continue
            station.in_flight += 1
            if station.watch is not None:
                station.watch.ask(work.where)
            attempt = partial(self._attempt, station, work, prepared, permit, pool.route)
            pool.tasks.create_task(self._guard(attempt))

    async def _next_work(self, lane: Lane, pool: "_Pool") -> tuple[Station, Work] | None:
        """What is due or ready in a lane, else what comes of a new item; None: nothing is left."""
        while True:
            lane.wake.clear()
            now = self._clock.monotonic()
            found = lane.pop(now)
            if found is not None:
                station, work = found
                if work.tried or work.was_split:
                    work.recall(pool.reader, station.step)
                    if await self._goes_elsewhere(station, work, pool.route):
                        continue
                return found
            item = pool.feed.take() if self._may_begin() else None
            if item is not None and self._duplicates:  # many are only copied: one commit for all
                pool.tasks.create_task(self._guard(partial(pool.route.begin, item)))
                continue
            if item is not None:
                await pool.route.begin(item)
                continue
            if pool.feed.is_over:
                return None
            due = None if lane.due is None else lane.due - now
            await self._clock.wait(lane.wake, due)

    async def _goes_elsewhere(self, station: Station, work: Work, route: Route) -> bool:
        """Whether recalled work goes on in parts, or at another model."""
        step = station.step
        left = policy.left_at(work.history, policies=step.policies, retries=step.retries)
        if isinstance(left, policy.Divide):
            return await route.divide(work, left.keeps)
        if (asked := station.at(left.asker)) is station:
            return False
        asked.lane.retry(asked, work, due=self._clock.monotonic())
        return True

    def _may_begin(self) -> bool:
        """Whether a new item may be begun: not too much waits, watches and caches allow it."""
        if not all(station.admits for station in self._stations):
            return False
        if any(duplicates.waiting >= _MOST_WAITING for duplicates in self._duplicates):
            return False
        waiting = sum(lane.waiting for lane in self._lanes)
        ready = sum(len(station.ready) for station in self._stations)
        return waiting < _MOST_WAITING and ready < _MOST_READY

    async def _prepare(self, station: Station, work: Work, route: Route) -> Prepared | None:
        """The next request; a defect of ours is this item's failure, not the pool's."""
        try:
            if any(message.attachments for message in work.rendered.messages):
                return await asyncio.to_thread(station.worker.prepare, work)
            return station.worker.prepare(work)
        except SourceError as error:  # of a file that is attached
            await route.fail_unsent(station, work, Outcome.UNRENDERABLE, str(error))
            return None
        except MemoryError:  # not the item's failure, unless its template took it all
            raise
        except Exception as error:
            log.exception("a request could not be made", extra={"item": work.key})
            detail = f"batchai itself failed ({type(error).__name__}); please report it"
            await route.fail_unsent(station, work, Outcome.UNRENDERABLE, detail)
            return None

    async def _attempt(
        self, station: Station, work: Work, prepared: Prepared, permit: Permit, route: Route
    ) -> None:
        try:
            ended = await station.worker.attempt(work, prepared, permit)
            self._follow(station, ended)
        finally:
            permit.release()
            station.in_flight -= 1
            self.set()  # a watch over several lanes may hold back another one's requests
        match ended.verdict:
            case policy.Succeed() | policy.Fix() | policy.Stand():
                assert ended.end is not None
                await route.passed(work, ended.end)
            case policy.Divide(keeps=keeps):
                await route.divide(work, keeps)
            case policy.Fail():
                outcome, detail = ended.settlement.outcome.value, ended.settlement.detail
                await route.failed(work, outcome, detail)

    def _follow(self, station: Station, ended: Ended) -> None:
        """What an attempt means for the pool."""
        outcome = ended.settlement.outcome
        self._progress.take(ended)
        station.warmth.take(ended.settlement.usage)
        _tell_gate(station.lane, outcome)
        match ended.verdict:
            case policy.Again(delay_seconds=delay, asker=asker):
                due = self._clock.monotonic() + delay
                asked = station.at(asker)
                asked.lane.retry(asked, ended.work, due=due)
                if station.watch is not None:
                    station.watch.ask_again(ended.work.where, outcome)
            case policy.Divide():
                if station.watch is not None:
                    station.watch.parted(ended.work.where)
            case policy.Stop():
                self.stop(_STOPS[outcome], ended.settlement.detail)
            case policy.Succeed() | policy.Fix() | policy.Stand():
                if station.watch is not None:
                    station.watch.succeeded(ended.work.where)
            case policy.Fail():
                failure = Failure(outcome.value, ended.settlement.detail)
                self._note_failure(station, ended.work.where, failure)
        self._give_up(station.lane.outage)

    def _give_up(self, outage: Outage) -> None:
        """Where the provider is not to be waited for."""
        if outage.is_out_of_reach:
            self.stop(Reason.OUT_OF_REACH, outage.reason)
        elif outage.is_over_patience():
            self.stop(Reason.OUTAGE, outage.reason)

    def _note_failure(self, station: Station, where: Where, failure: Failure) -> None:
        """A broken job stops."""
        if station.watch is None:
            return
        reason = station.watch.failed(where, failure)
        if reason is not None:
            self.stop(Reason.STOP_IF, reason)

    def _settle(self, feed: Feed, item_id: int, outcome: str | None) -> None:
        self._progress.settle(outcome)
        feed.give_back(item_id)


@dataclass(frozen=True, slots=True)
class _Pool:
    """What the dispatchers share."""

    feed: Feed
    reader: Reader
    route: Route
    tasks: asyncio.TaskGroup


def _tell_gate(lane: Lane, outcome: Outcome) -> None:
    if outcome in {Outcome.RATE_LIMITED, Outcome.OVERLOADED}:
        lane.gate.congested()
    elif outcome in {Outcome.SERVER_ERROR, Outcome.TIMED_OUT, Outcome.CONNECTION_LOST}:
        lane.gate.faulted()
    else:
        lane.gate.succeeded()
