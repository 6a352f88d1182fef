"""`batchai compare`: the same random items through several models, each with a store of its own.

A model's part is the job with another model, a sample in place of its limit, and a store beside
the job's. It runs as any job does: so it resumes and pays for nothing twice; a larger sample holds
the smaller one and pays for what is new.
"""

import asyncio
import hashlib
import re
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from decimal import Decimal

from batchai.clock import Clock
from batchai.domain import MAIN_STEP, NO_COST, ResultRow, State
from batchai.engine.runner import End, Reason
from batchai.errors import BatchaiError, RefusedError, SpecError
from batchai.operations.changes import approach_to, begin_scan
from batchai.operations.check import refuse_mistakes
from batchai.operations.console import Console, Silence, StopButton
from batchai.operations.export import columns_of
from batchai.operations.launch import Launch, begin_or_continue
from batchai.operations.lending import lend, lent_results
from batchai.operations.opening import Opened, opened, rates_of
from batchai.operations.plan import plan
from batchai.operations.report_page import COMPARISON_PAGE, write_whole
from batchai.operations.run import close_run, progress_of, recover
from batchai.operations.stores import COMPARED_MARK
from batchai.reports.comparison import (
    Answers,
    Comparison,
    agreements,
    compared_model,
    differences,
)
from batchai.reports.page.comparison import comparison_html
from batchai.reports.words import counted, usd
from batchai.schemas import TEXT_FIELD, closed_fields, result_fields
from batchai.spec import spec_identity
from batchai.spec.models import Job, Sample, Step
from batchai.store import aggregates
from batchai.store.files import make_folder
from batchai.store.places import refuse_links
from batchai.store.rows import Run
from batchai.store.samples import attempts_at_results

_LAST = {Reason.INTERRUPTED, Reason.TERMINATED, Reason.STORE, Reason.BUDGET}  # no other model then


@dataclass(frozen=True, slots=True)
class Worked:
    """How the launch of one model ended."""

    end: End
    exit_code: int


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """sample: how many items. seed: None = that of the job's own sample, or 0.

    step: whose model is compared; None = the last that items go through.
    """

    sample: int = 50
    seed: int | None = None
    step: str | None = None
    yes: bool = False


async def compare(
    job: Job,
    others: Sequence[Job],
    options: CompareOptions = CompareOptions(),
    *,
    console: Console | None = None,
    clock: Clock | None = None,
    stop: StopButton | None = None,
) -> Comparison:
    """Send what neither an earlier comparison nor the job itself has sent, one model after the
    other, and compare.

    others: the job as it is with each of the models; but only the compared step takes its model
    from there, those before it are the job's, and those after it are left out. The job's
    `budget_usd` caps what the comparison of these models costs under today's spec in all, earlier
    launches and smaller samples included. Raises SpecError, ProviderError, PricingError and
    RefusedError before anything is spent, StoreError.
    """
    console, stop = console or Silence(), stop or StopButton()
    parts = [_part(job, other, options) for other in others]
    _refuse_unfit(parts)
    async with AsyncExitStack() as stack:
        models = [
            await stack.enter_async_context(opened(part, console=console, clock=clock, stop=stop))
            for part in parts
        ]
        for found in models:
            _refuse_input(found)
            recover(found)
            await found.store.ledger.set_meta(COMPARED_MARK, _model(found.job))
            await lend(job, found)
        before = sum((run.cost for run in _counted(models)), NO_COST)
        cap = await _cap(models, options)
        worked = await _work(models, cap, console)
        made = _comparison(models, worked, before=before, cap=cap)
        page = job.comparisons_folder / COMPARISON_PAGE
        await asyncio.to_thread(write_whole, page, comparison_html(made))  # reports lead to it
        return made


def _part(job: Job, other: Job, options: CompareOptions) -> Job:
    """The job as one model is to do it: over a sample of what it would do, with its own store."""
    place = _place(job, options.step)
    model = other.item_steps[place].model.name
    change: dict[str, object] = {
        "steps": (*job.item_steps[:place], other.item_steps[place]),
        "input": job.input.model_copy(update={"sample": _sample(job, options), "limit": None}),
        "compared_as": _stem(job.step_names[place], model),
    }
    part = job.model_copy(update=change)
    columns = columns_of(part)
    expect = {field: column for field, column in job.expect.items() if field in columns}
    return part.model_copy(update={"expect": expect})


