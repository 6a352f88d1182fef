"""From the ledger's cells to the lines of a report."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from batchai.domain import Outcome
from batchai.pricing import from_pico
from batchai.reports.distributions import Latency, latency_of
from batchai.reports.job_report import (
    DayLine,
    ModelLine,
    OutcomeLine,
    PolicyLine,
    Resolved,
    RunLine,
    StepLine,
    day_of,
)
from batchai.reports.tally import grouped, tally
from batchai.store.aggregates import Cell
from batchai.store.rescues import Rescue
from batchai.store.rows import Launch, Run
from batchai.store.values import from_ms

_DIED = "died"


def model_lines(
    cells: Sequence[Cell], latencies: Mapping[str, Sequence[int]]
) -> tuple[ModelLine, ...]:
    """A line a model asked for, in the order of their first use."""
    return tuple(
        ModelLine(
            model=model,
            tally=tally(found),
            latency=latency_of(latencies.get(model, ())),
            resolved=_resolved(found),
        )
        for model, found in grouped(cells, lambda cell: cell.model).items()
    )


def overall_latency(latencies: Mapping[str, Sequence[int]]) -> Latency | None:
    """Over the answers of all models."""
    return latency_of(sorted(value for values in latencies.values() for value in values))


def outcome_lines(cells: Sequence[Cell]) -> tuple[OutcomeLine, ...]:
    """A line an outcome, succeeded first, then the commonest."""
    lines = [
        OutcomeLine(outcome, tally(found))
        for outcome, found in grouped(cells, lambda cell: cell.outcome).items()
    ]
    lines.sort(key=lambda line: (line.outcome is not Outcome.SUCCEEDED, -line.tally.attempts))
    return tuple(lines)


def policy_lines(found: Sequence[Rescue]) -> tuple[PolicyLine, ...]:
    """What each policy cost and rescued."""
    return tuple(
        PolicyLine(
            step=one.step,
            policy=one.policy,
            attempts=one.attempts,
            cost_usd=from_pico(one.cost_pico),
            unconfirmed_usd=from_pico(one.unconfirmed_pico),
            items_rescued=one.rescued,
        )
        for one in found
    )


def step_lines(cells: Sequence[Cell]) -> tuple[StepLine, ...]:
    """A line a step, in the order of their first use."""
    by_step = grouped(cells, lambda cell: cell.step)
    return tuple(StepLine(step, tally(found)) for step, found in by_step.items())


def day_lines(cells: Sequence[Cell]) -> tuple[DayLine, ...]:
    """A line a day on which something was sent."""
    by_day = grouped(cells, lambda cell: cell.day)
    return tuple(DayLine(day_of(day), tally(by_day[day])) for day in sorted(by_day))


def run_lines(
    cells: Sequence[Cell],
    *,
    runs: Sequence[Run],
    launches: Sequence[Launch],
    working_until: datetime | None,
) -> tuple[RunLine, ...]:
    """A line a run, oldest first. working_until: now, where a launch is at work."""
    by_run = grouped(cells, lambda cell: cell.run_id)
    ends = _ends(cells, launches, working_until)
    lines = []
    for run in runs:
        worked = [
            (launch.started_at, ends[launch.id]) for launch in launches if launch.run_id == run.id
        ]
        sums = tally(by_run.get(run.id, ()))
        seconds = sum((end - start).total_seconds() for start, end in worked)
        wall = (max(end for _, end in worked) - worked[0][0]).total_seconds() if worked else 0.0
        lines.append(
            RunLine(
                run=run.id,
                started_at=run.started_at,
                ended_at=run.ended_at,
                budget_usd=run.budget,
                launches=len(worked),
                working_seconds=seconds,
                wall_seconds=wall,
                items_per_second=sums.succeeded / seconds if seconds else 0.0,
                tally=sums,
                estimate=run.estimate,
            )
        )
    return tuple(lines)


def _ends(
    cells: Sequence[Cell], launches: Sequence[Launch], working_until: datetime | None
) -> dict[int, datetime]:
    """When each launch stopped to work: one that died, with its last attempt that is known."""
    last: dict[int, int] = {}
    for cell in cells:
        last[cell.launch_id] = max(last.get(cell.launch_id, 0), cell.last_ended)
    ends = {}
    for launch in launches:
        if launch.ended_at is not None and launch.reason != _DIED:
            ends[launch.id] = launch.ended_at
        elif launch.ended_at is None and working_until is not None and launch is launches[-1]:
            ends[launch.id] = working_until
        else:
            known = last.get(launch.id)
            seen = launch.started_at if known is None else from_ms(known)
            ends[launch.id] = max(launch.started_at, seen)
    return ends


def _resolved(cells: Sequence[Cell]) -> tuple[Resolved, ...]:
    lines = [
        Resolved(
            model=model,
            attempts=sum(cell.attempts for cell in found),
            cost_usd=from_pico(sum(cell.cost_pico for cell in found)),
            first_sent_at=from_ms(min(cell.first_sent for cell in found)),
            last_sent_at=from_ms(max(cell.last_sent for cell in found)),
        )
        for model, found in grouped(cells, lambda cell: cell.resolved).items()
    ]
    return tuple(sorted(lines, key=lambda line: line.first_sent_at))
