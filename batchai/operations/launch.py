"""One launch of an opened job: it works on a run until nothing is left or something stops it."""

import asyncio
import gc
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from batchai.clock import Clock
from batchai.domain import State
from batchai.engine.caching import Warmth
from batchai.engine.control import Control
from batchai.engine.duplicates import Duplicates
from batchai.engine.heartbeat import ClockGap, Watchdog
from batchai.engine.intake import Intake
from batchai.engine.lanes import Lane, Station
from batchai.engine.outage import Outage
from batchai.engine.progress import Progress
from batchai.engine.runner import End, Reason, Runner
from batchai.engine.step import PreparedStep, with_further
from batchai.engine.watch import Watch
from batchai.engine.worker import Origin, Worker
from batchai.errors import StoreError
from batchai.limits import Budget, Gate, Load, Past
from batchai.operations.changes import Approach, scan_is_done, scan_of
from batchai.operations.notify import Marks, Notifier
from batchai.operations.opening import Opened, key_names, most_concurrency
from batchai.operations.reducing import take_in_groups
from batchai.operations.signals import answered
from batchai.reports.notice import News
from batchai.reports.words import counted, span, tuned_words, usd
from batchai.spec import spec_identity
from batchai.spec.models import Job, Limits, StopIf
from batchai.store import Reader, Store
from batchai.store.history import Action, Event
from batchai.store.rows import Run
from batchai.store.values import to_ms

EXIT_CODES = {
    Reason.INTERRUPTED: 130,
    Reason.TERMINATED: 143,
    Reason.STORE: 4,
}
STOPPED = 3
_SHOW_SECONDS = 0.25
_STALL_SECONDS = 300.0  # before somebody far away is told
_COLLECTIONS = (50_000, 20, 100)  # new objects, and rounds, between collections
_REASONS = {signal.SIGINT: Reason.INTERRUPTED, signal.SIGTERM: Reason.TERMINATED}


