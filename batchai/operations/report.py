"""`batchai report`: what came of a job's items, and what every attempt cost."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from batchai.clock import Clock
from batchai.domain import MAIN_STEP
from batchai.operations.export import flattened
from batchai.operations.savings import advice_on, saved
from batchai.operations.stores import compared_costs, ended_as, job_lines
from batchai.pricing import from_pico
from batchai.reports.agreement import Agreement, agreement, stored_agreement
from batchai.reports.distributions import distributions, latencies_of
from batchai.reports.job_report import (
    AgreementLine,
    BadRowLine,
    BadRows,
    CostlyLine,
    Failure,
    JobReport,
    OpenAttempts,
    Pair,
)
from batchai.reports.jobs import JobLine
from batchai.reports.jobs_text import all_to_json, costs_text
from batchai.reports.json_text import json_text
from batchai.reports.lines import (
    day_lines,
    model_lines,
    outcome_lines,
    overall_latency,
    policy_lines,
    run_lines,
    step_lines,
)
from batchai.reports.report_text import report_text
from batchai.reports.tally import tally
from batchai.reports.timeline import limit_uses, tick_width_ms, timeline
from batchai.spec.models import Job
from batchai.store import Reader, aggregates, open_reader
from batchai.store.aggregates import Cell
from batchai.store.lock import is_held
from batchai.store.rescues import rescues
from batchai.store.spending import costliest
from batchai.store.ticks import Tick, run_ticks

_MOST_DISAGREEMENTS = 20
_MOST_BAD_ROWS = 20
_COSTLIEST = 10
PAGES_MB = 32  # of a store, at hand: spares most reads of one with a million items

to_text = report_text
to_json = json_text
all_to_text = costs_text

__all__ = [
    "all_to_json",
    "all_to_text",
    "report",
    "report_all",
    "report_from",
    "to_json",
    "to_text",
]


def report(job: Job, *, clock: Clock | None = None) -> JobReport:
    """Everything about the job's items and money, from one state of its store, also in mid-run.

    Raises StoreError without a store, and where it cannot be read.
    """
    reader = open_reader(job.store_path)
    try:
        reader.hold_pages(PAGES_MB)
        with reader.snapshot():
            return report_from(job, reader, clock=clock)
    finally:
        reader.close()


def report_from(job: Job, reader: Reader, *, clock: Clock | None = None) -> JobReport:
    """`report` from a store that is open, within a snapshot of it."""
    now = (clock or Clock()).utcnow()
    is_working = is_held(job.store_path.with_suffix(".lock"))
    return _report(job, reader, now=now, is_working=is_working)


def report_all(folders: tuple[Path, ...] = ()) -> list[JobLine]:
    """A line a store here, in jobs/ and in these folders; one that cannot be read says why."""
    return job_lines(folders)


def _report(job: Job, reader: Reader, *, now: datetime, is_working: bool) -> JobReport:
    names = job.step_names
    cells = list(aggregates.attempt_cells(reader))
    answered, is_all = aggregates.answered_sample(reader)
    latencies = latencies_of(answered)
    runs = run_lines(
        cells,
        runs=reader.runs(),
        launches=reader.launches(),
        working_until=now if is_working else None,
    )
    ticks = _ticks(reader, cells, run_id=runs[-1].run if runs else 0)
    limits = limit_uses(ticks, job.limits)
    number, at_risk = reader.open_attempts()
    results = job.output.path
    return JobReport(
        job=job.name,
        at=now,
        is_working=is_working,
        items={state.value: count for state, count in reader.item_counts(*names).items()},
        fixed=aggregates.fixed_count(reader, *names),
        failures=_failures(reader, names),
        total=tally(cells),
        latency=overall_latency(latencies),
        models=model_lines(cells, latencies),
        outcomes=outcome_lines(cells),
        runs=runs,
        days=day_lines(cells),
        open=OpenAttempts(number, at_risk),
        agreement=_agreement(job, reader),
        bad_rows=_bad_rows(reader),
        last_reason=_last_reason(reader),
        results=str(results) if results is not None and results.exists() else None,
        steps=step_lines(cells),
        saved=saved(reader, cells, runs),
        costliest=tuple(
            CostlyLine(item.key, item.state, item.attempts, from_pico(item.cost_pico))
            for item in costliest(reader, names, limit=_COSTLIEST)
        ),
        limits=limits,
        timeline=timeline(runs[-1].run, ticks) if runs else None,
        distributions=distributions(answered, is_all=is_all),
        policies=policy_lines(rescues(reader)),
        advice=advice_on(job, cells, runs, limits, at=now),
        comparisons=tuple(compared_costs(job.comparisons_folder)),
    )


def _ticks(reader: Reader, cells: Sequence[Cell], *, run_id: int) -> list[Tick]:
    """The run over time, as finely as its length allows."""
    own = [cell for cell in cells if cell.run_id == run_id]
    if not own:
        return []
    span = max(cell.last_sent for cell in own) - min(cell.first_sent for cell in own)
    return run_ticks(reader, run_id, width_ms=tick_width_ms(span))


def _failures(reader: Reader, names: tuple[str, ...]) -> tuple[Failure, ...]:
    return tuple(
        Failure(kind, items, aggregates.example_error(reader, *names, outcome=kind))
        for kind, items in reader.failure_counts(*names).items()
    )


def _last_reason(reader: Reader) -> str | None:
    launches = reader.launches()
    return ended_as(launches[-1], reader.last_run()) if launches else None


def _agreement(job: Job, reader: Reader) -> tuple[AgreementLine, ...]:
    if job.step_names != (MAIN_STEP,):
        found = agreement(flattened(reader.results(*job.step_names), job), job.expect)
    else:
        found = stored_agreement(reader, MAIN_STEP, job.expect)
    return tuple(map(_agreement_line, found))


def _agreement_line(found: Agreement) -> AgreementLine:
    different = [(pair, number) for pair, number in found.pairs.items() if pair[0] != pair[1]]
    different.sort(key=lambda entry: (-entry[1], entry[0]))
    return AgreementLine(
        field=found.field,
        column=found.column,
        agreed=found.agreed,
        compared=found.compared,
        disagreements=tuple(
            Pair(expected, given, number)
            for (expected, given), number in different[:_MOST_DISAGREEMENTS]
        ),
    )


def _bad_rows(reader: Reader) -> BadRows:
    number, examples = aggregates.bad_rows(reader, limit=_MOST_BAD_ROWS)
    return BadRows(number, tuple(BadRowLine(place, problem) for place, problem in examples))
