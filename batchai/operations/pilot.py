"""`batchai plan --pilot N`: N items drawn at random and sent, the rest estimated from them."""

import asyncio
import random
from dataclasses import dataclass
from decimal import Decimal

from batchai.clock import Clock
from batchai.domain import Estimate
from batchai.engine.intake import Intake, Selection
from batchai.engine.progress import Progress
from batchai.engine.runner import End
from batchai.engine.scan import Finding, Scan
from batchai.operations.changes import comparison_with_today
from batchai.operations.check import refuse_mistakes
from batchai.operations.console import Console, Silence
from batchai.operations.estimating import estimate_by_size, estimate_from, with_spent
from batchai.operations.launch import Launch
from batchai.operations.opening import Opened, opened
from batchai.operations.run import holds_unknown
from batchai.operations.survey import Survey, Surveyor
from batchai.operations.trial import run_for_trial
from batchai.spec.models import Job
from batchai.store import Reader
from batchai.store.samples import taken


@dataclass(frozen=True, slots=True)
class Pilot:
    """What the sent items came to, and what the run will, these items included.

    sent: how many, failed ones among them. cost: of these, USD. rest: what would still be sent.
    """

    job: Job
    end: End
    exit_code: int
    sent: int
    failed: int
    cost: Decimal
    rest: Survey
    estimate: Estimate
    is_free: bool


async def pilot(
    job: Job,
    *,
    count: int,
    console: Console | None = None,
    clock: Clock | None = None,
    rng: random.Random | None = None,
) -> Pilot:
    """Send `count` of the items that a run would send; they are done then, and count.

    The estimate is kept for the report of the run that they begin. Raises what `run_job` raises.
    """
    refuse_mistakes(job)
    async with opened(job, console=console or Silence(), clock=clock) as found:
        refuse_mistakes(job, found.source)
        found.store.recover(hold=holds_unknown(job), now=found.clock.utcnow())
        reader = Reader(found.store.path)
        try:
            surveyor = Surveyor(found.steps, reader=reader, clock=found.clock)
            drawn = _Draw(count, rng or random.Random())
            before = await surveyor.survey(_scan(found, reader), reader, each=drawn.take)
            return await _send(found, drawn.kept, before, surveyor)
        finally:
            reader.close()


class _Draw:
    """Keeps so many of all that it is told of, each with the same chance (algorithm R)."""

    def __init__(self, count: int, rng: random.Random) -> None:
        self.kept: list[Finding] = []
        self._count = count
        self._rng = rng
        self._seen = 0

    def take(self, finding: Finding) -> None:
        """Keep it, or not."""
        self._seen += 1
        if len(self.kept) < self._count:
            self.kept.append(finding)
        elif (place := self._rng.randrange(self._seen)) < self._count:
            self.kept[place] = finding


def _scan(found: Opened, reader: Reader) -> Scan:
    return Scan(
        found.source,
        key_columns=found.job.input.key,
        reader=reader,
        steps=found.job.step_names,
        comparison=comparison_with_today(found.job, reader),
        skip_bad_rows=True,
    )


async def _send(found: Opened, drawn: list[Finding], before: Survey, surveyor: Surveyor) -> Pilot:
    store, steps, progress = found.store, found.steps, Progress(to_send=len(drawn))
    names = found.job.step_names
    selection = Selection(None, is_first=False, retain_rows=found.job.retain.items)
    reader = Reader(store.path)
    try:
        intake = Intake(
            _scan(found, reader), selection, store=store, steps=names, progress=progress
        )
        await intake.pick(drawn)
    finally:
        reader.close()
    stored = store.reader.stored([finding.item.key for finding in drawn], *names)
    ids = frozenset(item.item_id for item in stored.values())
    run = run_for_trial(found)
    launch = Launch(found, run, progress, sends=len(ids))
    began = found.clock.monotonic()
    end = await launch.work_on(ids)
    seconds = found.clock.monotonic() - began
    sizes = {stored[f.item.key].item_id: f for f in drawn}
    rest = _rest(before, drawn, surveyor)
    done = await asyncio.to_thread(taken, store.reader, *names, item_ids=ids)
    estimate = estimate_from(
        [item for item in done if item.item_id in sizes],
        rest,
        surveyor,
        steps=steps,
        limits=found.job.limits,
        basis="pilot",
        at=found.clock.utcnow(),
    ) or estimate_by_size(
        rest,
        limits=found.job.limits,
        latency_seconds=store.reader.mean_latency(),
        basis="pilot",
        at=found.clock.utcnow(),
    )
    now = store.reader.last_run()
    assert now is not None
    estimate = with_spent(estimate, cost=now.cost, items=progress.settled, seconds=seconds)
    store.keep_estimate(run.id, estimate)
    return Pilot(
        job=found.job,
        end=end,
        exit_code=launch.end(end),
        sent=progress.settled,
        failed=progress.failed.total(),
        cost=progress.cost,
        rest=rest,
        estimate=estimate,
        is_free=all(step.rates.is_free for step in steps),
    )


def _rest(before: Survey, drawn: list[Finding], surveyor: Surveyor) -> Survey:
    """What is left of a survey without the items that were drawn."""
    gone = sum(surveyor.size(f.asked.requests[0]) for f in drawn if f.asked and f.asked.requests)
    before.to_send -= len(drawn)
    before.size = max(0.0, before.size - gone)
    return before
