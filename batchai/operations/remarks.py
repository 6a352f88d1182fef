"""What `batchai check` says beside mistakes: what will end, and what every request repeats."""

import asyncio
from collections.abc import Iterator
from datetime import date

from batchai.clock import Clock
from batchai.engine.caching import prefix_tokens
from batchai.engine.scan import Scan
from batchai.limits import Calibration
from batchai.operations.changes import comparison_with_today
from batchai.operations.opening import (
    asking_of,
    keyless_provider_for,
    open_input,
    prepare_steps,
    providers_of,
    rates_of,
)
from batchai.operations.placing import models_of, placed
from batchai.operations.survey import Survey, Surveyor
from batchai.pricing import end_of_life
from batchai.providers import least_cached_tokens
from batchai.spec.models import Job, Step

_NOTICE_DAYS = 60
_LOOKED_AT = 50  # items, for what requests have in common


def warnings(job: Job, *, clock: Clock | None = None) -> Iterator[str]:
    """One line for each thing that a run would go on with, and that the user should know."""
    today = (clock or Clock()).utcnow().date()
    for step in job.steps:
        yield from _retirement(job, step, today)
        yield from _vain_cache(job, step)


def repeated_share(job: Job) -> float | None:
    """What part of the input tokens every request repeats, by the first items of the input.

    None where nothing repeats, or where looking would use the input up.
    """
    first = min(_LOOKED_AT, job.input.limit or _LOOKED_AT)
    job = job.model_copy(update={"input": job.input.model_copy(update={"limit": first})})
    survey = asyncio.run(_survey_of_all(job))
    if survey is None or not survey.shared_tokens:
        return None
    return survey.shared_tokens / survey.input_tokens


async def _survey_of_all(job: Job) -> Survey | None:
    """Whatever the store has: as if nothing had been sent."""
    source = open_input(job)
    if not source.reopens:
        return None
    async with providers_of(job, keyless_provider_for) as providers:
        steps = prepare_steps(job, providers, rates_of(job), None)
        scan = Scan(
            source,
            key_columns=job.input.key,
            reader=None,
            steps=job.step_names,
            comparison=comparison_with_today(job, None),
            skip_bad_rows=True,
        )
        return await Surveyor(steps, reader=None, clock=Clock()).survey(scan, None)


def _retirement(job: Job, step: Step, today: date) -> Iterator[str]:
    for place, model in models_of(step):
        end = end_of_life(model.name)
        if end is None or (end - today).days > _NOTICE_DAYS:
            continue
        when = f"was ended on {end}" if end < today else f"ends on {end}"
        yield placed(
            job,
            step,
            place,
            f"{model.name} {when}; choose another: batchai models {model.provider}",
        )


def _vain_cache(job: Job, step: Step) -> Iterator[str]:
    """A cache that the job asks for and that will never be."""
    if step.cache not in ("5m", "1h"):
        return
    least = least_cached_tokens(step.model, is_asked_for=True)
    tokens = prefix_tokens(asking_of(job, step).prompts.shared_prefix(), Calibration())
    if least is None:
        yield f"{job.path.name}: cache: {step.model.name} has no prompt cache to ask for; remove it"
    elif tokens < least:
        yield (
            f"{job.path.name}: cache: what all prompts begin with is about {tokens:,} tokens, and "
            f"{step.model.name} caches from {least:,} on; put what is the same before what is "
            "the item's, or remove `cache:`"
        )