class Launch:
    """Works on a run of an opened job, once.

    sends: how many items, where that is known. on_text: see Worker. drain_seconds: how long what is
    in flight may take after a signal; None = until each deadline.
    """

    def __init__(
        self,
        opened: Opened,
        run: Run,
        progress: Progress,
        *,
        sends: int | None = None,
        on_text: Callable[[str, str], None] | None = None,
        drain_seconds: float | None = None,
        notifier: Notifier | None = None,
    ) -> None:
        job, store, clock = opened.job, opened.store, opened.clock
        self._on_text = on_text
        self._sends = sends
        self._opened = opened
        self._progress = progress
        self._drain_seconds = drain_seconds
        self._leaves_at: asyncio.TimerHandle | None = None
        self._is_interrupted = False
        self._paused_at: float | None = None
        self._paused_seconds = 0.0  # by pauses that are over
        progress.budget, progress.spent_before = job.budget_usd, run.cost
        self.run = run
        self._id = store.begin_launch(run.id, now=clock.utcnow())
        self._budget = Budget(job.budget_usd, spent=run.cost, unconfirmed=run.unconfirmed)
        self._load = Load()
        self._lanes: dict[str, Lane] = {}
        self._stations = [self._station(step) for step in opened.steps if step.reduction is None]
        self._runner = Runner(self._stations, progress=progress, clock=clock)
        self._notifier = notifier
        if notifier is not None:
            Marks(self._budget, notifier.tell)
        self.control = Control(
            self._runner,
            tuple(lane.gate for lane in self._lanes.values()),
            own=opened.own,
            job=job,
            budget=self._budget,
            record=self._record,
        )

    def _station(self, step: PreparedStep, watch: Watch | None = None) -> Station:
        """watch: over the items of a step that asks several models; None: one of its own."""
        opened, lane = self._opened, self._lane(step)
        if self._sends is not None and step.cache and self._sends < step.cache.pays_from:
            step = replace(step, cache=None)
        condenser = None
        if step.condenser is not None:
            condenser = self._station(step.condenser.step)
        worker = Worker(
            step,
            ledger=opened.store.ledger,
            clock=opened.clock,
            outage=lane.outage,
            hold=lane.gate.hold,
            origin=Origin(self.run.id, self._id),
            on_text=self._on_text,
        )
        warmth = Warmth(step.cache, opened.clock)
        watch = watch or _watch(opened.job.stop_if)
        station = Station(worker, lane, watch, warmth, condenser, duplicates=self._duplicates(step))
        lane.stations.append(station)
        ladder = (station, *(self._station(further, watch) for further in step.further))
        for one in ladder if step.further else ():
            one.ladder = ladder
        return station

    def _duplicates(self, step: PreparedStep) -> Duplicates | None:
        opened = self._opened
        if not opened.job.dedupe:
            return None
        opened.store.index_requests()
        return Duplicates(opened.store.reader, step=step.name, run_id=self.run.id)

    def _lane(self, step: PreparedStep) -> Lane:
        """The lane of the step's account: each has limits and slots of its own, all one budget."""
        if step.account not in self._lanes:
            job, clock = self._opened.job, self._opened.clock
            asked = with_further(self._opened.steps)
            models = {one.model for one in asked if one.account == step.account}
            gate = Gate(
                job.limits,
                clock=clock,
                budget=self._budget,
                load=self._load,
                past=_past(self._opened.store.reader, job.limits, clock, models),
            )
            outage = Outage(patience_seconds=job.limits.max_wait_seconds, clock=clock)
            self._lanes[step.account] = Lane(gate, outage)
        return self._lanes[step.account]

    async def work(self, approach: Approach) -> End:
        """Take in what the approach calls for and send what is pending, until all is recorded."""
        opened, store = self._opened, self._opened.store
        if approach.selection is None:
            return await self._run()
        self._progress.is_counted = False
        reader = Reader(store.path)
        try:
            intake = Intake(
                scan_of(opened, reader, approach),
                approach.selection,
                store=store,
                steps=opened.job.step_names,
                progress=self._progress,
                skip=approach.skip,
            )
            return await self._run(intake)
        finally:
            reader.close()

    async def _reduce(self, end: End) -> End:
        """After the items, what reduces their results, one step after the other."""
        store = self._opened.store
        for step in self._opened.steps:
            if step.reduction is None or end.reason is not Reason.FINISHED:
                continue
            groups = await take_in_groups(store, step, window=most_concurrency(self._opened.job))
            if self._runner.stopped is not None:  # between two pools
                return self._runner.stopped
            station = self._station(step)
            station.groups = groups
            counts = store.reader.state_counts(step.name)
            pending = counts.get(State.PENDING, 0)
            self._progress.to_send += pending
            self._progress.groups += pending
            self._runner = Runner([station], progress=self._progress, clock=self._opened.clock)
            self.control.follow(self._runner, tuple(lane.gate for lane in self._lanes.values()))
            end = await self._runner.run(store.reader)
        return end

    async def work_on(self, items: frozenset[int]) -> End:
        """Send just these items."""
        return await self._run(only=items)

    @property
    def paused_seconds(self) -> float:
        """How long it was paused: no time of work."""
        return self._paused_seconds + self._pause_so_far()

    def _pause_so_far(self) -> float:
        at = self._paused_at
        return 0.0 if at is None else self._opened.clock.monotonic() - at

    def _time_pauses(self, action: Action) -> None:
        if action is Action.PAUSED and self._paused_at is None:
            self._paused_at = self._opened.clock.monotonic()
        elif action is Action.RESUMED:
            self._paused_seconds += self._pause_so_far()
            self._paused_at = None

    def end(self, end: End) -> int:
        """Write down how the launch ended; returns its exit code."""
        store, now = self._opened.store, self._opened.clock.utcnow()
        job = self._opened.job
        counts = store.reader.item_counts(*job.step_names)
        reduced = [store.reader.state_counts(step.name) for step in job.reductions]
        code = exit_code(job, end, counts)
        if code == 0 and any(found.get(State.FAILED) for found in reduced):
            code = 1
        is_reduced = end.reason is Reason.FINISHED or not reduced
        try:
            if scan_is_done(store.reader) and not counts.get(State.PENDING) and is_reduced:
                store.end_run(self.run.id, now=now)
            store.end_launch(self._id, exit_code=code, reason=end.reason.value, now=now)
        except StoreError:
            if end.reason is not Reason.STORE:  # else all has been said
                raise
        return code

    async def _run(
        self, intake: Intake | None = None, *, only: frozenset[int] | None = None
    ) -> End:
        heartbeat = asyncio.create_task(self._show())
        try:
            self._opened.stop.connect(lambda: self._interrupt(Reason.INTERRUPTED))
            with answered(lambda number: self._interrupt(_REASONS[number])), _rare_collections():
                end = await self._runner.run(self._opened.store.reader, intake, only=only)
                end = end if only is not None else await self._reduce(end)
                return self._naming_the_key(end)
        finally:
            heartbeat.cancel()
            if self._leaves_at is not None:
                self._leaves_at.cancel()
            self._opened.console.show(self._progress, None)

    def _naming_the_key(self, end: End) -> End:
        names = key_names(self._opened.job) if end.reason is Reason.AUTH else ()
        if not names:
            return end
        return replace(end, detail=f"{end.detail} (the key of {' or '.join(names)})")

    async def _show(self) -> None:
        clock = self._opened.clock
        watchdog, gap = Watchdog(clock), ClockGap(clock)
        while True:
            self._progress.budget = self._budget.limit
            self._opened.console.show(self._progress, self._runner.waits_for)
            still = watchdog.look(self._progress.moved)
            if still is not None and not self.control.is_paused:
                self._say_still(still)
            await clock.sleep(_SHOW_SECONDS)
            if (asleep := gap.look()) is not None:
                self._wake_up(asleep)

    def _say_still(self, seconds: float) -> None:
        """A run in which nothing moves says so, and why, as far as it knows."""
        in_flight = self._runner.in_flight
        parts = []
        if waits_for := self._runner.waits_for:
            parts.append(f"waits for {waits_for}")
        if in_flight:
            parts.append(f"{counted(in_flight, 'request')} in flight, each until its deadline")
        if not self._progress.is_counted:
            parts.append("the input is being read")
        why = "; ".join(parts) or "nothing is known of why"
        self._opened.console.say(f"Nothing has moved for {span(seconds)}: {why}.")
        if self._notifier is not None and seconds >= _STALL_SECONDS:
            self._notifier.tell(News.STALLED, reason=why)

    def _wake_up(self, seconds: float) -> None:
        """After a gap of the clock the old connections are gone, and so may be the old capacity."""
        for step in with_further(self._opened.steps):
            step.provider.reconnect()
        for lane in self._lanes.values():
            lane.gate.restart()
        self._opened.console.say(
            f"The machine or this process stood still for {span(seconds)}: going on over new "
            "connections, slowly at first."
        )

    async def _record(
        self, action: Action, said: Mapping[str, Any], budget: Decimal | None
    ) -> None:
        """Tell the person at this end what came from the other, and write it down."""
        self._time_pauses(action)
        self._opened.console.say(_told(action, said, in_flight=self._runner.in_flight))
        event = Event(self._opened.clock.utcnow(), action, said)
        ledger = self._opened.store.ledger
        await ledger.steer(self.run.id, event, budget=budget, launch_id=self._id)

    def _interrupt(self, reason: Reason) -> None:
        if self._is_interrupted:
            self._leave("Leaving now.")
            return
        self._is_interrupted = True
        self._runner.stop(reason)
        bound = ""
        if self._drain_seconds is not None:
            bound = f" for up to {span(self._drain_seconds)}"
            self._leaves_at = asyncio.get_running_loop().call_later(
                self._drain_seconds, self._leave, "The time of --drain is over."
            )
        self._opened.console.say(
            f"Finishing {self._runner.in_flight} in flight{bound} (^C again leaves now, up to "
            f"{usd(self._budget.reserved)} unconfirmed)."
        )

    def _leave(self, why: str) -> None:
        self._opened.console.say(f"{why} What was in flight counts as unknown.")
        self._runner.abandon()


