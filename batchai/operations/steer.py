"""`batchai pause`, `resume`, `tune` and `stop`: steer a run from another terminal.

A launch at work is told over its socket. Where none is, what is said is written into the history
of the run that is not over yet, and holds when it goes on.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batchai.clock import Clock
from batchai.engine.control_socket import HAS_SOCKETS, Request, call
from batchai.errors import RefusedError
from batchai.reports.words import counted, tuned_words
from batchai.spec.models import Job
from batchai.spec.tuning import tunable_values, tuned
from batchai.store import Store
from batchai.store.history import Action, Event, history, steering
from batchai.store.lock import is_held

_ANSWER_SECONDS = 10.0  # a launch on a slow disk writes it down first
_CALLS, _CALL_AGAIN_SECONDS = 20, 0.25  # a launch that has just begun listens soon


@dataclass(frozen=True, slots=True)
class Steered:
    """What came of it. live: the launch's answer, None where it is written down for the next."""

    live: Mapping[str, Any] | None
    text: str


def pause(job: Job, name: str) -> Steered:
    """Send nothing more until `resume`; what is in flight is finished and recorded."""
    live = _tell(job, {"do": "pause"})
    if live is None:
        _write_down(job, Action.PAUSED)
        return Steered(None, f"Paused; nothing is at work. Go on with: batchai resume {name}")
    flight = counted(live["in_flight"], "request")
    return Steered(
        live, f"Paused; {flight} in flight, to be finished. Go on with: batchai resume {name}"
    )


def resume(job: Job) -> Steered | None:
    """Lift the pause of a launch; None where none is at work, so that one is to begin."""
    if not is_at_work(job):
        return None
    live = _tell(job, {"do": "resume"})
    return None if live is None else Steered(live, "Goes on.")


def tune(job: Job, name: str, *, reset: bool = False) -> Steered:
    """Change limits and budget of the run to those that the command line gave in `job`."""
    values = tunable_values(job, job.overridden)
    if bool(values) == reset:
        raise RefusedError("tune: say what, such as --concurrency 64 or --budget 20, or --reset")
    live = _tell(job, {"do": "tune", "values": values})
    if live is None:
        _write_down(job, Action.TUNED, values)
    words = "as the job itself says" if reset else tuned_words(values)
    undo = "" if reset else f" until it is over, or: batchai tune {name} --reset"
    if live is None:
        return Steered(None, f"Nothing is at work. The run goes on with {words}{undo}")
    return Steered(live, f"The run goes on with {words}{undo}")


def stop(job: Job, name: str, *, now: bool = False) -> Steered:
    """End the launch: finish what is in flight, or leave at once. Raises RefusedError."""
    live = _tell(job, {"do": "stop", "now": now})
    if live is None:
        raise RefusedError(f"{job.name}: nothing is at work, so there is nothing to stop")
    flight = counted(live["in_flight"], "request")
    fate = "may have been billed, so counted as unknown" if now else "to be finished first"
    return Steered(live, f"Stops; {flight} in flight, {fate}. Go on with: batchai run {name}")


def is_at_work(job: Job) -> bool:
    """Whether a process works on the job."""
    return is_held(job.store_path.with_suffix(".lock"))


def _tell(job: Job, request: Request) -> dict[str, Any] | None:
    """The launch's answer; None where nothing is at work. Raises RefusedError."""
    if not is_at_work(job):
        return None
    for _ in range(_CALLS):
        answer = call(job.store_path, request, timeout_seconds=_ANSWER_SECONDS)
        if answer is not None or not is_at_work(job):
            return answer
        if not HAS_SOCKETS:
            break
        time.sleep(_CALL_AGAIN_SECONDS)
    why = "" if HAS_SOCKETS else "; that needs unix sockets, which Windows does not have"
    raise RefusedError(
        f"{job.name}: is at work, but takes no commands{why}: stop it there with Ctrl-C, and say "
        "what should be different when you run it again"
    )


def _write_down(job: Job, action: Action, said: Mapping[str, Any] = {}) -> None:
    """Into the history of the run that is not over; without one there is nothing to steer."""
    if not job.store_path.exists():
        raise _nothing_goes_on(job)
    asyncio.run(_written(job, Event(Clock().utcnow(), action, said)))


async def _written(job: Job, event: Event) -> None:
    store = Store(job.store_path, job_path=job.path)
    try:
        run = store.reader.last_run()
        if run is None or run.ended_at is not None:
            raise _nothing_goes_on(job)
        budget = run.budget
        if event.action is Action.TUNED:
            after = steering([*history(store.reader, run.id), event])
            budget = tuned(job, after.tuned).budget_usd
        await store.ledger.steer(run.id, event, budget=budget, launch_id=None)
    finally:
        await store.close()


def _nothing_goes_on(job: Job) -> RefusedError:
    return RefusedError(
        f"{job.name}: no run is going on, so there is nothing to steer; what should always hold "
        "stands in the job file"
    )
