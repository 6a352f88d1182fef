"""From a report to its charts, each with the table of what it shows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from markupsafe import Markup

from batchai.domain import NO_COST, Outcome
from batchai.reports.distributions import Bin, Latency
from batchai.reports.job_report import JobReport, RunLine
from batchai.reports.page.charts import (
    Axis,
    Column,
    Mark,
    Part,
    Row,
    column_chart,
    histogram,
    line_chart,
    ranking,
)
from batchai.reports.page.scales import short
from batchai.reports.timeline import Bucket, Timeline
from batchai.reports.words import counted, share, span, usd, wait

_NEAR = 5  # times the data: a cap or limit beyond would flatten it, and is told in words only


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart with its caption, and the same in a table. note: one line under the title."""

    title: str
    note: str
    chart: Markup
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def figures(report: JobReport) -> Iterator[Figure]:
    """The charts that there is something to show in."""
    if report.timeline is not None and report.last_run is not None:
        if report.last_run.tally.cost_usd:
            yield _cost(report.timeline, report.last_run)
        yield _throughput(report, report.timeline)
    if report.outcomes:
        yield _outcomes(report)
    if report.total.cost_usd:
        models = [(line.model, line.tally.cost_usd) for line in report.models]
        yield _ranked("Cost by model", models, report)
    if report.distributions.latency_seconds:
        yield _latency(report)
    yield from _tokens(report)
    yield from _costs(report)


def _cost(timeline: Timeline, run: RunLine) -> Figure:
    points, spent = [], NO_COST
    start = timeline.buckets[0].at
    points.append((start.timestamp(), 0.0, f"{_when(start)}: $0"))
    for bucket in timeline.buckets:
        spent += bucket.cost_usd
        until = bucket.at + timedelta(seconds=timeline.width_seconds)
        points.append((until.timestamp(), float(spent), f"{_when(until)}: {usd(spent)}"))
    cap = run.budget_usd
    is_near = cap is not None and cap <= spent * _NEAR
    most = float(max(spent, cap) if cap is not None and is_near else spent)
    chart = line_chart(
        points,
        title=f"Cost of run {run.run} over time, {usd(spent)} in the end",
        x=Axis.of_time(start, _end(timeline)),
        y=Axis.up_to(most, lambda value: usd(Decimal(str(value)))),
        mark=Mark(float(cap), f"cap {usd(cap)}") if cap is not None and is_near else None,
    )
    of_cap = "no cap" if cap is None else f"{share(spent, cap)} of the cap of {usd(cap)}"
    rows = tuple((words.partition(": ")[0], words.partition(": ")[2]) for _, _, words in points)
    note = f"Run {run.run}, added up: {usd(spent)}, {of_cap}"
    return Figure("Cost over time", note, chart, ("until (UTC)", "cost"), rows)


def _throughput(report: JobReport, timeline: Timeline) -> Figure:
    width = timeline.width_seconds
    columns = [_rate(bucket, width) for bucket in timeline.buckets]
    most = max(sum(part.amount for part in column.parts) for column in columns)
    used = next((use for use in report.limits if use.limit == "requests_per_minute"), None)
    allowed = used.allowed if used is not None else None
    minutes = [float(bucket.busiest_minute) for bucket in timeline.buckets]
    most = max(most, *minutes)
    is_near = allowed is not None and allowed <= most * _NEAR
    chart = column_chart(
        columns,
        title="Requests a minute over time: succeeded, turned away for a limit, failed otherwise",
        x=Axis.of_time(timeline.buckets[0].at, _end(timeline)),
        y=Axis.up_to(max(most, allowed) if allowed and is_near else most),
        line=minutes,
        mark=Mark(allowed, f"limit {allowed:,}") if allowed and is_near else None,
    )
    busiest = f"busiest minute {used.busiest:,} requests" if used is not None else ""
    if allowed and used is not None:
        busiest += f", {share(used.busiest, allowed)} of the limit of {allowed:,}"
    rows = tuple(
        (
            _when(each.at),
            *(f"{number:,}" for number in (each.attempts, each.succeeded, each.limited)),
        )
        for each in timeline.buckets
    )
    head = ("from (UTC)", "requests", "succeeded", "turned away")
    note = f"Requests a minute, in steps of {_step(width)}; {busiest}"
    return Figure("Throughput and limits", note, chart, head, rows)


