"""What `batchai check` says beside mistakes: what will end, and what every request repeats."""

from collections.abc import Iterator
from datetime import date

from batchai.clock import Clock
from batchai.engine.caching import prefix_tokens
from batchai.limits import Calibration
from batchai.operations.opening import asking_of
from batchai.pricing import end_of_life
from batchai.providers import least_cached_tokens
from batchai.spec.models import Job, Step

_NOTICE_DAYS = 60


def warnings(job: Job, *, clock: Clock | None = None) -> Iterator[str]:
    """One line for each thing that a run would go on with, and that the user should know."""
    today = (clock or Clock()).utcnow().date()
    for step in job.steps:
        yield from _retirement(job, step, today)
        yield from _vain_cache(job, step)


def _retirement(job: Job, step: Step, today: date) -> Iterator[str]:
    end = end_of_life(step.model.name)
    if end is None or (end - today).days > _NOTICE_DAYS:
        return
    when = f"was ended on {end}" if end < today else f"ends on {end}"
    yield (
        f"{job.path.name}: model {step.model.name} {when}; choose another: "
        f"batchai models {step.model.provider}"
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