def _place(job: Job, step: str | None) -> int:
    if step is None:
        return len(job.step_names) - 1
    if step not in job.step_names:
        raise SpecError(f"--step {step}: no such step; the job has {', '.join(job.step_names)}")
    return job.step_names.index(step)


def _sample(job: Job, options: CompareOptions) -> Sample:
    """A limit of the job is a number of items here: the first ones would be no random ones."""
    own = job.input.sample
    seed = options.seed if options.seed is not None else own.seed if own else 0
    sizes = (options.sample, own.n if own else None, job.input.limit)
    return Sample(n=min(size for size in sizes if size is not None), seed=seed)


def _stem(step: str, model: str) -> str:
    """A name for the store, with a digest: models may differ in signs that no file name has."""
    name = model if step == MAIN_STEP else f"{step}.{model}"
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name)}-{digest}"


def _model(job: Job) -> str:
    return job.steps[-1].model.name


def _refuse_unfit(parts: Sequence[Job]) -> None:
    """What can be told of each model before anything is opened, with the model's name."""
    names = [_model(part) for part in parts]
    if len(names) < 2 or len(set(names)) < len(names):
        raise SpecError("--models: name two or more different models: --models a,b")
    for part in parts:
        try:
            refuse_mistakes(part)
            rates_of(part)
        except BatchaiError as error:
            raise type(error)(f"--models {_model(part)}: {error}") from error
        refuse_links(part.comparisons_folder.parent)
        make_folder(part.comparisons_folder.parent)


def _refuse_input(found: Opened) -> None:
    if not found.source.reopens:
        raise SpecError(
            f"{found.job.path.name}: input: is read once for each model, which {found.source.name} "
            "cannot be: write it to a file"
        )
    refuse_mistakes(found.job, found.source)


async def _cap(models: Sequence[Opened], options: CompareOptions) -> Decimal | None:
    """The most that all models together may have cost in the end; None for no cap.

    Asks where money is to be spent and nobody has said how much; raises RefusedError without a yes.
    """
    job = models[0].job
    is_free = all(step.rates.is_free for found in models for step in found.steps)
    if job.budget_usd is not None or options.yes or is_free:
        return job.budget_usd
    plans = [await plan(found.job, clock=found.clock) for found in models]
    number = sum(made.survey.to_send for made in plans)
    if not number:
        return None
    worst = sum((made.survey.worst for made in plans), NO_COST)
    cost = sum((made.estimate.cost_usd for made in plans), NO_COST)
    price = f"{counted(number, 'request')} to {len(models)} models, about {usd(cost)}, "
    price += f"at most {usd(worst)}."
    answer = models[0].console.ask(f"{price} Spend up to {usd(worst)}?")
    spent = sum((run.cost + run.unconfirmed for run in _counted(models)), NO_COST)
    if answer is None:
        raise RefusedError(
            f"{job.path.name}: {price} No budget is set: add --budget {spent + worst:.2f}, or "
            "budget_usd to the job, or --yes"
        )
    if not answer:
        raise RefusedError(f"{job.path.name}: nothing was sent")
    return spent + worst


async def _work(
    models: Sequence[Opened], cap: Decimal | None, console: Console
) -> list[Worked | None]:
    """One model after the other; None for those that it did not come to."""
    worked: list[Worked | None] = []
    for number, found in enumerate(models, 1):
        if worked and worked[-1] is not None and worked[-1].end.reason in _LAST:
            break
        console.say(f"{_model(found.job)} ({number} of {len(models)})")
        limited = replace(
            found, job=found.job.model_copy(update={"budget_usd": _left(models, found, cap)})
        )
        worked.append(await _launch(limited))
    return worked + [None] * (len(models) - len(worked))


async def _launch(found: Opened) -> Worked:
    """Send what is not settled under today's spec; nothing begins where all is."""
    approach = approach_to(found.job, found.source, found.store.reader, changed="rerun")
    progress = progress_of(found, approach)
    if approach.selection is None and not progress.to_send:
        return Worked(*close_run(found))
    begin_scan(found.store, approach)
    run = begin_or_continue(found.job, found.store, clock=found.clock)
    launch = Launch(found, run, progress)
    end = await launch.work(approach)
    return Worked(end, launch.end(end))


