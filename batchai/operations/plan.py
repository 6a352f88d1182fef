"""`batchai plan`: what a run would do now, with tokens, price and duration; spends nothing."""

import asyncio
from dataclasses import dataclass

from batchai.clock import Clock
from batchai.domain import State
from batchai.engine.scan import Scan
from batchai.operations.changes import comparison_with_today
from batchai.operations.check import refuse_mistakes
from batchai.operations.opening import keyless_provider_for, open_input, prepare_step, rates_of
from batchai.operations.survey import Survey, Surveyor
from batchai.sources import Source
from batchai.spec.models import Job
from batchai.store import Reader, open_reader

_LATENCY_SECONDS = 3.0  # of one request, before there is a history


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do. failed: items that a run leaves as they are without `--retry`.

    seconds: how long it takes at least, by limits, concurrency and the latency so far.
    """

    job: Job
    survey: Survey
    failed: int
    seconds: float
    has_history: bool
    is_free: bool


async def plan(job: Job, *, clock: Clock | None = None) -> Plan:
    """Read the whole input, compare it with the store, and price what would be sent.

    Raises SpecError, PricingError, ProviderError, SourceError.
    """
    refuse_mistakes(job)
    clock = clock or Clock()
    rates = rates_of(job)
    source = await asyncio.to_thread(open_input, job)
    refuse_mistakes(job, source)
    provider = keyless_provider_for(job.steps[0])
    reader = open_reader(job.store_path) if job.store_path.exists() else None
    try:
        step = prepare_step(job, provider, rates, reader)
        surveyor = Surveyor(step, reader=reader, clock=clock)
        survey = await surveyor.survey(_scan(job, source, reader), reader)
        counts = reader.state_counts(step.name) if reader else {}
        latency = reader.mean_latency() if reader else None
    finally:
        await provider.close()
        if reader is not None:
            reader.close()
    return Plan(
        job=job,
        survey=survey,
        failed=counts.get(State.FAILED, 0),
        seconds=_seconds(job, survey, latency or _LATENCY_SECONDS),
        has_history=latency is not None,
        is_free=rates.is_free,
    )


def _scan(job: Job, source: Source, reader: Reader | None) -> Scan:
    return Scan(
        source,
        key_columns=job.input.key,
        reader=reader,
        step=job.steps[0].name,
        comparison=comparison_with_today(job, reader),
        skip_bad_rows=True,
    )


def _seconds(job: Job, survey: Survey, latency_seconds: float) -> float:
    """The slowest of the limits decides."""
    limits = job.limits
    slots = 32 if limits.concurrency == "auto" else limits.concurrency
    waits = [survey.to_send * latency_seconds / slots]
    for limit, amount in (
        (limits.requests_per_minute, survey.to_send),
        (limits.tokens_per_minute, survey.input_tokens + survey.output_tokens),
        (limits.input_tokens_per_minute, survey.input_tokens),
        (limits.output_tokens_per_minute, survey.output_tokens),
    ):
        if limit:
            waits.append(amount / limit * 60)
    return max(waits)
