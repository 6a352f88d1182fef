"""What was saved, where the money went, and what to change, as lines of text."""

import shlex
from collections.abc import Iterator, Sequence

from batchai.domain import NO_COST, Estimate, State
from batchai.reports.advice import Advice
from batchai.reports.job_report import ComparedCost, CostlyLine, PolicyLine, RunLine
from batchai.reports.savings import Saved
from batchai.reports.tables import table
from batchai.reports.timeline import LimitUse
from batchai.reports.words import counted, one_line, printable, share, span, usd

_MOST_ESTIMATES = 5


def saved_lines(saved: Saved) -> Iterator[str]:
    """At most one line; none where nothing was saved."""
    parts = []
    if saved.cache_usd > 0:
        parts.append(f"{usd(saved.cache_usd)} by prompt caching")
    if saved.reused:
        results = counted(saved.reused, "result")
        cost = f", {usd(saved.reused_usd)}" if saved.reused_usd else ""
        parts.append(f"{results} of earlier runs not paid for again{cost}")
    if saved.copied:
        copies = counted(saved.copied, "equal request")
        cost = f", {usd(saved.copied_usd)}" if saved.copied_usd else ""
        parts.append(f"{copies} not sent again{cost}")
    if parts:
        yield f"saved: {' · '.join(parts)}"
    if saved.cache_usd < 0:
        yield f"prompt caching cost {usd(-saved.cache_usd)} more than it saved"


def estimate_lines(run: RunLine | None) -> Iterator[str]:
    """At most one line: what the run was expected to cost and to take, beside what it did."""
    estimate = run and run.estimate
    if not run or not estimate:
        return
    came = "came to" if run.ended_at else "so far"
    told, took = [span(estimate.seconds)], [span(run.working_seconds)]
    if estimate.cost_usd or run.tally.cost_usd:
        told.insert(0, estimated_cost(estimate))
        took.insert(0, usd(run.tally.cost_usd))
    yield f"estimated {basis_words(estimate)}: {', '.join(told)}; {came} {', '.join(took)}"


def basis_words(estimate: Estimate) -> str:
    """What an estimate was learnt from."""
    match estimate.basis:
        case "pilot":
            return "from its pilot"
        case "history":
            return "from what was done before"
        case _:
            return "from sizes alone"


def estimated_cost(estimate: Estimate) -> str:
    """`$1.04 ($0.98 to $1.12)`, without an interval where there is none."""
    low, high = estimate.cost_low_usd, estimate.cost_high_usd
    between = "" if low is None or high is None else f" ({usd(low)} to {usd(high)})"
    return usd(estimate.cost_usd) + between


def estimate_rows(runs: Sequence[RunLine]) -> list[list[str]]:
    """The newest runs that were estimated, beside what they came to; a header first."""
    rows = [["run", "by", "estimate", "came to", "off by", "time", "took"]]
    for run in [run for run in runs if run.estimate is not None][-_MOST_ESTIMATES:]:
        estimate, came = run.estimate, run.tally.cost_usd
        assert estimate is not None
        off = share(abs(estimate.cost_usd - came), came) if came and run.ended_at else ""
        rows.append(
            [
                f"{run.run}",
                "sizes" if estimate.basis == "schema" else estimate.basis,
                estimated_cost(estimate),
                usd(came) + ("" if run.ended_at else " so far"),
                off,
                span(estimate.seconds),
                span(run.working_seconds),
            ]
        )
    return rows


def comparison_lines(compared: Sequence[ComparedCost]) -> Iterator[str]:
    """At most one line: what comparisons of models cost beside the job's own runs."""
    if compared:
        cost = sum((one.cost_usd for one in compared), NO_COST)
        unconfirmed = sum((one.unconfirmed_usd for one in compared), NO_COST)
        beside = f" and {usd(unconfirmed)} unconfirmed" if unconfirmed else ""
        models = counted(len(compared), "model")
        yield f"comparisons of {models} cost {usd(cost)}{beside}, beside these figures"


def limit_lines(limits: Sequence[LimitUse]) -> Iterator[str]:
    """At most one line: what the busiest minute of the last run took of each limit."""
    parts = [
        f"{use.busiest:,} of {use.allowed:,} {limit_words(use.limit)} "
        f"({share(use.busiest, use.allowed)})"
        for use in limits
        if use.allowed
    ]
    if parts:
        yield f"limits, busiest: {' · '.join(parts)}"


def limit_words(name: str) -> str:
    """`requests a minute` of `requests_per_minute`."""
    return name.replace("_per_", " a ").replace("_", " ")


def advice_lines(advice: Sequence[Advice], name: str) -> list[str]:
    """A paragraph of advice. name: JOB as the user typed it."""
    lines = ["advice"] if advice else []
    for each in advice:
        lines += [f"  {printable(each.words)}", f"    {remedy_for(each, name)}"]
    return lines


def remedy_for(advice: Advice, name: str) -> str:
    """What to type or to write into the job."""
    return printable(advice.remedy).replace("JOB", shlex.quote(name))


def costliest_lines(items: Sequence[CostlyLine]) -> list[str]:
    """A table of the items that cost most."""
    rows = [["costliest items", "", "attempts", "cost"]]
    rows += [
        [f"  {one_line(item.key, most=40)}", item.state, f"{item.attempts:,}", usd(item.cost_usd)]
        for item in items
    ]
    return table(rows, left=(0, 1)) if _differ(items) else []


def policy_table(policies: Sequence[PolicyLine]) -> list[str]:
    """A table of what each policy cost and rescued; steps are named where there are several."""
    has_steps = len({line.step for line in policies}) > 1
    rows = [["further attempts", "attempts", "cost", "rescued"]]
    rows += [
        [
            f"  {line.step} · {line.policy}" if has_steps else f"  {line.policy}",
            f"{line.attempts:,}",
            usd(line.cost_usd),
            f"{line.items_rescued:,}",
        ]
        for line in policies
    ]
    return table(rows) if policies else []


def _differ(items: Sequence[CostlyLine]) -> bool:
    """Ten items that cost the same tell nothing; one that failed after it cost much does."""
    return bool(items) and (
        items[0].cost_usd != items[-1].cost_usd
        or any(item.state != State.SUCCEEDED for item in items)
    )
