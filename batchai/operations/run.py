"""`batchai run`: continue what is unfinished, or begin the next run."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

from batchai.clock import Clock
from batchai.domain import NO_COST, State
from batchai.engine.control_socket import listening
from batchai.engine.progress import Progress
from batchai.engine.runner import End, Reason
from batchai.engine.scan import Change
from batchai.errors import ExportError, RefusedError
from batchai.exports import ExportSummary
from batchai.operations.changes import (
    Approach,
    Changed,
    approach_to,
    begin_scan,
    scan_of,
    surveyable,
)
from batchai.operations.check import refuse_mistakes
from batchai.operations.console import Console, Silence, StopButton
from batchai.operations.export import check_exports, export_after, flattened
from batchai.operations.foretelling import MOST_TRIED, Foretelling
from batchai.operations.launch import Launch, begin_or_continue, exit_code
from batchai.operations.notify import Notifier
from batchai.operations.opening import Items, Opened, opened
from batchai.operations.reducing import has_stale_groups, reduced
from batchai.operations.survey import Survey, Surveyor
from batchai.reports.agreement import Agreement, agreement
from batchai.reports.job_status import ReducedLine
from batchai.reports.words import counted, moment, tuned_words, usd
from batchai.spec.models import Job
from batchai.store import Reader
from batchai.store.files import put_back, set_aside
from batchai.store.history import Steering, steering_of
from batchai.store.places import vanishes
from batchai.store.rows import Run


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the user said beside the job. retry: outcomes to try again, empty = all that failed.

    drain_seconds: how long what is in flight may take after a signal; None = until each deadline.
    resume: lift a pause; without it a paused run is refused.
    """

    retry: frozenset[str] | None = None
    changed: Changed | None = None
    fresh: bool = False
    yes: bool = False
    overwrite: bool = False
    drain_seconds: float | None = None
    resume: bool = False


@dataclass(frozen=True, slots=True)
class RunSummary:
    """How a launch ended and where the job stands; counts are of selected items.

    seconds: of work; a time in which the launch was paused is none.
    """

    job: Job
    end: End
    exit_code: int
    counts: dict[State, int]
    failures: dict[str, int]
    progress: Progress
    run: Run
    seconds: float
    export: ExportSummary | None
    export_problem: str
    agreements: tuple[Agreement, ...]
    bad_rows: list[tuple[str, str]]
    reductions: tuple[ReducedLine, ...] = ()


async def run_job(
    job: Job,
    options: RunOptions = RunOptions(),
    *,
    console: Console | None = None,
    items: Items | None = None,
    clock: Clock | None = None,
    stop: StopButton | None = None,
) -> RunSummary:
    """Work on the job until nothing is left or something stops it; everything is recorded then.

    Raises SpecError, ProviderError, PricingError and RefusedError before anything is spent,
    StoreError.
    """
    console = console or Silence()
    refuse_mistakes(job)
    check_exports(job, overwrite=options.overwrite)
    if (why := vanishes(job.store_path.parent)) is not None:
        console.say(f"Warning: {why}.")
    with _afresh(job, console) if options.fresh else nullcontext():
        async with opened(job, console=console, items=items, clock=clock, stop=stop) as found:
            refuse_mistakes(job, found.source)
            return await _run(found, options)


@contextmanager
def _afresh(job: Job, console: Console) -> Iterator[None]:
    """Set the store aside; put back where the block raises before a run has begun: the results of
    before would be paid for again after a command that was refused."""
    old = set_aside(job.store_path)
    if old is None:
        yield
        return
    console.say(f"Starting from nothing; the former store is {old.name}.")
    try:
        yield
    except BaseException:
        if not _has_begun(job):
            put_back(old, job.store_path)
            console.say("Nothing was begun: the former store is back in its place.")
        raise


def _has_begun(job: Job) -> bool:
    if not job.store_path.exists():
        return False
    reader = Reader(job.store_path)
    try:
        return reader.last_run() is not None
    finally:
        reader.close()