def exit_code(job: Job, end: End, counts: Mapping[State, int]) -> int:
    """What the command exits with: how the launch ended, and whether too many items failed."""
    if end.reason is not Reason.FINISHED:
        return EXIT_CODES.get(end.reason, STOPPED)
    failed = counts.get(State.FAILED, 0) + counts.get(State.UNKNOWN, 0)
    return 0 if failed <= most_failed(job, sum(counts.values())) else 1


def _told(action: Action, said: Mapping[str, Any], *, in_flight: int) -> str:
    match action:
        case Action.PAUSED:
            return "Paused from another terminal; `batchai resume` goes on."
        case Action.RESUMED:
            return "Goes on."
        case Action.TUNED:
            words = tuned_words(said) if said else "as the job says again"
            return f"Tuned from another terminal: {words}."
        case Action.STOPPED:
            return f"Stopped from another terminal, {in_flight} in flight."


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Look for cycles seldom, and not in what was there before: it takes a tenth of an item's CPU.

    A launch makes hardly any cycles, so memory stays as flat as with Python's own thresholds.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*_COLLECTIONS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def most_failed(job: Job, items: int) -> int:
    """How many failed items still count as success (`allow_failed`)."""
    allowed = job.allow_failed
    if allowed.share is not None:
        return int(allowed.share * items)
    return allowed.number or 0


def begin_or_continue(job: Job, store: Store, *, clock: Clock) -> Run:
    """The run that is not over yet, under today's spec and budget, or a new one."""
    spec = spec_identity(job)
    last = store.reader.last_run()
    if last is None or last.ended_at is not None:
        return store.begin_run(spec=spec, budget=job.budget_usd, now=clock.utcnow())
    store.continue_run(last, spec=spec, budget=job.budget_usd)
    return last


def _watch(stop_if: StopIf | None) -> Watch | None:
    if stop_if is None:
        return None
    return Watch(share=stop_if.failed_share, of_last=stop_if.of_last)


def _past(reader: Reader, limits: Limits, clock: Clock, models: set[str]) -> list[Past]:
    """What the windows hold after a restart, from the ledger's wall times."""
    per_day = (
        limits.requests_per_day,
        limits.tokens_per_day,
        limits.input_tokens_per_day,
        limits.output_tokens_per_day,
    )
    span = timedelta(days=1) if any(per_day) else timedelta(minutes=1)
    now, more = clock.utcnow(), timedelta(seconds=1)
    recent = reader.recent_attempts(
        to_ms(now - span - more), models, exact_since_ms=to_ms(now - timedelta(minutes=1) - more)
    )
    return [
        Past(
            (now - sent.sent_at).total_seconds(), sent.input_tokens, sent.output_tokens, sent.number
        )
        for sent in recent
    ]
