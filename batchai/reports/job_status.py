"""Where a job stands now, as a value and as text. Its JSON is `json_text` of the value."""

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from batchai.domain import Outcome, State
from batchai.reports.next_step import Standing, next_step
from batchai.reports.reasons import why_ended
from batchai.reports.tables import table
from batchai.reports.words import age, counted, moment, one_line, share, span, tuned_words, usd


@dataclass(frozen=True, slots=True)
class LaunchLine:
    """One process that worked on the job, or does. reason: why it ended, None while it works."""

    pid: int
    started_at: datetime
    ended_at: datetime | None
    exit_code: int | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class FailureLine:
    """An item that failed, when and why."""

    key: str
    kind: str
    error: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class ReducedLine:
    """A reduction: its groups by state, and the first that failed; their keys are what the groups
    share."""

    step: str
    groups: dict[str, int]
    failed: tuple[FailureLine, ...]


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job at one moment. Money in USD, of the run of now or the last one.

    items: selected ones by state; failures: those that failed, by kind. is_counting: the input is
    still being read, so `total` grows. items_per_second, eta_seconds: by what was settled in the
    last minutes; None while nothing works. in_flight: attempts that are sent and not recorded,
    at_risk_usd the most that they can cost. recent: attempts closed in the last minutes by outcome.
    paused_at: until somebody says `resume`. tuned: dotted fields that `tune` changed.
    slots: how many may be in flight; waits_for: what keeps the next request back, wait_seconds at
    least; only a launch at work knows them.
    """

    job: str
    at: datetime
    is_working: bool
    is_counting: bool
    run: int | None
    items: dict[str, int]
    failures: dict[str, int]
    done: int
    total: int
    items_per_second: float | None
    eta_seconds: float | None
    attempts: int
    cost_usd: Decimal
    budget_usd: Decimal | None
    unconfirmed_usd: Decimal
    in_flight: int
    at_risk_usd: Decimal
    recent: dict[str, int]
    last_failures: tuple[FailureLine, ...]
    launch: LaunchLine | None
    paused_at: datetime | None
    is_stopping: bool
    tuned: dict[str, Any]
    slots: int | None
    waits_for: str | None
    wait_seconds: float | None
    reductions: tuple[ReducedLine, ...] = ()


def status_text(status: JobStatus, name: str) -> str:
    """A few lines. name: JOB as the user typed it, for what to type next."""
    return "\n".join(_lines(status, name))


def status_line(status: JobStatus) -> str:
    """One line, for a log of how a run goes."""
    parts = [f"{status.at:%H:%M:%S}", *_standstill(status)]
    if not status.is_working:
        parts.append(_activity(status))
    return " · ".join([*parts, _progress(status), _money(status)])


def _lines(status: JobStatus, name: str) -> Iterator[str]:
    yield " · ".join([_activity(status), *_standstill(status)])
    yield _progress(status)
    yield _money(status)
    if status.tuned:
        yield f"tuned: {tuned_words(status.tuned)}"
    if status.is_working and (trouble := _trouble(status)):
        yield trouble
    if status.last_failures:
        yield "failed last:"
        rows = [
            [f"  {one_line(line.key, most=40)}", line.kind, one_line(line.error)]
            for line in status.last_failures
        ]
        yield from table(rows, left=(0, 1, 2))
    yield from reduced_lines(status.reductions, name)
    following = next_step(_standing(status), name)
    if following is not None and (not status.is_working or status.paused_at is not None):
        yield f"next: {following}"


def reduced_lines(reductions: Iterable[ReducedLine], name: str) -> Iterator[str]:
    """A line a reduction, and one each group that failed, as far as they are given."""
    for line in reductions:
        counts = [f"{number:,} {state}" for state, number in line.groups.items()]
        total = counted(sum(line.groups.values()), "group")
        step = one_line(line.step)
        yield f"reduction {step}: {total} · {' · '.join(counts)}"
        for failed in line.failed:
            why = one_line(failed.error)
            yield f"  {one_line(failed.key, most=40)}  {failed.kind}  {why}"
        if line.failed:
            yield f"  all: batchai show {shlex.quote(name)} {step}"


def _standstill(status: JobStatus) -> list[str]:
    """Why nothing is sent just now."""
    if status.is_working and status.is_stopping:
        return ["is stopping"]
    if status.paused_at is not None:
        return [f"paused {age(status.at - status.paused_at)}"]
    if status.waits_for in (None, "slots"):
        return []
    seconds = status.wait_seconds
    left = f" ({span(seconds)})" if seconds is not None and seconds >= 1 else ""
    return [f"waits for {status.waits_for}{left}"]


def _activity(status: JobStatus) -> str:
    launch = status.launch
    if status.is_working and (launch is None or launch.ended_at is not None):
        return "at work, its first requests are being prepared"
    if launch is None:
        return "not run yet"
    if status.is_working:
        spent = span((status.at - launch.started_at).total_seconds())
        return f"at work for {spent} (process {launch.pid}, run {status.run})"
    if launch.ended_at is None:
        return f"{why_ended(launch.reason)}; began {moment(launch.started_at)}"
    when = f"{age(status.at - launch.ended_at)}, {moment(launch.ended_at)}"
    return f"{why_ended(launch.reason)} ({when})"


def _progress(status: JobStatus) -> str:
    so_far = " so far, the input is still being read" if status.is_counting else ""
    parts = [
        f"{status.done:,} of {status.total:,} done ({share(status.done, status.total)}){so_far}",
        f"{status.items.get(State.SUCCEEDED, 0):,} succeeded",
    ]
    parts += [f"{number:,} {kind}" for kind, number in status.failures.items()]
    if status.items_per_second is not None:
        parts.append(f"{status.items_per_second:,.1f} items/s")
    if status.eta_seconds is not None:
        parts.append(f"about {span(status.eta_seconds)} to go")
    return " · ".join(parts)


def _money(status: JobStatus) -> str:
    words = usd(status.cost_usd)
    if status.budget_usd is not None:
        words += f" of {usd(status.budget_usd)}"
    parts = [words, f"{usd(status.unconfirmed_usd)} unconfirmed"]
    if status.in_flight:
        fate = "in flight" if status.is_working else "in flight when it died"
        slots = f" of {status.slots:,}" if status.slots is not None else ""
        parts.append(f"{status.in_flight:,}{slots} {fate} (up to {usd(status.at_risk_usd)})")
    return " · ".join(parts)


def _trouble(status: JobStatus) -> str:
    """What the provider said in the last minutes beside answers: why it may be slow."""
    found = [
        f"{number:,} {outcome}"
        for outcome, number in status.recent.items()
        if outcome != Outcome.SUCCEEDED
    ]
    total = sum(status.recent.values())
    return f"of the last {counted(total, 'attempt')}: {', '.join(found)}" if found else ""


def _standing(status: JobStatus) -> Standing:
    succeeded = status.items.get(State.SUCCEEDED, 0)
    return Standing(
        items=status.items,
        failures=status.failures,
        is_working=status.is_working,
        is_paused=status.paused_at is not None,
        reason=status.launch.reason if status.launch else None,
        cost_per_item=status.cost_usd / succeeded if succeeded else None,
    )
