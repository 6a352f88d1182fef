"""Where in the job file a mistake stands that shows only once the job is put together."""

from collections.abc import Iterator, Sequence

from batchai.domain import MAIN_STEP
from batchai.spec.models import Job, Model, Step


def placed(job: Job, step: Step, field: str, problem: str) -> str:
    """`jobs/a.yaml:12: steps.one.model.max_tokens: …`, the line of what is written nearest to it.

    field: dotted, below the step.
    """
    path = _path(step, field)
    return f"{_line(job, path)}: {path}: {problem}"


def without_key(job: Job, model: Model, names: Sequence[str]) -> str:
    """Which field asks a model whose key is missing, and what to do about it.

    names: the environment variables that may hold the key. A further model can be left for the
    step's own, which was opened before it; without any key, all can be left for a local one.
    """
    step, field = next(
        (step, field) for step in job.steps for field, asked in models_of(step) if asked == model
    )
    path = _as_written(job, step, field)
    others = ["without an account: --model local/smollm2-135m"]
    if field.startswith(("fallback", "escalate")):
        setting = f"--set {path.partition('[')[0]}={step.model.name}"
        others = [setting] if step.model.provider == "local" else [setting, *others]
    return (
        f"{_line(job, path)}: {path}: {model.name} needs a key: set {' or '.join(names)} in the "
        f"environment or in a .env file beside the job (or {'; '.join(others)})"
    )


def models_of(step: Step) -> Iterator[tuple[str, Model]]:
    """Every model that a step may ask, and the field that names it."""
    yield "model", step.model
    policies = step.policies
    yield from ((f"fallback.models[{n}]", model) for n, model in enumerate(policies.fallbacks))
    if policies.escalate is not None:
        yield "escalate.model", policies.escalate.model
    if step.history is not None:
        yield "history.model", step.history.model


def _as_written(job: Job, step: Step, field: str) -> str:
    """The dotted field of a step, or that of the job where the step takes it over from there."""
    path = _path(step, field)
    return field if _line(job, path) == _line(job, field) else path


def _path(step: Step, field: str) -> str:
    return field if step.name == MAIN_STEP else f"steps.{step.name}.{field}"


def _line(job: Job, path: str) -> str:
    while path:
        if path in job.places:
            return job.places[path]
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return job.path.name
