"""From a loaded job to what a launch needs: source, provider, prepared step; spends nothing."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from batchai.clock import Clock
from batchai.documents import Attacher
from batchai.domain import MAIN_STEP, ModelSettings
from batchai.engine.caching import cache_mark, lifetime, may_mark, prefix_tokens
from batchai.engine.policy import Retries
from batchai.engine.step import Condenser, PreparedStep
from batchai.errors import ProviderError, SourceError, SpecError
from batchai.limits import Calibration
from batchai.operations.console import Console, StopButton
from batchai.operations.functions import checks_of
from batchai.operations.placing import without_key
from batchai.operations.signals import answered, unheard
from batchai.pricing import Rates, price_for
from batchai.prompts import Asking, Prompts, fields_used
from batchai.providers import Provider, file_rules, key_variables, open_provider
from batchai.schemas import AnswerSchema, default_max_tokens, doubts_of
from batchai.secrets import find_key
from batchai.sources import Source, open_items, open_source
from batchai.spec import step_identity, step_shape
from batchai.spec.identity import address_identity
from batchai.spec.models import Holds, Job, Model, Policies, Prompt, Step
from batchai.spec.tuning import tuned
from batchai.store import Reader, Store
from batchai.store.history import steering_of
from batchai.templates import variables_used

Items = Iterable[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Opened:
    """A job with everything opened that a launch works with.

    own: the job as it was loaded, before what its run was tuned to.
    """

    job: Job
    own: Job
    store: Store
    source: Source
    steps: tuple[PreparedStep, ...]  # that items go through
    console: Console
    clock: Clock
    stop: StopButton


def open_input(job: Job, items: Items | None = None) -> Source:
    """The job's source. Raises SpecError where the input cannot be used."""
    if items is not None:
        return open_items(items, job.input, job.vars)
    try:
        return open_source(job.input, job.vars, extracts=_uses_text(job))
    except SourceError as error:
        field = "input.path" if job.input.sql is None else "input.sql"
        raise SpecError(f"{job.path.name}: {field}: {error}") from error


def _uses_text(job: Job) -> bool:
    """Whether anything speaks of `item.text`."""
    where = {} if job.input.where is None else variables_used("{{ " + job.input.where + " }}")
    return "text" in where.get("item", set()).union(
        *(fields for step in job.steps for fields in fields_used(step).values()),
        *map(checked_fields, job.steps),
    )


def checked_fields(step: Step) -> set[str]:
    """The item's fields that a step's checks name."""
    holds = [check.expression for check in step.checks if isinstance(check, Holds)]
    return set().union(*(variables_used(f"{{{{ {text} }}}}").get("item", set()) for text in holds))


def settings_of(step: Step) -> ModelSettings:
    """What is the same in every request of a step."""
    model = step.model
    return ModelSettings(
        provider=model.provider,
        model=model.id,
        temperature=model.temperature,
        top_p=model.top_p,
        stop=model.stop,
        metadata=model.metadata,
        effort=model.effort,
        extra_body=model.extra_body,
        schema=step.json_schema,
    )


