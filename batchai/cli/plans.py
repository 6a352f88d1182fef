"""What `batchai plan` prints: a plan, several models side by side, a pilot."""

import shlex
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from batchai.cli.following import Changes, following
from batchai.domain import MAIN_STEP, NO_COST, Estimate
from batchai.engine.runner import Reason
from batchai.engine.scan import Change
from batchai.operations.pilot import Pilot
from batchai.operations.plan import Plan
from batchai.operations.survey import Survey
from batchai.reports.json_text import plain
from batchai.reports.reasons import why_ended
from batchai.reports.tables import table
from batchai.reports.words import counted, printable, share, span, usd

_WORDS = {
    Change.NEW: "new",
    Change.PENDING: "not done yet",
    Change.EDITED: "row edited, sent again",
    Change.CHANGED: "spec changed, needs --changed",
    Change.REVALIDATED: "fit the changed schema, reused",
    Change.KEPT: "kept",
    Change.SAME: "done, reused",
}


def plan_text(plan: Plan, name: str, *, changes: Changes = ()) -> str:
    """What a run would do: counts by change with their price, tokens, duration."""
    survey, estimate, job = plan.survey, plan.estimate, shlex.quote(name)
    rows = []
    for change, words in _WORDS.items():
        number = survey.changes[change.value]
        if number:
            cost = survey.cost_by_change.get(change.value)
            price = "" if cost is None or plan.is_free else usd(cost)
            rows.append(f"  {words:<34} {number:>12,}  {price:>10}".rstrip())
    if survey.removed:
        rows.append(f"  {'left the input, stay in the store':<34} {survey.removed:>12,}")
    if plan.failed:
        rows.append(f"  {'of these failed (run --retry failed)':<36} {plan.failed:>10,}")
    if survey.bad_rows:
        rows.append(f"  {'bad rows':<34} {survey.bad_rows:>12,}")
    if not any(survey.requests.values()):
        follow = f"run {job} --retry failed" if plan.failed else f"report {job}"
        follow = following(f"batchai {follow}", name, changes)
        return "\n".join(["A run would send nothing:", *rows, f"Next: {follow}"])
    lines = [f"A run would send {counted(survey.to_send, 'item')}:", *rows, *_step_lines(plan)]
    lines.append(
        f"Tokens: about {estimate.input_tokens:,} in, {estimate.output_tokens:,} out "
        f"({_basis(estimate)})"
    )
    lines += _sharing(survey)
    if plan.is_free:
        lines.append("Price:  none")
    else:
        lines.append(f"Price:  about {_money(estimate)}, at most {usd(survey.worst)}")
    if survey.to_send:
        lines.append(f"Time:   about {_time(estimate)} at the job's limits")
    budget = plan.job.budget_usd
    if budget is not None and estimate.cost_usd > budget:
        lines.append(f"The budget of {usd(budget)} would not be enough.")
    asks = " --changed rerun   (or keep)" if survey.at_stake else ""
    lines.append(f"Next: {following(f'batchai run {job}{asks}', name, changes)}")
    return "\n".join(lines)


def _step_lines(plan: Plan) -> list[str]:
    """Requests and price of each named step."""
    survey, job = plan.survey, plan.job
    if job.step_names == (MAIN_STEP,) and not job.reductions:
        return []
    lines = ["By step, where a later one is reckoned at one request an item:"]
    for step in job.steps:
        price = "" if plan.is_free else usd(survey.cost_by_step.get(step.name, NO_COST))
        words = f"{printable(step.name)} (requests)"
        lines.append(f"  {words:<34} {survey.requests[step.name]:>12,}  {price:>10}")
    if left_out := _left_out(plan):
        lines.append(f"Not included: the reduction of {', '.join(map(printable, left_out))}")
    return lines


def _left_out(plan: Plan) -> list[str]:
    """Reductions over results of other reductions, which nothing tells beforehand."""
    names = plan.job.step_names
    return [s.name for s in plan.job.reductions if s.reduction and s.reduction.of not in names]


def plans_text(plans: Sequence[Plan], name: str) -> str:
    """Models side by side."""
    rows = [["model", "items", "tokens in", "tokens out", "price", "at most", "time", ""]]
    for plan in plans:
        estimate = plan.estimate
        rows.append(
            [
                printable(plan.job.steps[0].model.name),
                f"{plan.survey.to_send:,}",
                f"{estimate.input_tokens:,}",
                f"{estimate.output_tokens:,}",
                "none" if plan.is_free else _money(estimate),
                "none" if plan.is_free else usd(plan.survey.worst),
                span(estimate.seconds),
                f"ends {plan.ends}" if plan.ends else "",
            ]
        )
    basis = _basis(plans[0].estimate)
    return "\n".join(
        [
            *table(rows, left=(0, 7)),
            f"Output lengths {basis}; another model may write more or less.",
            f"Next: batchai plan {name} --model NAME --pilot 30",
        ]
    )