async def _run(found: Opened, options: RunOptions) -> RunSummary:
    held = _steering(found, options)
    recover(found)
    store = found.store
    with nullcontext() if options.retry is None else store.retrying(outcomes=options.retry or None):
        approach = approach_to(found.job, found.source, store.reader, changed=options.changed)
        found, survey = await _settle_questions(found, approach, options)
    progress = progress_of(found, approach)
    is_settled = approach.selection is None and not progress.to_send
    if is_settled and not await asyncio.to_thread(has_stale_groups, store.reader, found.steps):
        return await _nothing_to_send(found, options, progress)
    begin_scan(store, approach)
    run = begin_or_continue(found.job, store, clock=found.clock)
    foretold = _foretelling(found, run, survey)
    async with Notifier(found.job, store.reader, console=found.console, clock=found.clock) as news:
        launch = Launch(found, run, progress, drain_seconds=options.drain_seconds, notifier=news)
        if held.paused_at is not None:
            await launch.control.resume()
        started = found.clock.monotonic()
        async with listening(launch.control, store.path):
            end = await launch.work(approach)
        if foretold is not None and end.reason is not Reason.STORE:
            foretold.keep(store, run.id, progress)
        seconds = found.clock.monotonic() - started - launch.paused_seconds
        code = launch.end(end)
        summary = await _summary(
            found, options, end=end, code=code, progress=progress, seconds=seconds
        )
        news.ended(end, summary.exit_code)
    return summary


def _foretelling(found: Opened, run: Run, survey: Survey | None) -> Foretelling | None:
    """What a run that begins now is expected to come to; its pilot has told that already."""
    if run.attempts > MOST_TRIED or run.estimate is not None or not found.source.reopens:
        return None
    return Foretelling(found, survey, spent=run.cost)


def _steering(found: Opened, options: RunOptions) -> Steering:
    """What was said to the run before; raises RefusedError where it is paused."""
    held = steering_of(found.store.reader)
    if held.paused_at is not None and not options.resume:
        raise RefusedError(
            f"{found.job.path.name}: the run is paused (since {moment(held.paused_at)}); go on "
            f"with: batchai resume {found.job.name}"
        )
    if held.tuned:
        found.console.say(
            f"This run is tuned: {tuned_words(held.tuned)} (flags win; "
            f"batchai tune {found.job.name} --reset undoes it)."
        )
    return held


async def _nothing_to_send(found: Opened, options: RunOptions, progress: Progress) -> RunSummary:
    """Everything is settled: no run begins, but the result file is made sure of."""
    end, code = close_run(found)
    return await _summary(found, options, end=end, code=code, progress=progress, seconds=0)


def close_run(found: Opened) -> tuple[End, int]:
    """How a launch ends that finds everything settled, and its exit code."""
    end = End(Reason.FINISHED)
    last = found.store.reader.last_run()
    if last is not None and last.ended_at is None:  # its last launch died just before it said so
        found.store.end_run(last.id, now=found.clock.utcnow())
    return end, exit_code(found.job, end, found.store.reader.item_counts(*found.job.step_names))


def recover(found: Opened) -> None:
    """Settle what launches that died have left behind, and say what may have been billed."""
    hold = holds_unknown(found.job)
    recovery = found.store.recover(hold=hold, now=found.clock.utcnow())
    if not found.job.retain.items:
        found.store.forget_deleted()
    if recovery.spooled_groups:
        found.console.say("Took in the answers that an earlier launch had saved beside the store.")
    if recovery.unknown_attempts:
        what = "wait for --retry unknown" if hold else "are sent again"
        found.console.say(
            f"{counted(recovery.unknown_attempts, 'request')} in flight when the last launch died "
            f"may have been billed: their worst cost counts as unconfirmed, and they {what}."
        )


def holds_unknown(job: Job) -> bool:
    """Whether what was in flight in a launch that died waits for the user."""
    return any(step.policies.on_unknown == "hold" for step in job.steps)


async def _settle_questions(
    found: Opened, approach: Approach, options: RunOptions
) -> tuple[Opened, Survey | None]:
    """What the user must say before money is spent; raises RefusedError where it is not said.

    Returns what was counted for that, too.
    """
    is_free = all(step.rates.is_free for step in found.steps)
    asks_price = not (is_free or found.job.budget_usd is not None or options.yes)
    asks_change = approach.spec_changed and options.changed is None and not approach.goes_on
    if not asks_price and not asks_change:
        return found, None
    if not found.source.reopens:
        raise RefusedError(_say_first(found.job, asks_change=asks_change))
    survey = await _survey(found, approach)
    if asks_change and survey.at_stake:
        raise RefusedError(_change_table(found.job, survey))
    if not asks_price or not survey.to_send:
        return found, survey
    return _ask_price(found, survey), survey


