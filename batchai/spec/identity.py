"""What of a job makes a difference to its results: the parts whose change is noticed and priced."""

from collections.abc import Callable
from typing import Any

from batchai.spec.addresses import host_of, is_loopback
from batchai.spec.models import Job, Model, Step
from batchai.templates import variables_used

_PARAMETERS = {"max_tokens", "temperature", "top_p", "stop", "metadata", "effort", "extra_body"}


def spec_identity(job: Job) -> dict[str, Any]:
    """prompt, model, parameters, schema and policies, each by step, as plain JSON values.

    Limits, paths, price, budget and selection are left out on purpose: they change no answer. A value of
    `vars` belongs to the prompt that uses it.
    """
    parts: dict[str, Callable[[Step], Any]] = {
        "prompt": lambda step: _prompt(step, job.vars),
        "model": lambda step: {"name": step.model.name, "address": address_identity(step.model)},
        "parameters": lambda step: step.model.model_dump(
            mode="json", include=_PARAMETERS, exclude_none=True
        ),
        "schema": lambda step: step.json_schema,
        "policies": lambda step: step.policies.model_dump(mode="json"),
    }
    return {name: {step.name: part(step) for step in job.steps} for name, part in parts.items()}


def address_identity(model: Model) -> str:
    """`default`, `loopback` (whatever the port), or the host of `base_url`."""
    if model.base_url is None:
        return "default"
    host = host_of(model.base_url)
    return "loopback" if is_loopback(host) else host


def _prompt(step: Step, variables: dict[str, Any]) -> dict[str, Any]:
    prompt = step.prompt
    texts = [prompt.system, prompt.user, *(turn.content for turn in prompt.messages)]
    used = [variables_used(text) for text in texts if text]
    names = set().union(*(roots.get("vars", set()) for roots in used))
    # `vars[item.kind]` names none: then every variable may matter
    takes_all = any("vars" in roots and not roots["vars"] for roots in used)
    kept = {name: value for name, value in variables.items() if takes_all or name in names}
    return {**prompt.model_dump(mode="json"), "vars": kept}
