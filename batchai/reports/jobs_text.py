"""All jobs as text (what they cost, or how far they are) and as JSON."""

from collections.abc import Sequence
from decimal import Decimal

from batchai.domain import State
from batchai.reports.jobs import JobLine, totals_of
from batchai.reports.json_text import json_text
from batchai.reports.reasons import why_ended
from batchai.reports.tables import table, without_empty_columns
from batchai.reports.words import counted, moment, one_line, printable, share, usd

_NONE = "No store here or in jobs/: no job has been run yet. Next: batchai init, or batchai run JOB"


def costs_text(lines: Sequence[JobLine]) -> str:
    """A line a job: what came of it and what it cost."""
    if not lines:
        return _NONE
    rows = [["job", "succeeded", "failed", "to do", "attempts", "cost"]]
    rows[0] += ["unconfirmed", "comparisons", "last"]
    rows += [_cost_row(line) for line in lines if line.problem is None]
    totals = totals_of(lines)
    last = [
        counted(totals.jobs, "job"),
        f"{totals.succeeded:,}",
        _some(totals.failed),
        _some(totals.pending),
        f"{totals.attempts:,}",
        usd(totals.cost_usd),
        _money(totals.unconfirmed_usd),
        _money(totals.comparisons_usd),
    ]
    return "\n".join([*table(without_empty_columns([*rows, last]), left=(0,)), *_problems(lines)])


def progress_text(lines: Sequence[JobLine]) -> str:
    """A line a job: how far it is, what it spent, whether it works now."""
    if not lines:
        return _NONE
    rows = [["job", "done", "of", "", "failed", "spent", "in flight", "state"]]
    rows += [_progress_row(line) for line in lines if line.problem is None]
    last_column = len(rows[0]) - 1
    aligned = without_empty_columns(rows)
    return "\n".join(
        [*table(aligned, left=(0, last_column - len(rows[0]) + len(aligned[0]))), *_problems(lines)]
    )


def all_to_json(lines: Sequence[JobLine]) -> str:
    """`{"schema_version": 1, "jobs": [a line each], "total": sums}`; money as strings, USD."""
    return json_text({"jobs": lines, "total": totals_of(lines)})


def _cost_row(line: JobLine) -> list[str]:
    return [
        printable(line.job),
        f"{line.count(State.SUCCEEDED):,}",
        _some(line.failed),
        _some(line.count(State.PENDING)),
        f"{line.attempts:,}",
        usd(line.cost_usd),
        _money(line.unconfirmed_usd),
        _money(line.comparisons_usd),
        "works now" if line.is_working else moment(line.last_at) if line.last_at else "",
    ]


def _progress_row(line: JobLine) -> list[str]:
    spent = usd(line.run_cost_usd)
    if line.budget_usd is not None:
        spent += f" of {usd(line.budget_usd)}"
    return [
        printable(line.job),
        f"{line.done:,}",
        f"{line.total:,}",
        share(line.done, line.total),
        _some(line.failed),
        spent,
        _some(line.in_flight),
        _state(line),
    ]


def _state(line: JobLine) -> str:
    if line.paused_at is not None:
        return f"paused since {moment(line.paused_at)}: batchai resume {printable(line.job)}"
    return "works now" if line.is_working else why_ended(line.reason)


def _problems(lines: Sequence[JobLine]) -> list[str]:
    return [one_line(line.problem, most=300) for line in lines if line.problem is not None]


def _money(amount: Decimal) -> str:
    return usd(amount) if amount else ""


def _some(number: int) -> str:
    return f"{number:,}" if number else ""
