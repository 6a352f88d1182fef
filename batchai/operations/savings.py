"""The report's money that was not spent, or need not be: caches, reuse, and advice."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from batchai.domain import Outcome
from batchai.operations.opening import max_tokens_of
from batchai.pricing import from_pico, list_models
from batchai.reports.advice import Advice, Facts, Sibling, advice
from batchai.reports.job_report import RunLine
from batchai.reports.savings import Saved, sibling
from batchai.reports.tally import grouped, tally
from batchai.reports.timeline import LimitUse
from batchai.spec.models import Job
from batchai.store import Reader
from batchai.store.aggregates import Cell
from batchai.store.spending import copied, reused


def saved(reader: Reader, cells: Sequence[Cell], runs: Sequence[RunLine]) -> Saved:
    """By prompt caching and copies over all runs, and by reuse in the last run."""
    copies, spared = copied(reader)
    number, cost = reused(reader, runs[-1].run) if runs else (0, 0)
    return Saved(
        cache_usd=tally(cells).saved_by_cache_usd,
        reused=number,
        reused_usd=from_pico(cost),
        copied=copies,
        copied_usd=from_pico(spared),
    )


def advice_on(
    job: Job,
    cells: Sequence[Cell],
    runs: Sequence[RunLine],
    limits: tuple[LimitUse, ...],
    *,
    at: datetime,
) -> tuple[Advice, ...]:
    """Advice from the last run and the job of now."""
    if not runs:
        return ()
    own = [cell for cell in cells if cell.run_id == runs[-1].run]
    outcomes = grouped(own, lambda cell: cell.outcome)
    facts = Facts(
        total=runs[-1].tally,
        outcomes={Outcome(outcome): tally(found) for outcome, found in outcomes.items()},
        working_seconds=runs[-1].working_seconds,
        limits=limits,
        concurrency=job.limits.concurrency,
        max_tokens=max(map(max_tokens_of, job.steps)),
        siblings=tuple(_siblings(job, own, at=at)),
    )
    return advice(facts)


def _siblings(job: Job, cells: Sequence[Cell], *, at: datetime) -> Iterator[Sibling]:
    """Of the job's models at list prices: with a price of its own, nothing can be compared."""
    listed = {step.model.name for step in job.steps if step.model.price is None}
    for name, found in grouped(cells, lambda cell: cell.model).items():
        sums = tally(found)
        if name in listed and sums.cost_usd:
            known = list_models(f"{name.partition('/')[0]}/*", at=at)
            if (less := sibling(name, sums.tokens, known, at=at)) is not None:
                yield less