def _left(models: Sequence[Opened], found: Opened, cap: Decimal | None) -> Decimal | None:
    """The cap, less what others cost. A run that goes on counts its own cost against its budget."""
    if cap is None:
        return None
    going = found.store.reader.last_run()
    others = [
        run
        for each in models
        for run in _counted([each])
        if not (each is found and going is not None and run.id == going.id and not run.ended_at)
    ]
    return max(NO_COST, cap - sum((run.cost + run.unconfirmed for run in others), NO_COST))


def _counted(models: Sequence[Opened]) -> list[Run]:
    """The runs that were made under today's spec."""
    return [
        run
        for found in models
        for run in found.store.reader.runs()
        if run.spec == spec_identity(found.job)
    ]


def _comparison(
    models: Sequence[Opened],
    worked: Sequence[Worked | None],
    *,
    before: Decimal,
    cap: Decimal | None,
) -> Comparison:
    job = models[0].job
    assert job.input.sample is not None
    answers = [_answers(found, work) for found, work in zip(models, worked, strict=True)]
    names, expect = _fields(job.steps[-1]), _expected(job)
    fields = tuple(field for field, is_closed in names.items() if is_closed or field in expect)
    found = tuple(differences(answers, fields, expect))
    runs = _counted(models)
    cost = sum((run.cost for run in runs), NO_COST)
    return Comparison(
        job=job.name,
        sample=job.input.sample.n,
        seed=job.input.sample.seed,
        items=max(len(each.rows) for each in answers),
        models=tuple(compared_model(each, expect) for each in answers),
        fields=fields,
        free_text=tuple(field for field in names if field not in fields),
        agreement=tuple(agreements(answers, fields)),
        differing=len({difference.key for difference in found}),
        differences=found,
        spent_usd=cost - before,
        cost_usd=cost,
        unconfirmed_usd=sum((run.unconfirmed for run in runs), NO_COST),
        budget_usd=cap,
        exit_code=_exit_code(worked),
        lent=sum(lent_results(found.store.reader, found.job.step_names[-1]) for found in models),
        step=None if job.steps[-1].name == MAIN_STEP else job.steps[-1].name,
        in_parts=_is_in_parts(job.steps[-1]),
    )


def _answers(found: Opened, work: Worked | None) -> Answers:
    reader, names = found.store.reader, found.job.step_names
    return Answers(
        model=_model(found.job),
        rows=[_of_last_step(row, names) for row in reader.results(*names)],
        failures=reader.failure_counts(*names),
        fixed=aggregates.fixed_count(reader, names[-1]),
        attempts=attempts_at_results(reader, names[-1]),
        ended="not begun" if work is None else work.end.reason.value,
        detail="" if work is None else work.end.detail,
    )


def _of_last_step(row: ResultRow, names: Sequence[str]) -> ResultRow:
    """What the compared step came to, where the item came so far."""
    if tuple(names) == (MAIN_STEP,) or row.result is None:
        return row
    result = row.result.get(names[-1])
    is_skipped = row.state is State.SUCCEEDED and result is None
    return replace(row, result=result, state=State.SKIPPED if is_skipped else row.state)


def _fields(step: Step) -> dict[str, bool]:
    """The fields of a step's result, and whether their values are of few."""
    if _is_in_parts(step):  # a list of results
        return {TEXT_FIELD: False}
    closed = closed_fields(step.json_schema)
    return {field: field in closed for field in result_fields(step.json_schema)}


def _is_in_parts(step: Step) -> bool:
    return step.foreach is not None or bool(step.prompt.turns)


def _expected(job: Job) -> dict[str, str]:
    """`expect:` by field of the compared step."""
    name = job.steps[-1].name
    if name == MAIN_STEP:
        return job.expect
    return {
        TEXT_FIELD if field == name else field.removeprefix(f"{name}."): column
        for field, column in job.expect.items()
        if field == name or field.startswith(f"{name}.")
    }


def _exit_code(worked: Sequence[Worked | None]) -> int:
    """That of the first model that was stopped: items that failed are what was to be found out."""
    stopped = (each.exit_code for each in worked if each and each.end.reason is not Reason.FINISHED)
    return next(stopped, 0)
