"""What the commands print about the simulator and about rehearsals."""

import shlex
from collections import Counter

from batchai.domain import State
from batchai.engine.runner import Reason
from batchai.operations.export import output_path
from batchai.operations.rehearse import Rehearsal
from batchai.operations.simulate import Bill, Service
from batchai.reports.reasons import why_ended
from batchai.reports.words import counted, printable, span, usd, wait
from batchai.simulator import AccountLimits, Served, Simulator
from batchai.simulator.summary import Worst
from batchai.spec.loading import shown_path

_BROKEN_OFF = {Reason.INTERRUPTED, Reason.TERMINATED}


def serving_text(simulator: Simulator, *, wants_key: bool = False) -> str:
    """Where a simulator listens, and how a job is pointed at it."""
    keys = "Any key will do" if wants_key else "Any key will do, or none"
    variable = "NAME" if wants_key else "none"
    return "\n".join(
        [
            f"OpenAI Chat Completions  {simulator.openai_url}",
            f"Anthropic Messages       {simulator.anthropic_url}",
            f"{keys}. In another terminal, apart from the job's own results:",
            f"  batchai run JOB --base-url {simulator.openai_url} "
            f"--set model.api_key_env={variable} \\",
            "    --set name=simulated --set output=simulated.csv --yes",
            "Ctrl-C ends it and tells what it saw.",
        ]
    )


def service_text(service: Service) -> str:
    """What the simulator saw: outcomes, the fullest window, tokens and bill."""
    summary, limits = service.summary, service.limits
    lines = [f"Served {counted(summary.requests, 'request')} in {span(service.seconds)}."]
    if not summary.requests:
        return lines[0]
    window = "minute" if limits.window_seconds == 60 else span(limits.window_seconds)
    lines += [
        f"Outcomes: {_numbered(summary.outcomes)}",
        f"Fullest {window}: {_fullest(summary.worst, limits)}",
        f"Most in flight at once: {summary.in_flight_peak:,}",
    ]
    if summary.neighbours_served or summary.neighbours_refused:
        lines.append(
            f"Other users of the account: {summary.neighbours_served:,} served, "
            f"{summary.neighbours_refused:,} refused"
        )
    lines += [_bill_line(bill) for bill in service.bills]
    return "\n".join(lines)


def rehearsal_text(rehearsal: Rehearsal, name: str) -> str:
    """How the run would go, what it would take and cost, and that nothing was spent."""
    lines = _duration(rehearsal)
    lines += [
        _items(rehearsal),
        _requests(rehearsal),
        f"Fullest minute: {_fullest(rehearsal.served.worst, _limits(rehearsal))} · "
        f"most in flight: {rehearsal.served.in_flight_peak}{_of(_slots(rehearsal))}"
        f"{_each(rehearsal)}",
        f"Price: {_price(rehearsal)}",
        _basis(rehearsal, name),
        _untouched(rehearsal),
    ]
    follow = "run" if rehearsal.basis.has_history else "try"
    lines.append(f"Next: batchai {follow} {shlex.quote(name)}")
    return "\n".join(lines)


def _duration(rehearsal: Rehearsal) -> list[str]:
    """How long it took and would take, and where it would end early."""
    end, real, simulated = rehearsal.run.end, rehearsal.real_seconds, rehearsal.run.seconds
    if end.reason in _BROKEN_OFF:
        return [
            f"Broken off after {span(real)}, which stand for {span(simulated)} of a real run; "
            "what follows is of that part."
        ]
    lines = [f"Rehearsed in {span(real)}; for real it would take about {span(simulated)}."]
    if end.reason is not Reason.FINISHED:
        lines.append(f"For real it would have {why_ended(end.reason.value)}.")
        lines += [f"  {printable(end.detail)}"] if end.detail else []
    return lines


