"""The figures at the top of the page: a number, its name, and a note."""

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from batchai.domain import NO_COST, State
from batchai.reports.job_report import JobReport
from batchai.reports.page.charts import Part, share_bar
from batchai.reports.words import counted, share, span, usd, wait


@dataclass(frozen=True, slots=True)
class Tile:
    """bar: a thin bar under the number, if any. tone: good, warn, bad, or none."""

    name: str
    value: str
    note: str
    bar: Markup | str = ""
    tone: str = ""


def tiles(report: JobReport) -> Iterator[Tile]:
    """What a person asks first, in that order."""
    yield _succeeded(report)
    yield _failed(report)
    yield _spent(report)
    yield from _beside(report)
    yield from _effort(report)
    yield from _saved(report)


def _succeeded(report: JobReport) -> Tile:
    count = report.items.get(State.SUCCEEDED, 0)
    failed = sum(failure.items for failure in report.failures)
    rest = report.item_count - count - failed
    parts = [Part(count, "good"), Part(failed, "bad"), Part(rest, "rest")]
    note = f"of {counted(report.item_count, 'item')} ({share(count, report.item_count)})"
    if rest:
        note += f", {rest:,} to do"
    return Tile("Succeeded", f"{count:,}", note, share_bar(parts, title="items by state"), "good")


def _failed(report: JobReport) -> Tile:
    kinds = [f"{failure.items:,} {failure.kind}" for failure in report.failures[:3]]
    failed = sum(failure.items for failure in report.failures)
    return Tile("Failed", f"{failed:,}", ", ".join(kinds) or "nothing failed", tone=_bad(failed))


def _spent(report: JobReport) -> Tile:
    run = report.last_run
    if run is None:
        return Tile("Spent", "$0", "no run yet")
    cost, cap = run.tally.cost_usd, run.budget_usd
    bar: Markup | str = ""
    note = f"in run {run.run}, no cap"
    if cap is not None:
        parts = [Part(float(cost), "t1"), Part(float(max(cap - cost, NO_COST)), "rest")]
        bar = share_bar(parts, title=f"{share(cost, cap)} of the cap is spent")
        note = f"of {usd(cap)} in run {run.run} ({share(cost, cap)})"
    if len(report.runs) > 1:
        note += f"; {usd(report.total.cost_usd)} in all"
    return Tile("Spent", usd(cost), note, bar)


def _beside(report: JobReport) -> Iterator[Tile]:
    unconfirmed = report.total.unconfirmed_usd
    yield Tile(
        "Unconfirmed",
        usd(unconfirmed),
        "may have been billed beside" if unconfirmed else "every attempt has its usage",
        tone="warn" if unconfirmed else "",
    )
    if report.open.attempts:
        note = f"{counted(report.open.attempts, 'attempt')} not recorded yet, at most"
        yield Tile("In flight", usd(report.open.at_risk_usd), note, tone="warn")


def _effort(report: JobReport) -> Iterator[Tile]:
    total, run = report.total, report.last_run
    if total.cost_per_success_usd:
        yield Tile("Per success", usd(total.cost_per_success_usd), "failed attempts included")
    if run is not None and run.items_per_second:
        note = f"items a second, in {span(run.working_seconds)} of work"
        yield Tile(
            "Throughput", f"{run.items_per_second:,.{1 if run.items_per_second >= 1 else 3}f}", note
        )
    if report.latency is not None:
        note = f"half of the answers; 95 % within {wait(report.latency.p95_seconds)}"
        yield Tile("Latency", wait(report.latency.p50_seconds), note)
    if total.attempts:
        note = f"of attempts, {usd(total.retries_cost_usd)}; failed ones "
        note += f"{share(total.failed, total.attempts)}, {usd(total.failed_cost_usd)}"
        yield Tile("Retries", share(total.retries, total.attempts), note)


def _saved(report: JobReport) -> Iterator[Tile]:
    saved = report.saved
    if saved.cache_usd > 0:
        yield Tile(
            "Saved by caching",
            usd(saved.cache_usd),
            "than without the provider's cache",
            tone="good",
        )
    if saved.reused:
        note = f"{counted(saved.reused, 'result')} of earlier runs not paid for again"
        yield Tile("Saved by reuse", usd(saved.reused_usd), note, tone="good")


def _bad(number: int) -> str:
    return "bad" if number else ""