def _rate(bucket: Bucket, width_seconds: int) -> Column:
    a_minute = 60 / width_seconds
    other = bucket.attempts - bucket.succeeded - bucket.limited
    start = bucket.at.timestamp()
    return Column(
        start,
        start + width_seconds,
        (
            Part(bucket.succeeded * a_minute, "good"),
            Part(bucket.limited * a_minute, "warn"),
            Part(other * a_minute, "bad"),
        ),
        f"{_when(bucket.at)}: {bucket.succeeded:,} succeeded, {bucket.limited:,} turned away, "
        f"{other:,} failed otherwise",
    )


def _outcomes(report: JobReport) -> Figure:
    total = report.total
    rows = [
        Row(
            line.outcome.value.replace("_", " "),
            line.tally.attempts,
            f"{line.tally.attempts:,} ({share(line.tally.attempts, total.attempts)})",
            "good" if line.outcome is Outcome.SUCCEEDED else "bad",
        )
        for line in report.outcomes
    ]
    title = "How attempts ended"
    table = tuple(
        (line.outcome.value, f"{line.tally.attempts:,}", usd(line.tally.cost_usd))
        for line in report.outcomes
    )
    note = f"{counted(total.attempts, 'attempt')} of all runs"
    head = ("outcome", "attempts", "cost")
    return Figure("Outcomes", note, ranking(rows, title=title), head, table)


def _latency(report: JobReport) -> Figure:
    bins = report.distributions.latency_seconds
    latency = report.latency
    marks = [] if latency is None else _percentiles(latency, bins)
    note = "Time until an answer"
    if latency is not None:
        note += (
            f": half within {wait(latency.p50_seconds)}, 95 % within {wait(latency.p95_seconds)}"
        )
    return _spread(report, "Latency", note, bins, words=wait, marks=marks)


def _percentiles(latency: Latency, bins: Sequence[Bin]) -> list[Mark]:
    return [
        Mark(_place(latency.p50_seconds, bins), "p50"),
        Mark(_place(latency.p95_seconds, bins), "p95"),
    ]


def _place(value: float, bins: Sequence[Bin]) -> float:
    """Where a value lies on bins that are drawn in one width."""
    for number, each in enumerate(bins):
        if value < each.high:
            return number + max(0.0, value - each.low) / (each.high - each.low)
    return float(len(bins))


def _tokens(report: JobReport) -> Iterator[Figure]:
    spread = report.distributions
    for title, bins in (
        ("Input tokens", spread.input_tokens),
        ("Output tokens", spread.output_tokens),
    ):
        if bins:
            yield _spread(report, title, f"{title} of an answer", bins, words=short, marks=[])


def _spread(
    report: JobReport,
    title: str,
    note: str,
    bins: Sequence[Bin],
    *,
    words: Callable[[float], str],
    marks: Sequence[Mark],
) -> Figure:
    columns = [
        Column(
            place,
            place + 1,
            (Part(each.answers, "t1"),),
            f"{words(each.low)} to {words(each.high)}: {counted(each.answers, 'answer')}",
        )
        for place, each in enumerate(bins)
    ]
    chart = histogram(
        columns,
        title=note,
        labels=[*(words(each.low) for each in bins), words(bins[-1].high)],
        y=Axis.up_to(max(each.answers for each in bins), whole=True),
        marks=marks,
    )
    spread = report.distributions
    of = "an even sample of " if spread.is_sample else ""
    rows = tuple((words(each.low), words(each.high), f"{each.answers:,}") for each in bins)
    note += f"; {of}{counted(spread.answers, 'answer')}"
    return Figure(title, note, chart, ("from", "to", "answers"), rows)


def _costs(report: JobReport) -> Iterator[Figure]:
    """Cost by step and day, where there are several."""
    if not report.total.cost_usd:
        return
    if len(report.steps) > 1:
        yield _ranked("Cost by step", [(s.step, s.tally.cost_usd) for s in report.steps], report)
    if len(report.days) > 1:
        days = [(f"{line.day}", line.tally.cost_usd) for line in report.days[-14:]]
        yield _ranked("Cost by day", days, report)


def _ranked(title: str, lines: Sequence[tuple[str, Decimal]], report: JobReport) -> Figure:
    total = report.total.cost_usd
    rows = [
        Row(label, float(cost), f"{usd(cost)} ({share(cost, total)})", "t2")
        for label, cost in lines
    ]
    table = tuple((label, usd(cost), share(cost, total)) for label, cost in lines)
    note = f"All runs: {usd(total)}"
    return Figure(title, note, ranking(rows, title=title), ("", "cost", "share"), table)


def _end(timeline: Timeline) -> datetime:
    return timeline.buckets[-1].at + timedelta(seconds=timeline.width_seconds)


def _step(seconds: int) -> str:
    return f"{seconds} s" if seconds < 60 else span(seconds)


def _when(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}" if time.second else f"{time:%Y-%m-%d %H:%M}"