def request_identity(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What of a step's identity, beside the rendered text, makes a request what it is."""
    parts = ("model", "parameters", "schema", "checks", "history")
    return {part: spec[part] for part in parts if part in spec}


def asking_of(job: Job, step: Step, *, identity: Mapping[str, Any] | None = None) -> Asking:
    """The step's templates and expressions, under today's identity or an earlier one."""
    place = job.path.name if step.name == MAIN_STEP else f"{job.path.name}: steps.{step.name}"
    prompt = f"{place}: prompt" if step.name == MAIN_STEP else f"{place}.prompt"
    today = step_identity(step, variables=job.vars)
    prompts = Prompts(
        step.prompt,
        variables=job.vars,
        identity=request_identity(today) if identity is None else identity,
        place=prompt,
        shape=step_shape(step),
        attacher=Attacher(job.path.parent, job.input.roots, file_rules(step.model)),
    )
    return Asking(step, prompts, place=place)


def account_of(model: Model) -> str:
    """Whose limits a model's requests count against: address, key, and family of models."""
    family = re.sub(r"[-@](\d{8}|\d{4}-\d{2}-\d{2}|latest)$", "", model.name)
    return " ".join((family, address_identity(model), model.base_url or "", str(model.api_key_env)))


def accounts_of(job: Job) -> frozenset[str]:
    """All that a job may ask; each has the job's limits and slots for itself."""
    return frozenset(account_of(step.model) for step in _all_steps(job))


def max_tokens_of(step: Step) -> int:
    """The step's `max_tokens`, or what its schema makes likely to be enough."""
    if step.model.max_tokens is not None:
        return step.model.max_tokens
    return default_max_tokens(step.json_schema, step.model.effort)


def provider_for(job: Job, model: Model) -> Provider:
    """A model's provider with its key, on the running loop. Raises ProviderError."""
    names = key_variables(model)
    secret = find_key(names, job.path.parent) if names else None
    if names and secret is None:
        raise ProviderError(without_key(job, model, names))
    return open_provider(
        model, key=secret.value if secret else None, concurrency=most_concurrency(job)
    )


def keyless_provider_for(_job: Job, model: Model) -> Provider:
    """A model's provider for encoding only: it is never asked to send."""
    key = "none" if key_variables(model) else None
    return open_provider(model, key=key, concurrency=1)


def most_concurrency(job: Job) -> int:
    """The number of slots that a launch may use at most."""
    return 512 if job.limits.concurrency == "auto" else job.limits.concurrency


@asynccontextmanager
async def opened(
    job: Job,
    *,
    console: Console,
    items: Items | None = None,
    clock: Clock | None = None,
    stop: StopButton | None = None,
) -> AsyncIterator[Opened]:
    """Source, provider, store and step of a job, opened for one launch.

    Raises SpecError, ProviderError and PricingError before anything is written or spent,
    StoreError.
    """
    rates = rates_of(job)
    source = await asyncio.to_thread(open_input, job, items)
    async with providers_of(job, provider_for) as providers:
        store = Store(job.store_path, job_path=job.path)
        try:
            yield Opened(
                job=as_tuned(job, store.reader),
                own=job,
                store=store,
                source=source,
                steps=prepare_steps(job, providers, rates, store.reader),
                console=console,
                clock=clock or Clock(),
                stop=stop or StopButton(),
            )
        finally:
            with answered(unheard):
                await store.close()


def rates_of(job: Job) -> dict[str, Rates]:
    """Prices by model. Raises PricingError."""
    steps = list(_all_steps(job))
    hourly = {
        _identity(step.model)
        for step in steps
        if may_mark(step) and lifetime(step, job.limits) == "1h"
    }
    return {
        identity: price_for(step.model, may_write_1h=identity in hourly)
        for step in steps
        for identity in (_identity(step.model),)
    }


def key_names(job: Job) -> tuple[str, ...]:
    """The environment variables that the job's keys come from."""
    names = (name for step in _all_steps(job) for name in key_variables(step.model))
    return tuple(dict.fromkeys(names))


@asynccontextmanager
async def providers_of(
    job: Job, open_one: Callable[[Job, Model], Provider]
) -> AsyncIterator[dict[str, Provider]]:
    """One provider for each of the job's models, closed with the block. Raises ProviderError."""
    providers: dict[str, Provider] = {}
    try:
        for step in _all_steps(job):
            identity = _identity(step.model)
            if identity not in providers:
                providers[identity] = open_one(job, step.model)
        yield providers
    finally:
        for provider in providers.values():
            await provider.close()


def as_tuned(job: Job, reader: Reader) -> Job:
    """The job with what its run was tuned to, but for what the command line says now."""
    values = {
        field: value
        for field, value in steering_of(reader).tuned.items()
        if not job.overridden & {field, field.partition(".")[0]}
    }
    return tuned(job, values)


def prepare_steps(
    job: Job,
    providers: Mapping[str, Provider],
    rates: Mapping[str, Rates],
    reader: Reader | None,
) -> tuple[PreparedStep, ...]:
    """The job's steps made ready; `reader` gives the calibration of earlier launches."""
    prepared = []
    for step in job.steps:
        identity = _identity(step.model)
        ready = prepare_step(job, step, providers[identity], rates[identity], reader)
        if step.history is not None:
            summary = _summary_step(step)
            model = _identity(summary.model)
            condenser = prepare_step(job, summary, providers[model], rates[model], reader)
            after = max(2, step.history.summarise_after)
            ready = replace(ready, condenser=Condenser(condenser, after))
        further = []
        for number, other in enumerate(further_steps(step), 1):
            model = _identity(other.model)
            made = prepare_step(job, other, providers[model], rates[model], reader)
            further.append(replace(made, asker=number))
        if step.policies.larger is not None:  # it has the last word
            further[-1] = replace(further[-1], doubts=None)
        ready = replace(ready, further=tuple(further))
        prepared.append(ready)
    return tuple(prepared)


def _summary_step(step: Step) -> Step:
    """What condenses a step's conversations; its requests are made by the conversation."""
    assert step.history is not None
    return Step(
        name=step.name,
        model=step.history.model,
        prompt=Prompt(user="a conversation"),
        policies=Policies(on_unknown=step.policies.on_unknown),
    )


def further_steps(step: Step) -> Iterator[Step]:
    """The step with each of the models that its policies may ask beside its own."""
    for model in step.policies.further_models:
        yield step.model_copy(update={"model": model, "history": None})


def _all_steps(job: Job) -> Iterator[Step]:
    for step in job.steps:
        yield step
        yield from further_steps(step)
        if step.history is not None:
            yield _summary_step(step)


def _identity(model: Model) -> str:
    return model.model_dump_json()


def prepare_step(
    job: Job, step: Step, provider: Provider, rates: Rates, reader: Reader | None
) -> PreparedStep:
    """One step made ready."""
    asking = asking_of(job, step)
    calibration = _calibration(reader, step.name)
    prefix = asking.prompts.shared_prefix()
    return PreparedStep(
        name=step.name,
        account=account_of(step.model),
        following=dict(pairwise(job.step_names)).get(step.name),
        model=step.model.name,
        settings=settings_of(step),
        max_tokens=max_tokens_of(step),
        asking=asking,
        answers=AnswerSchema(step.json_schema),
        checks=checks_of(job, step),
        provider=provider,
        rates=rates,
        policies=step.policies,
        retries=Retries.of(job.attempts),
        retain=job.retain,
        calibration=calibration,
        reduction=step.reduction,
        doubts=doubts_of(step.policies.escalate.condition) if step.policies.escalate else None,
        cache=cache_mark(
            step,
            job.limits,
            prefix=prefix,
            tokens=prefix_tokens(prefix, calibration),
            rates=rates,
            at=Clock().utcnow(),
        ),
    )


def _calibration(reader: Reader | None, step: str) -> Calibration:
    """The ratio of counted to estimated tokens as the ledger knows it for a step."""
    calibration = Calibration()
    if reader is not None:
        attempts, estimated, actual, _ = reader.usage_ratio(step)
        if attempts:
            calibration.observe(estimate=estimated, actual=actual)
    return calibration
