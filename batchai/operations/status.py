"""`batchai status`: where a job stands now, also while another process works on it."""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from batchai.clock import Clock
from batchai.domain import NO_COST, State
from batchai.engine.control_socket import call
from batchai.engine.intake import SCAN_MARK
from batchai.operations.reducing import reduced
from batchai.operations.stores import ended_as, job_lines
from batchai.reports.job_status import FailureLine, JobStatus, LaunchLine, status_text
from batchai.reports.jobs import JobLine
from batchai.reports.jobs_text import all_to_json, progress_text
from batchai.reports.json_text import json_text
from batchai.spec.models import Job
from batchai.store import Reader, aggregates, open_reader
from batchai.store.history import steering_of
from batchai.store.lock import is_held
from batchai.store.rows import Launch, Run
from batchai.store.values import from_json, from_ms, to_ms

_WINDOW = timedelta(minutes=3)  # for the rate
_MOST_ATTEMPTS = 3000  # looked at for it
_LAST_FAILURES = 3
_LIVE_SECONDS = 0.5  # for a launch to say what the store does not hold
_WATCH_SECONDS = 1.0

Seen = TypeVar("Seen")

to_text = status_text
to_json = json_text
all_to_text = progress_text

__all__ = ["all_to_json", "all_to_text", "status", "status_all", "to_json", "to_text", "watch"]


def status(job: Job, *, clock: Clock | None = None) -> JobStatus:
    """Progress, rate, money and last failures of a job. Raises StoreError without a store."""
    now = (clock or Clock()).utcnow()
    is_working = is_held(job.store_path.with_suffix(".lock"))
    live = (
        call(job.store_path, {"do": "status"}, timeout_seconds=_LIVE_SECONDS) if is_working else {}
    )
    reader = open_reader(job.store_path)
    try:
        with reader.snapshot():
            return _status(job, reader, now=now, is_working=is_working, live=live or {})
    finally:
        reader.close()


def status_all(folders: tuple[Path, ...] = ()) -> list[JobLine]:
    """A line a store here, in jobs/ and in these folders; one that cannot be read says why."""
    return job_lines(folders)


async def watch(
    look: Callable[[], Seen], *, goes_on: Callable[[Seen], bool], clock: Clock | None = None
) -> AsyncIterator[Seen]:
    """What `look` sees every second, until nothing goes on; the last tells how it ended.

    Looking at a large store takes its time: it never takes more than a fifth of it.
    """
    clock = clock or Clock()
    while True:
        began = clock.monotonic()
        seen = look()
        yield seen
        if not goes_on(seen):
            return
        await clock.sleep(max(_WATCH_SECONDS, 4 * (clock.monotonic() - began)))


def _status(
    job: Job, reader: Reader, *, now: datetime, is_working: bool, live: Mapping[str, Any]
) -> JobStatus:
    names = job.step_names
    counts = reader.item_counts(*names)
    run, launches = reader.last_run(), reader.launches()
    launch = launches[-1] if launches else None
    held = steering_of(reader)
    in_flight, at_risk = reader.open_attempts()
    rate = None
    if launch is not None and launch.ended_at is None and is_working and not held.paused_at:
        rate = _rate(reader, launch, now)
    pending = counts.get(State.PENDING, 0)
    return JobStatus(
        job=job.name,
        at=now,
        is_working=is_working,
        is_counting=is_working and _is_counting(reader),
        run=None if run is None else run.id,
        items={state.value: number for state, number in counts.items()},
        failures=reader.failure_counts(*names),
        done=sum(counts.values()) - pending,
        total=sum(counts.values()),
        items_per_second=rate,
        eta_seconds=pending / rate if rate else None,
        attempts=0 if run is None else run.attempts,
        cost_usd=NO_COST if run is None else run.cost,
        budget_usd=None if run is None else run.budget,
        unconfirmed_usd=NO_COST if run is None else run.unconfirmed,
        in_flight=live.get("in_flight", in_flight),
        at_risk_usd=at_risk,
        recent=aggregates.recent_outcomes(
            reader, since_ms=to_ms(now - _WINDOW), most=_MOST_ATTEMPTS
        ),
        last_failures=_last_failures(reader, names),
        launch=None if launch is None else _launch_line(launch, run, is_working=is_working),
        paused_at=held.paused_at,
        is_stopping=live.get("is_stopping", False),
        tuned=dict(held.tuned),
        slots=live.get("slots"),
        waits_for=live.get("waits_for"),
        wait_seconds=live.get("wait_seconds"),
        reductions=reduced(job, reader),
    )


def _rate(reader: Reader, launch: Launch, now: datetime) -> float | None:
    """Items settled a second over the last minutes of this launch; None before the first."""
    since = max(now - _WINDOW, launch.started_at)
    settled, since_ms = aggregates.settled_since(
        reader, launch_id=launch.id, since_ms=to_ms(since), most=_MOST_ATTEMPTS
    )
    seconds = (to_ms(now) - since_ms) / 1000
    return settled / seconds if settled and seconds > 0 else None


def _is_counting(reader: Reader) -> bool:
    mark = from_json(reader.meta(SCAN_MARK) or "null")
    return mark is not None and not mark["done"]


def _last_failures(reader: Reader, names: tuple[str, ...]) -> tuple[FailureLine, ...]:
    found = aggregates.last_failures(reader, *names, limit=_LAST_FAILURES, most=_MOST_ATTEMPTS)
    return tuple(
        FailureLine(line.key, line.kind, line.error, None if line.at is None else from_ms(line.at))
        for line in found
    )


def _launch_line(launch: Launch, run: Run | None, *, is_working: bool) -> LaunchLine:
    unnoticed = launch.ended_at is None and not is_working
    return LaunchLine(
        pid=launch.pid,
        started_at=launch.started_at,
        ended_at=launch.ended_at,
        exit_code=launch.exit_code,
        reason="died" if unnoticed else ended_as(launch, run),
    )
