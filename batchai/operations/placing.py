"""Where in the job file a mistake stands that shows only once the job is put together."""

from collections.abc import Iterator

from batchai.domain import MAIN_STEP
from batchai.spec.models import Job, Model, Step


def placed(job: Job, step: Step, field: str, problem: str) -> str:
    """`jobs/a.yaml:12: steps.one.model.max_tokens: …`, the line of what is written nearest to it.

    field: dotted, below the step.
    """
    path = field if step.name == MAIN_STEP else f"steps.{step.name}.{field}"
    return f"{_line(job, path)}: {path}: {problem}"


def models_of(step: Step) -> Iterator[tuple[str, Model]]:
    """Every model that a step may ask, and the field that names it."""
    yield "model", step.model
    policies = step.policies
    yield from ((f"fallback.models[{n}]", model) for n, model in enumerate(policies.fallbacks))
    if policies.escalate is not None:
        yield "escalate.model", policies.escalate.model
    if step.history is not None:
        yield "history.model", step.history.model


def _line(job: Job, path: str) -> str:
    while path:
        if path in job.places:
            return job.places[path]
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return job.path.name
