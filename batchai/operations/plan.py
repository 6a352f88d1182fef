"""`batchai plan`: what a run would do now, with tokens, price and duration; spends nothing."""

import asyncio
from dataclasses import dataclass
from datetime import date

from batchai.clock import Clock
from batchai.domain import Estimate, State
from batchai.engine.scan import Scan
from batchai.operations.changes import comparison_with_today
from batchai.operations.check import refuse_mistakes
from batchai.operations.estimating import done_before, estimate
from batchai.operations.opening import (
    keyless_provider_for,
    open_input,
    prepare_steps,
    providers_of,
    rates_of,
)
from batchai.operations.survey import Survey, Surveyor
from batchai.pricing import end_of_life
from batchai.sources import Source
from batchai.spec.models import Job
from batchai.store import Reader, open_reader


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do. failed: items that a run leaves as they are without `--retry`.

    estimate: of what would be sent. ends: the model's last day, where it is known.
    """

    job: Job
    survey: Survey
    failed: int
    estimate: Estimate
    is_free: bool
    ends: date | None = None


async def plan(job: Job, *, clock: Clock | None = None) -> Plan:
    """Read the whole input, compare it with the store, and price what would be sent.

    Raises SpecError, PricingError, ProviderError, SourceError.
    """
    refuse_mistakes(job)
    clock = clock or Clock()
    rates = rates_of(job)
    source = await asyncio.to_thread(open_input, job)
    refuse_mistakes(job, source)
    reader = open_reader(job.store_path) if job.store_path.exists() else None
    try:
        async with providers_of(job, keyless_provider_for) as providers:
            steps = prepare_steps(job, providers, rates, reader)
            surveyor = Surveyor(steps, reader=reader, clock=clock)
            survey = await surveyor.survey(_scan(job, source, reader), reader)
        counts = reader.item_counts(*job.step_names) if reader else {}
        made = estimate(
            survey,
            surveyor,
            done=done_before(reader, steps) if reader else (),
            steps=steps,
            limits=job.limits,
            latency_seconds=reader.mean_latency() if reader else None,
            at=clock.utcnow(),
        )
    finally:
        if reader is not None:
            reader.close()
    return Plan(
        job=job,
        survey=survey,
        failed=counts.get(State.FAILED, 0),
        estimate=made,
        is_free=all(rate.is_free for rate in rates.values()),
        ends=end_of_life(job.steps[0].model.name),
    )


def _scan(job: Job, source: Source, reader: Reader | None) -> Scan:
    return Scan(
        source,
        key_columns=job.input.key,
        reader=reader,
        steps=job.step_names,
        comparison=comparison_with_today(job, reader),
        skip_bad_rows=True,
    )