def _items(rehearsal: Rehearsal) -> str:
    counts = rehearsal.run.counts
    parts = [f"{counts.get(State.SUCCEEDED, 0):,} succeeded"]
    parts += [f"{number:,} {kind}" for kind, number in rehearsal.run.failures.items()]
    if pending := counts.get(State.PENDING, 0):
        parts.append(f"{pending:,} not done")
    if done := rehearsal.basis.done:
        parts.append(f"{done:,} items are done already, and a run would not send them again")
    return " · ".join(parts)


def _requests(rehearsal: Rehearsal) -> str:
    served, progress = rehearsal.served, rehearsal.run.progress
    line = (
        f"{counted(served.requests, 'request')}, {progress.retries:,} of them retries · "
        f"{served.input_tokens:,} tokens in, {served.output_tokens:,} out"
    )
    if not rehearsal.faults:
        return line
    went_wrong = Counter(served.outcomes)
    del went_wrong[Served.ANSWERED]
    return f"{line}\nWent wrong on purpose: {_numbered(went_wrong) or 'nothing, by chance'}"


def _price(rehearsal: Rehearsal) -> str:
    if rehearsal.is_free:
        return "none"
    cost, unconfirmed = rehearsal.run.run.cost, rehearsal.run.run.unconfirmed
    text = f"about {usd(cost)}"
    if unconfirmed:
        text += f", with answers lost on the way at most {usd(cost + unconfirmed)}"
    if (budget := rehearsal.job.budget_usd) is not None:
        text += f", of a budget of {usd(budget)}"
    return text


def _basis(rehearsal: Rehearsal, name: str) -> str:
    basis = rehearsal.basis
    answers = f"answers of {basis.output_tokens:,} tokens after about {wait(basis.latency_seconds)}"
    if basis.has_history:
        return f"Simulated: {answers}, as this job's have been"
    return f"Assumed: {answers} (`batchai try {shlex.quote(name)}` will tell)"


def _untouched(rehearsal: Rehearsal) -> str:
    job, export = rehearsal.job, rehearsal.run.export
    text = (
        "Nothing left this machine and nothing was spent. The job's own store and "
        f"{shown_path(output_path(job))} were not touched."
    )
    if export is not None:
        text += f"\nInvented answers, to look at the columns: {shown_path(export.path)}"
    return text


def _limits(rehearsal: Rehearsal) -> AccountLimits:
    limits, accounts = rehearsal.job.limits, rehearsal.accounts

    def of_all(limit: int | None) -> int | None:
        return None if limit is None else limit * accounts

    return AccountLimits(
        requests=of_all(limits.requests_per_minute),
        tokens=of_all(limits.tokens_per_minute),
        input_tokens=of_all(limits.input_tokens_per_minute),
        output_tokens=of_all(limits.output_tokens_per_minute),
    )


def _slots(rehearsal: Rehearsal) -> int | None:
    slots = rehearsal.job.limits.concurrency
    return None if slots == "auto" else slots * rehearsal.accounts


def _each(rehearsal: Rehearsal) -> str:
    if rehearsal.accounts == 1:
        return ""
    return f" (each of the {rehearsal.accounts} models' accounts has limits and slots of its own)"


def _fullest(worst: Worst, limits: AccountLimits) -> str:
    return (
        f"{worst.requests:,}{_of(limits.requests)} requests · "
        f"{worst.tokens:,}{_of(limits.tokens)} tokens "
        f"({worst.input_tokens:,}{_of(limits.input_tokens)} in, "
        f"{worst.output_tokens:,}{_of(limits.output_tokens)} out)"
    )


def _of(limit: int | None) -> str:
    return "" if limit is None else f" of {limit:,}"


def _numbered(outcomes: Counter[str]) -> str:
    return ", ".join(f"{number:,} {kind}" for kind, number in outcomes.most_common())


def _bill_line(bill: Bill) -> str:
    price = "no price known" if bill.cost_usd is None else f"{usd(bill.cost_usd)} at list price"
    return (
        f"Bill of {printable(bill.model)}: {counted(bill.answers, 'answer')} · "
        f"{bill.input_tokens:,} tokens in, {bill.output_tokens:,} out · {price}"
    )