def pilot_text(pilot: Pilot, name: str, *, changes: Changes = ()) -> str:
    """What the sent items cost, and what all will."""
    lines = []
    if pilot.end.reason is not Reason.FINISHED:
        words = why_ended(pilot.end.reason.value)
        lines.append(f"{words[0].upper()}{words[1:]}; everything that was answered is saved.")
        if pilot.end.detail:
            lines.append(f"  {printable(pilot.end.detail)}")
    failed = f", {pilot.failed:,} of them failed" if pilot.failed else ""
    price = "" if pilot.is_free else f" · {usd(pilot.cost)}"
    lines.append(f"{counted(pilot.sent, 'item')} sent, kept{failed}{price}")
    estimate = pilot.estimate
    lines += _sharing(pilot.rest)
    if not pilot.is_free:
        lines.append(f"Price:  all {counted(estimate.items, 'item')} about {_money(estimate)}")
    lines.append(f"Time:   about {_time(estimate)} at the job's limits")
    lines.append(
        "        (90 of 100 such runs lie between)"
        if estimate.cost_low_usd is not None
        else "        (too few items for an interval; take 30)"
    )
    budget = pilot.job.budget_usd
    if budget is not None and (estimate.cost_high_usd or estimate.cost_usd) > budget:
        lines.append(f"The budget of {usd(budget)} may not be enough.")
    follow = following(f"batchai run {shlex.quote(name)}", name, changes)
    lines.append(f"Next: {follow}")
    return "\n".join(lines)


def plan_values(plan: Plan) -> dict[str, Any]:
    """The plan as values of JSON; money as strings, USD."""
    survey = plan.survey
    values: dict[str, Any] = plain(
        {
            "job": plan.job.name,
            "model": plan.job.steps[0].model.name,
            "to_send": survey.to_send,
            "changes": dict(survey.changes),
            "removed": survey.removed,
            "bad_rows": survey.bad_rows,
            "failed": plan.failed,
            "tokens": {"input": plan.estimate.input_tokens, "output": plan.estimate.output_tokens},
            "cost_usd": plan.estimate.cost_usd,
            "worst_cost_usd": survey.worst,
            "seconds": round(plan.estimate.seconds, 1),
            "from_history": plan.estimate.basis != "schema",
            "estimate": plan.estimate,
            "end_of_life": plan.ends,
            "steps": [
                {
                    "step": name,
                    "requests": survey.requests[name],
                    "cost_usd": survey.cost_by_step.get(name, NO_COST),
                }
                for name in (step.name for step in plan.job.steps)
            ],
            "not_included": _left_out(plan),
            **_shared_values(survey),
        }
    )
    return values


def pilot_values(pilot: Pilot) -> dict[str, Any]:
    """The pilot as values of JSON; money as strings, USD."""
    values: dict[str, Any] = plain(
        {
            "job": pilot.job.name,
            "reason": pilot.end.reason.value,
            "sent": pilot.sent,
            "failed": pilot.failed,
            "cost_usd": pilot.cost,
            "estimate": pilot.estimate,
            **_shared_values(pilot.rest),
        }
    )
    return values


def _shared_values(survey: Survey) -> dict[str, Any]:
    return {
        "shared_input_tokens": survey.shared_tokens,
        "saved_by_cache_usd": survey.saved,
    }


def _basis(estimate: Estimate) -> str:
    match estimate.basis:
        case "history" if estimate.sample:
            return f"from {counted(estimate.sample, 'item')} done before"
        case "history":
            return "from this job's own history"
        case _:
            return "from sizes alone; --pilot 30 sharpens it"


def _sharing(survey: Survey) -> list[str]:
    """What share of the input every request repeats, and what the provider's cache makes of it."""
    if not survey.shared_tokens or not survey.input_tokens:
        return []
    words = f"        {share(survey.shared_tokens, survey.input_tokens)} of the input is repeated"
    if survey.saved > 0:
        words += f"; the provider's cache saves about {usd(survey.saved)}"
    return [words]


def _money(estimate: Estimate) -> str:
    low, high = estimate.cost_low_usd, estimate.cost_high_usd
    return usd(estimate.cost_usd) + _between(low, high)


def _between(low: Decimal | None, high: Decimal | None) -> str:
    return "" if low is None or high is None else f" ({usd(low)} to {usd(high)})"


def _time(estimate: Estimate) -> str:
    low, high = estimate.seconds_low, estimate.seconds_high
    words = span(estimate.seconds)
    if low is None or high is None or span(low) == span(high):
        return words
    return f"{words} ({span(low)} to {span(high)})"
