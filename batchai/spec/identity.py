"""What of a job makes a difference to its results: the parts whose change is noticed and priced."""

from collections.abc import Mapping
from typing import Any

from batchai.spec.addresses import host_of, is_loopback
from batchai.spec.models import Job, Model, Step
from batchai.templates import is_used_whole, variables_used

_PARAMETERS = {"max_tokens", "temperature", "top_p", "stop", "metadata", "effort", "extra_body"}


def spec_identity(job: Job) -> dict[str, Any]:
    """`step_identity` of the job's one step, with its `vars`."""
    (step,) = job.steps
    return step_identity(step, variables=job.vars)


def step_identity(step: Step, *, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """prompt, model, parameters, schema and policies as JSON values, equal after a round trip.

    Limits, paths, price, budget and selection are left out on purpose: they change no answer.
    Of `variables`, the job's `vars`, those that the prompt uses belong to it.
    """
    model = step.model
    return {
        "prompt": _prompt(step, variables or {}),
        "model": {"name": model.name, "address": address_identity(model)},
        "parameters": model.model_dump(mode="json", include=_PARAMETERS, exclude_none=True),
        "schema": step.json_schema,
        "policies": step.policies.model_dump(mode="json"),
    }


def address_identity(model: Model) -> str:
    """`default`, `loopback` (whatever the port), or the host of `base_url`."""
    if model.base_url is None:
        return "default"
    host = host_of(model.base_url)
    return "loopback" if is_loopback(host) else host


def _prompt(step: Step, variables: Mapping[str, Any]) -> dict[str, Any]:
    prompt = step.prompt
    texts = [prompt.system, prompt.user, *prompt.attachments]
    texts += [turn.content for turn in prompt.messages]
    written = [text for text in texts if text]
    names = set().union(*(variables_used(text).get("vars", set()) for text in written))
    takes_any = any(is_used_whole(text, "vars") for text in written)
    used = {name: value for name, value in variables.items() if takes_any or name in names}
    unused = set() if prompt.attachments else {"attachments"}  # as before there were any
    return {**prompt.model_dump(mode="json", exclude=unused), "vars": used}
