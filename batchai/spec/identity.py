"""What of a job makes a difference to its results: the parts whose change is noticed and priced."""

from collections.abc import Mapping, Sequence
from typing import Any

from batchai.spec.addresses import host_of, is_loopback
from batchai.spec.models import Function, Job, Model, Policies, Split, Step
from batchai.spec.texts import prompt_texts
from batchai.templates import is_used_whole, variables_used

_PARAMETERS = {"max_tokens", "temperature", "top_p", "stop", "metadata", "effort", "extra_body"}


def spec_identity(job: Job) -> dict[str, Any]:
    """`step_identity` by step, in order, with the job's `vars`."""
    return {step.name: step_identity(step, variables=job.vars) for step in job.steps}


def step_identity(step: Step, *, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """prompt, model, parameters, schema and policies as JSON values, equal after a round trip, and
    what makes more than one request of a step, where it does.

    Limits, paths, price, budget and selection are left out on purpose: they change no answer.
    Of `variables`, the job's `vars`, those that the step uses belong to it.
    """
    return {
        "prompt": _prompt(step, variables or {}),
        **_request(step.model),
        "schema": step.json_schema,
        "policies": _policies(step.policies),
        **_checks(step, variables or {}),
        **step_shape(step),
    }


def step_shape(step: Step) -> dict[str, Any]:
    """Which requests a step makes of an item, where that is not just one."""
    shape: dict[str, Any] = {}
    if step.condition is not None:
        shape["if"] = step.condition
    if step.foreach is not None:
        shape["foreach"] = step.foreach
    if step.reduction is not None:
        shape["reduce"] = step.reduction.model_dump(mode="json")
    if step.history is not None:
        after = step.history.summarise_after
        shape["history"] = {"summarise_after": after, **_request(step.history.model)}
    return shape


def address_identity(model: Model) -> str:
    """`default`, `loopback` (whatever the port), or the host of `base_url`."""
    if model.base_url is None:
        return "default"
    host = host_of(model.base_url)
    return "loopback" if is_loopback(host) else host


def _request(model: Model) -> dict[str, Any]:
    return {
        "model": {"name": model.name, "address": address_identity(model)},
        "parameters": model.model_dump(mode="json", include=_PARAMETERS, exclude_none=True),
    }


def _policies(policies: Policies) -> dict[str, Any]:
    """Those that were not always there stand in it where they are given."""
    later = {"on_too_long", "fallback", "escalate"}
    found: dict[str, Any] = policies.model_dump(mode="json", exclude=later)
    match policies.on_too_long:
        case "truncate":
            found["on_too_long"] = "truncate"
        case Split(into=into):
            found["on_too_long"] = {"split": into}
    if policies.fallback is not None:
        models = [_request(model) for model in policies.fallbacks]
        after = policies.fallback.on
        found["fallback"] = {"models": models, "on": None if after is None else [*after]}
    if policies.escalate is not None:
        escalate = policies.escalate
        found["escalate"] = {"if": escalate.condition, **_request(escalate.model)}
    return found


def _checks(step: Step, variables: Mapping[str, Any]) -> dict[str, Any]:
    if not step.checks:
        return {}
    written: list[Any] = []
    used: dict[str, Any] = {}
    for check in step.checks:
        if isinstance(check, Function):
            written.append({"function": check.function, "sha256": check.digest})
            continue
        written.append(check.expression)
        used |= _used(variables, [f"{{{{ {check.expression} }}}}"])
    return {"checks": {"of": written, "vars": used}}


def _prompt(step: Step, variables: Mapping[str, Any]) -> dict[str, Any]:
    expressions = [step.condition, step.foreach]
    written = [*prompt_texts(step.prompt), *(f"{{{{ {e} }}}}" for e in expressions if e)]
    used = _used(variables, written)
    prompt = step.prompt
    absent = {"attachments": prompt.attachments, "turns": prompt.turns}  # as before there were any
    unused = {name for name, value in absent.items() if not value}
    return {**prompt.model_dump(mode="json", exclude=unused), "vars": used}


def _used(variables: Mapping[str, Any], texts: Sequence[str]) -> dict[str, Any]:
    """Those of the job's `vars` that templates take."""
    names = set().union(*(variables_used(text).get("vars", set()) for text in texts))
    takes_any = any(is_used_whole(text, "vars") for text in texts)
    return {name: value for name, value in variables.items() if takes_any or name in names}
