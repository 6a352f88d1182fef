"""Stores as a killed run leaves them, written without a provider: a million items in minutes."""

import asyncio
from datetime import timedelta
from decimal import Decimal

from batchai.clock import Clock
from batchai.domain import Attempt, Outcome, Settlement, State, Usage
from batchai.engine.intake import Intake
from batchai.engine.progress import Progress
from batchai.engine.scan import Scan
from batchai.operations.changes import approach_to
from batchai.operations.launch import begin_or_continue
from batchai.operations.opening import asking_of, open_input
from batchai.prompts import Prompts
from batchai.spec.models import Job
from batchai.store import Ledger, Reader, Store
from batchai.store.ledger import StepEnd
from batchai.store.rows import PendingItem
from tests.benchmarks.scenario import MAX_TOKENS, RESULT

_AT_ONCE = 1000
_AGO = timedelta(hours=1)  # the gate's windows have forgotten what a night's run sent
_USAGE = Usage(uncached_input=100, output=150)
_COST = Decimal("0.00075")
_WORST_COST = Decimal("0.0032")


async def fill(job: Job, *, done: int) -> None:
    """Take in the whole input of a job without a store, and settle the first `done` items."""
    clock = Clock()
    store = Store(job.store_path, job_path=job.path)
    try:
        await _take_in(job, store)
        run = begin_or_continue(job, store, clock=clock)
        launch = store.begin_launch(run.id, now=clock.utcnow())
        filler = _Filler(job, store.ledger, run_id=run.id, launch_id=launch)
        after = 0
        while done > 0:
            page = store.reader.pending(job.steps[0].name, after=after, limit=min(done, _AT_ONCE))
            await asyncio.gather(*map(filler.settle, page))
            done -= len(page)
            after = page[-1].item_id
    finally:
        await store.close()


async def _take_in(job: Job, store: Store) -> None:
    source = open_input(job)
    selection = approach_to(job, source, store.reader, changed=None).selection
    assert selection is not None
    steps = job.step_names
    reader = Reader(store.path)
    try:
        scan = Scan(source, key_columns=job.input.key, reader=reader, steps=steps)
        intake = Intake(scan, selection, store=store, steps=steps, progress=Progress())
        await intake.run(refresh=lambda: None, is_over=lambda: False)
    finally:
        reader.close()


class _Filler:
    """Records one attempt and its success per item, as a worker does."""

    def __init__(self, job: Job, ledger: Ledger, *, run_id: int, launch_id: int) -> None:
        self._step = job.steps[0]
        self._prompts: Prompts = asking_of(job, self._step).prompts
        self._ledger = ledger
        self._run_id = run_id
        self._launch_id = launch_id
        self._now = Clock().utcnow() - _AGO

    async def settle(self, item: PendingItem) -> None:
        attempt = Attempt(
            id=self._ledger.new_attempt_id(),
            item_id=item.item_id,
            step=self._step.name,
            number=1,
            run_id=self._run_id,
            launch_id=self._launch_id,
            model=self._step.model.name,
            max_tokens=MAX_TOKENS,
            input_tokens=100,
            sent_at=self._now,
            worst_cost=_WORST_COST,
        )
        await self._ledger.open_attempt(attempt)
        settlement = Settlement(
            attempt.id,
            Outcome.SUCCEEDED,
            closed_at=self._now,
            usage=_USAGE,
            cost=_COST,
            latency_seconds=0.8,
            model=self._step.model.id,
            status=200,
        )
        assert item.row is not None
        fingerprint = self._prompts.fingerprint(self._prompts.render(item.row))
        end = StepEnd(State.SUCCEEDED, fingerprint, Outcome.SUCCEEDED.value, result=RESULT)
        await self._ledger.close_attempt(attempt, settlement, counts=True, end=end)