async def _survey(found: Opened, approach: Approach) -> Survey:
    reader = Reader(found.store.path)
    try:
        surveyor = Surveyor(found.steps, reader=reader, clock=found.clock)
        scan = scan_of(found, reader, surveyable(found.job, approach))
        return await surveyor.survey(scan, reader)
    finally:
        reader.close()


def _say_first(job: Job, *, asks_change: bool) -> str:
    """Of an input that would be used up by counting what is to be sent."""
    if asks_change:
        return (
            f"{job.path.name}: changed since the results were made, and the input can be read only "
            "once, so that nothing can be counted first: say --changed rerun or --changed keep"
        )
    return (
        f"{job.path.name}: the input can be read only once, so that its price cannot be told "
        "first: add --budget, or budget_usd to the job, or --yes"
    )


def _ask_price(found: Opened, survey: Survey) -> Opened:
    """The worst case becomes the budget once the user agrees to it."""
    name = found.job.path.name
    price = (
        f"{counted(survey.to_send, 'item')}, about {usd(survey.cost)}, at most {usd(survey.worst)}."
    )
    answer = found.console.ask(f"{price} Spend up to {usd(survey.worst)}?")
    if answer is None:
        raise RefusedError(
            f"{name}: {price} No budget is set: add --budget {survey.worst:.2f}, or budget_usd "
            "to the job, or --yes"
        )
    if not answer:
        raise RefusedError(f"{name}: nothing was sent")
    last = found.store.reader.last_run()
    spent = last.cost + last.unconfirmed if last is not None and last.ended_at is None else NO_COST
    agreed = {"budget_usd": spent + survey.worst}
    # of the job itself too: `tune --reset` must not lift it
    return replace(
        found, job=found.job.model_copy(update=agreed), own=found.own.model_copy(update=agreed)
    )


def _change_table(job: Job, survey: Survey) -> str:
    rows = [
        f"  {change.value:<12} {survey.changes[change]:>9,}  "
        f"{usd(survey.cost_by_change.get(change.value, survey.cost * 0)):>9}  {words}"
        for change, words in _CHANGE_WORDS.items()
        if survey.changes[change]
    ]
    return "\n".join(
        [
            f"{job.path.name}: prompt, model, parameters or schema changed since the results "
            "were made:",
            *rows,
            "Say what you want: --changed rerun (pay for the changed), --changed keep (their "
            "results stay), or --fresh (start from nothing)",
        ]
    )


_CHANGE_WORDS = {
    Change.CHANGED: "would be sent again",
    Change.REVALIDATED: "stored answers fit the new schema and stay",
    Change.EDITED: "rows edited, sent again",
    Change.NEW: "new rows",
    Change.PENDING: "not done yet",
    Change.SAME: "unchanged, stay",
}


def progress_of(found: Opened, approach: Approach) -> Progress:
    """Where a launch with this approach begins."""
    counts = found.store.reader.item_counts(*found.job.step_names)
    pending = counts.get(State.PENDING, 0)
    return Progress(to_send=pending if approach.comparison is None else 0)


async def _summary(
    found: Opened,
    options: RunOptions,
    *,
    end: End,
    code: int,
    progress: Progress,
    seconds: float,
) -> RunSummary:
    job, reader = found.job, found.store.reader
    names = job.step_names
    export, problem = None, ""
    try:
        export = await export_after(job, found.store, overwrite=options.overwrite)
    except ExportError as error:
        problem = str(error)
    run = reader.last_run()
    assert run is not None
    return RunSummary(
        job=job,
        end=end,
        exit_code=code or (4 if problem else 0),
        counts=reader.item_counts(*names),
        failures=reader.failure_counts(*names),
        progress=progress,
        run=run,
        seconds=seconds,
        export=export,
        export_problem=problem,
        agreements=agreement(flattened(reader.results(*names), job), job.expect)
        if job.expect
        else (),
        bad_rows=reader.bad_rows(),
        reductions=reduced(job, reader),
    )
