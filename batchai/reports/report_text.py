"""A job's report as text: first the line that matters, then what it is made of."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from batchai.domain import State
from batchai.reports.distributions import Latency
from batchai.reports.job_report import JobReport, ModelLine, OutcomeLine, RunLine
from batchai.reports.money_text import (
    advice_lines,
    comparison_lines,
    costliest_lines,
    estimate_lines,
    limit_lines,
    policy_table,
    saved_lines,
)
from batchai.reports.next_step import Standing, next_step
from batchai.reports.tables import table, without_empty_columns
from batchai.reports.tally import Tally
from batchai.reports.words import counted, one_line, printable, share, span, usd, wait
from batchai.spec.loading import shown_path

_MOST_DAYS = 14
_MOST_RUNS = 10
_MOST_DISAGREEMENTS = 3
_MOST_BAD_ROWS = 3

_COLUMNS = (
    "attempts",
    "input",
    "cache read",
    "cache write",
    "output",
    "reasoning",
    "cost",
    "unconfirmed",
    "per success",
    "p50",
    "p95",
)


def report_text(report: JobReport, name: str) -> str:
    """Short enough for breakfast. name: JOB as the user typed it, for what to type next."""
    blocks = [
        [headline(report, name)],
        list(remarks(report)),
        _failures(report),
        advice_lines(report.advice, name),
        table(rows) if (rows := sums_rows(report)) else [],
        policy_table(report.policies),
        costliest_lines(report.costliest),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def headline(report: JobReport, name: str) -> str:
    """One line: what came out, what it cost, what to type next."""
    following = next_command(report, name)
    return outcome_line(report) + (f" · next: {following}" if following else "")


def next_command(report: JobReport, name: str) -> str | None:
    """What to type next, None where nothing is left to do."""
    return next_step(_standing(report), name)


def outcome_line(report: JobReport) -> str:
    """One line: what came out and what it cost."""
    parts = [f"{report.items.get(State.SUCCEEDED, 0):,} succeeded"]
    parts += [f"{failure.items:,} {failure.kind}" for failure in report.failures]
    if pending := report.items.get(State.PENDING, 0):
        parts.append(f"{pending:,} to do")
    parts += _money(report)
    return " · ".join(parts)


def _money(report: JobReport) -> list[str]:
    """What the last run cost, of its budget; of all runs where there were several."""
    run, total = report.last_run, report.total
    if run is None:
        return []
    if run.budget_usd is None and not (total.cost_usd or total.unconfirmed_usd):
        return ["no cost"]
    words = usd(run.tally.cost_usd)
    if run.budget_usd is not None:
        words += f" of {usd(run.budget_usd)}"
    if len(report.runs) > 1:
        words += f" in run {run.run} ({usd(total.cost_usd)} in all)"
    return [words, f"{usd(total.unconfirmed_usd)} unconfirmed"]


def _standing(report: JobReport) -> Standing:
    return Standing(
        items=report.items,
        failures={failure.kind: failure.items for failure in report.failures},
        is_working=report.is_working,
        reason=report.last_reason,
        cost_per_item=report.total.cost_per_success_usd,
    )


def remarks(report: JobReport) -> Iterator[str]:
    """What else there is to say, a line each."""
    yield _effort(report)
    if report.open.attempts:
        where = "in flight" if report.is_working else "in flight when the last launch died"
        yield (
            f"{counted(report.open.attempts, 'attempt')} {where}, "
            f"up to {usd(report.open.at_risk_usd)} beside these figures"
        )
    if report.fixed:
        yield f"{counted(report.fixed, 'succeeded item')} with the job's fixed values, no answer"
    yield from estimate_lines(report.last_run)
    yield from comparison_lines(report.comparisons)
    yield from saved_lines(report.saved)
    yield from limit_lines(report.limits)
    yield from _agreements(report)
    yield from _changed_names(report.models)
    yield from _bad_rows(report)
    if report.results is not None:
        yield f"results: {printable(shown_path(Path(report.results)))}"


def _effort(report: JobReport) -> str:
    total = report.total
    parts = [counted(report.item_count, "item"), counted(total.attempts, "attempt")]
    if total.retries:
        parts.append(f"retries {_part(total.retries, total.retries_cost_usd, total)}")
    if total.failed:
        parts.append(f"failed attempts {_part(total.failed, total.failed_cost_usd, total)}")
    if total.cost_per_success_usd:
        parts.append(f"{usd(total.cost_per_success_usd)} per success")
    seconds = sum(run.working_seconds for run in report.runs)
    if seconds and total.succeeded:
        parts.append(f"{span(seconds)} of work, {total.succeeded / seconds:,.1f} items/s")
    return " · ".join(parts)


def _part(attempts: int, cost: Decimal, total: Tally) -> str:
    """`60 (1 %), $0.01 (1 %)`."""
    words = f"{attempts:,} ({share(attempts, total.attempts)})"
    if total.cost_usd:
        words += f", {usd(cost)} ({share(cost, total.cost_usd)})"
    return words


def _agreements(report: JobReport) -> Iterator[str]:
    for line in report.agreement:
        if not line.compared:
            yield f"{line.field}: nothing to compare with {line.column} yet"
            continue
        words = (
            f"{printable(line.field)} agrees with {printable(line.column)}: {line.agreed:,} of "
            f"{line.compared:,} ({share(line.agreed, line.compared)})"
        )
        different = [
            f"{one_line(pair.given, most=30) or 'nothing'} for "
            f"{one_line(pair.expected, most=30)} {pair.items:,}"
            for pair in line.disagreements[:_MOST_DISAGREEMENTS]
        ]
        yield words + (f"; mostly {', '.join(different)}" if different else "")


def _changed_names(models: Iterable[ModelLine]) -> Iterator[str]:
    for line in models:
        if len(line.names) > 1:
            names = [
                f"{printable(found.model or '')} (from {found.first_sent_at:%Y-%m-%d %H:%M})"
                for found in line.names
            ]
            yield f"{line.model} was answered by more than one model: {', '.join(names)}"


def _bad_rows(report: JobReport) -> Iterator[str]:
    if not report.bad_rows.rows:
        return
    why = "since it cannot be used" if report.bad_rows.rows == 1 else "since they cannot be used"
    yield f"{counted(report.bad_rows.rows, 'row')} of the input left out, {why}:"
    for row in report.bad_rows.examples[:_MOST_BAD_ROWS]:
        yield f"  {one_line(row.place, most=200)}: {one_line(row.problem)}"


def _failures(report: JobReport) -> list[str]:
    rows = [["failed", "items", "for example"]]
    rows += [
        [f"  {failure.kind}", f"{failure.items:,}", one_line(failure.example)]
        for failure in report.failures
    ]
    return table(rows, left=(0, 2)) if len(rows) > 1 else []


def sums_rows(report: JobReport) -> list[list[str]]:
    """Models, outcomes, runs, days and steps as one table, so that their columns align.

    The first row is the header, the last one the total; a row with one cell begins a group.
    """
    if not report.total.attempts:
        return []
    rows = [["", *_COLUMNS], ["by model"]]
    rows += [_row(line.model, line.tally, line.latency) for line in report.models]
    rows += [["by outcome"], *(_outcome_row(line) for line in report.outcomes)]
    if len(report.runs) > 1:
        rows.append(["by run"])
        rows += [_row(_run_label(line), line.tally) for line in report.runs[-_MOST_RUNS:]]
    if len(report.days) > 1:
        rows.append(["by day (UTC)"])
        rows += [_row(f"{line.day}", line.tally) for line in report.days[-_MOST_DAYS:]]
    if len(report.steps) > 1:
        rows += [["by step"], *(_row(line.step, line.tally) for line in report.steps)]
    rows.append(["total", *_figures(report.total), *_waits(report.latency)])
    return without_empty_columns(rows)


def _outcome_row(line: OutcomeLine) -> list[str]:
    return _row(line.outcome.value, replace(line.tally, cost_per_success_usd=None))


def _row(label: str, sums: Tally, latency: Latency | None = None) -> list[str]:
    return [f"  {printable(label)}", *_figures(sums), *_waits(latency)]


def _run_label(run: RunLine) -> str:
    return f"{run.run}, {run.started_at:%Y-%m-%d %H:%M}"


def _figures(sums: Tally) -> list[str]:
    tokens = sums.tokens
    per_success = sums.cost_per_success_usd
    return [
        f"{sums.attempts:,}",
        _number(tokens.uncached_input),
        _number(tokens.cache_read),
        _number(tokens.cache_write_5m + tokens.cache_write_1h),
        _number(tokens.output),
        _number(tokens.reasoning),
        usd(sums.cost_usd) if sums.cost_usd else "",
        usd(sums.unconfirmed_usd) if sums.unconfirmed_usd else "",
        usd(per_success) if per_success else "",
    ]


def _waits(latency: Latency | None) -> list[str]:
    return [] if latency is None else [wait(latency.p50_seconds), wait(latency.p95_seconds)]


def _number(count: int) -> str:
    return f"{count:,}" if count else ""
