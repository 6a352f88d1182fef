"""From a loaded job to what a launch needs: source, provider, prepared step; spends nothing."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from batchai.clock import Clock
from batchai.documents import Attacher
from batchai.domain import ModelSettings
from batchai.engine.caching import cache_mark, lifetime, may_mark, prefix_tokens
from batchai.engine.policy import Retries
from batchai.engine.step import PreparedStep
from batchai.errors import ProviderError, SourceError, SpecError
from batchai.limits import Calibration
from batchai.operations.console import Console, StopButton
from batchai.pricing import Rates, price_for
from batchai.prompts import Prompts, fields_used
from batchai.providers import Provider, file_rules, key_variables, open_provider
from batchai.schemas import AnswerSchema, default_max_tokens
from batchai.secrets import find_key
from batchai.sources import Source, open_items, open_source
from batchai.spec import spec_identity
from batchai.spec.models import Job, Step
from batchai.store import Reader, Store
from batchai.templates import variables_used

Items = Iterable[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Opened:
    """A job with everything opened that a launch works with."""

    job: Job
    store: Store
    source: Source
    step: PreparedStep
    console: Console
    clock: Clock
    stop: StopButton


def open_input(job: Job, items: Items | None = None) -> Source:
    """The job's source. Raises SpecError where the input cannot be used."""
    try:
        if items is None:
            return open_source(job.input, job.vars, extracts=_uses_text(job))
        return open_items(items, job.input, job.vars)
    except SourceError as error:
        raise SpecError(str(error)) from error


def _uses_text(job: Job) -> bool:
    """Whether anything speaks of `item.text`."""
    where = {} if job.input.where is None else variables_used("{{ " + job.input.where + " }}")
    return "text" in where.get("item", set()).union(
        *(fields_used(step.prompt) for step in job.steps)
    )


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
    """What of a spec's identity, beside the rendered text, makes a request what it is."""
    return {part: spec[part] for part in ("model", "parameters", "schema")}


def prompts_of(job: Job, step: Step, *, identity: Mapping[str, Any] | None = None) -> Prompts:
    """The step's templates, under today's identity or an earlier one."""
    return Prompts(
        step.prompt,
        variables=job.vars,
        identity=request_identity(spec_identity(job)) if identity is None else identity,
        place=f"{job.path.name}: prompt",
        attacher=Attacher(job.path.parent, job.input.roots, file_rules(step.model)),
    )


def max_tokens_of(step: Step) -> int:
    """The step's `max_tokens`, or what its schema makes likely to be enough."""
    if step.model.max_tokens is not None:
        return step.model.max_tokens
    return default_max_tokens(step.json_schema, step.model.effort)


def provider_for(job: Job, step: Step) -> Provider:
    """The step's provider with its key, on the running loop. Raises ProviderError."""
    names = key_variables(step.model)
    secret = find_key(names, job.path.parent) if names else None
    if names and secret is None:
        raise ProviderError(
            f"{job.path.name}: model {step.model.name} needs a key: set {' or '.join(names)} "
            "in the environment or in a .env file beside the job (without an account: "
            "--model local/smollm2-135m)"
        )
    return open_provider(
        step.model, key=secret.value if secret else None, concurrency=most_concurrency(job)
    )


def keyless_provider_for(step: Step) -> Provider:
    """The step's provider for encoding only: it is never asked to send."""
    key = "none" if key_variables(step.model) else None
    return open_provider(step.model, key=key, concurrency=1)


def most_concurrency(job: Job) -> int:
    """The number of slots that a launch may use at most."""
    return 512 if job.limits.concurrency == "auto" else job.limits.concurrency


def rates_of(job: Job) -> Rates:
    """The prices of the job's model. Raises PricingError."""
    step = job.steps[0]
    writes_1h = may_mark(step) and lifetime(step, job.limits) == "1h"
    return price_for(step.model, may_write_1h=writes_1h)


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
    provider = provider_for(job, job.steps[0])
    try:
        store = Store(job.store_path, job_path=job.path)
        try:
            yield Opened(
                job=job,
                store=store,
                source=source,
                step=prepare_step(job, provider, rates, store.reader),
                console=console,
                clock=clock or Clock(),
                stop=stop or StopButton(),
            )
        finally:
            await store.close()
    finally:
        await provider.close()


def prepare_step(job: Job, provider: Provider, rates: Rates, reader: Reader | None) -> PreparedStep:
    """The step made ready; `reader` gives the calibration of earlier launches."""
    step = job.steps[0]
    prompts = prompts_of(job, step)
    calibration = _calibration(reader)
    prefix = prompts.shared_prefix()
    return PreparedStep(
        name=step.name,
        model=step.model.name,
        settings=settings_of(step),
        max_tokens=max_tokens_of(step),
        prompts=prompts,
        answers=AnswerSchema(step.json_schema),
        provider=provider,
        rates=rates,
        policies=step.policies,
        retries=Retries.of(job.attempts),
        retain=job.retain,
        calibration=calibration,
        cache=cache_mark(
            step,
            job.limits,
            prefix=prefix,
            tokens=prefix_tokens(prefix, calibration),
            rates=rates,
            at=Clock().utcnow(),
        ),
    )


def _calibration(reader: Reader | None) -> Calibration:
    """The ratio of counted to estimated tokens as the ledger knows it."""
    calibration = Calibration()
    if reader is not None:
        attempts, estimated, actual, _ = reader.usage_ratio()
        if attempts:
            calibration.observe(estimate=estimated, actual=actual)
    return calibration
