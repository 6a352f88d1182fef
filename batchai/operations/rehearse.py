"""`batchai run --rehearse`: the whole run against a simulated provider, its waits skipped.

Everything is real but the provider: input, prompts, limits, retries, prices, store, result file.
Store and result file are the rehearsal's own, beside the job's store, and begin anew each time.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from batchai.clock import Clock
from batchai.domain import State
from batchai.engine.progress import Progress
from batchai.errors import RefusedError
from batchai.limits.estimate import BYTES_PER_TOKEN
from batchai.operations.check import refuse_mistakes
from batchai.operations.console import Console, Silence
from batchai.operations.export import output_path
from batchai.operations.opening import accounts_of, max_tokens_of, rates_of
from batchai.operations.run import RunOptions, RunSummary, run_job
from batchai.operations.stores import REHEARSAL_MARK
from batchai.operations.survey import expected_output_tokens
from batchai.providers.registry import KEYLESS
from batchai.simulator import Fault, Latency, Settings, Simulator, seeded
from batchai.simulator.faults import no_faults, shares_of
from batchai.simulator.skipping import SkippingLoop
from batchai.simulator.summary import Summary, summary_of
from batchai.spec.models import Job, Model, Policies, Step
from batchai.store import Reader, Store, open_reader
from batchai.store.lock import Lock

_LATENCY_SECONDS = 1.0  # median, before there is a history
_LATENCY_SIGMA = 0.5
_SEED = 1
_SHOW_SECONDS = 5.0  # of skipped time between two looks at the progress
_LEAST_SHOW_SECONDS = 0.1  # of real time


@dataclass(frozen=True, slots=True)
class Basis:
    """What the simulated answers are like. latency_seconds: their median.

    done: items of the job that a run would not send again. has_history: taken from the job's own
    earlier attempts, not assumed.
    """

    latency_seconds: float
    output_tokens: int
    bytes_per_token: float = BYTES_PER_TOKEN
    done: int = 0
    has_history: bool = False


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a rehearsal showed. run: as `run_job` tells it, in the time that it would have taken.

    accounts: as many are asked, each with limits and slots of its own; the simulator is them all.
    is_free: the model has no price.
    """

    job: Job
    run: RunSummary
    served: Summary
    basis: Basis
    faults: Mapping[Fault, float]
    real_seconds: float
    accounts: int
    is_free: bool


def rehearse(job: Job, faults: Sequence[str] = (), *, console: Console | None = None) -> Rehearsal:
    """Run the whole job without key, cost or network; the real store and result are not touched.

    faults: `rate_limited=5%`, `usual` … (simulator/faults.py). Raises what `run_job` raises, and
    RefusedError where the rehearsal's store would be a job's own.
    """
    shares = shares_of(faults)
    refuse_mistakes(job)
    rates = rates_of(job)
    basis = _basis(job)
    console = console or Silence()
    console.say(f"Rehearsing {job.name} on a simulated provider; waits are skipped.")
    began = time.monotonic()
    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        run, served, accounts = runner.run(_run(job, basis, shares, console))
    return Rehearsal(
        job=job,
        run=run,
        served=served,
        basis=basis,
        faults=shares,
        real_seconds=time.monotonic() - began,
        accounts=accounts,
        is_free=all(rate.is_free for rate in rates.values()),
    )


async def _run(
    job: Job, basis: Basis, shares: Mapping[Fault, float], console: Console
) -> tuple[RunSummary, Summary, int]:
    settings = Settings(
        latency=Latency(basis.latency_seconds, _LATENCY_SIGMA, seed=_SEED),
        faults=seeded(_SEED, shares) if shares else no_faults,
        require_key=False,
        bytes_per_token=basis.bytes_per_token,
        least_output_tokens=basis.output_tokens,
        keep_content=False,
    )
    async with Simulator(settings) as simulator:
        stand_in = _stand_in(job, simulator.openai_url)
        await _begin_anew(stand_in)
        summary = await run_job(
            stand_in,
            RunOptions(yes=True, overwrite=True),
            console=_Calm(console),
            clock=_SkippingClock(),
        )
        return summary, summary_of(simulator), len(accounts_of(stand_in))


def _stand_in(job: Job, url: str) -> Job:
    """The same job with the simulator as its provider, and a store and a result of its own."""
    name = f"{job.name}.rehearsal"
    suffix = output_path(job).suffix
    output = job.output.model_copy(
        update={"path": job.store_path.with_name(f"{name}{suffix}")},
    )
    steps = tuple(_simulated_step(step, url) for step in job.steps)
    changes = {"name": name, "output": output, "steps": steps, "notify": None}
    return job.model_copy(update=changes)


def _simulated_step(step: Step, url: str) -> Step:
    # answers are made up: checks would judge the simulator's imagination
    change: dict[str, object] = {"model": _simulated(step.model, url), "checks": ()}
    if step.history is not None:
        model = _simulated(step.history.model, url)
        change["history"] = step.history.model_copy(update={"model": model})
    change["policies"] = _simulated_policies(step.policies, url)
    return step.model_copy(update=change)


def _simulated_policies(policies: Policies, url: str) -> Policies:
    change: dict[str, object] = {}
    if policies.fallback is not None:
        models = tuple(_simulated(model, url) for model in policies.fallbacks)
        change["fallback"] = policies.fallback.model_copy(update={"models": models})
    if policies.escalate is not None:
        model = _simulated(policies.escalate.model, url)
        change["escalate"] = policies.escalate.model_copy(update={"model": model})
    return policies.model_copy(update=change)


def _simulated(model: Model, url: str) -> Model:
    """The model at the simulator; one on this machine is spoken to as its server would be."""
    change: dict[str, object] = {"base_url": url, "api_key_env": KEYLESS}
    if model.provider == "local":
        change |= {"name": f"openai/{model.id}", "price": "none"}
    return model.model_copy(update=change)


def _basis(job: Job) -> Basis:
    """What the job's earlier attempts were like, or what may be assumed."""
    step = job.steps[0]
    reader = open_reader(job.store_path) if job.store_path.exists() else None
    try:
        output = expected_output_tokens(
            step.name, step.json_schema, max_tokens=max_tokens_of(step), reader=reader
        )
        basis = Basis(_LATENCY_SECONDS, output)
        return basis if reader is None else _from_history(basis, reader, step.name)
    finally:
        if reader is not None:
            reader.close()


def _from_history(basis: Basis, reader: Reader, step: str) -> Basis:
    done = reader.state_counts(step).get(State.SUCCEEDED, 0)
    latency = reader.mean_latency()
    _, estimated, actual, _ = reader.usage_ratio(step)
    if not latency or not estimated or not actual:
        return replace(basis, done=done)
    return replace(
        basis,
        latency_seconds=latency,
        bytes_per_token=BYTES_PER_TOKEN * estimated / actual,
        done=done,
        has_history=True,
    )


async def _begin_anew(job: Job) -> None:
    """An empty store that is marked as a rehearsal's; the last one is deleted."""
    if job.store_path.exists():
        _delete_last(job.store_path)
    store = Store(job.store_path, job_path=job.path)
    try:
        await store.ledger.set_meta(REHEARSAL_MARK, "yes")
    finally:
        await store.close()


def _delete_last(path: Path) -> None:
    lock = Lock(path.with_suffix(".lock"))
    try:
        if _holds_work(path):
            raise RefusedError(
                f"{path}: is the store of a job named {path.stem!r}, not of a rehearsal; give one "
                "of the two jobs another `name:`"
            )
        path.with_suffix(".spool").unlink(missing_ok=True)
        for suffix in ("-wal", "-shm", ""):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    finally:
        lock.release()


def _holds_work(path: Path) -> bool:
    """Whether somebody may have paid for what is in a store."""
    if path.stat().st_size == 0:  # of a rehearsal that died as it began
        return False
    reader = Reader(path)
    try:
        return reader.meta(REHEARSAL_MARK) is None and reader.last_run() is not None
    finally:
        reader.close()


class _SkippingClock(Clock):
    """Wall time that goes on with the loop's, skipped time included; made on the running loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._epoch = datetime.now(UTC) - timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """The loop's, also in the threads that read attached files."""
        return self._loop.time()

    def utcnow(self) -> datetime:
        """When it would be by now."""
        return self._epoch + timedelta(seconds=self.monotonic())

    async def sleep(self, delay_seconds: float) -> None:
        """Only the display sleeps on the clock: each of its looks would end a skip."""
        await super().sleep(max(delay_seconds, _SHOW_SECONDS))


class _Calm:
    """A console that is not shown more than a person can see, however fast time is skipped."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown_at = float("-inf")

    def say(self, line: str) -> None:
        """As it is."""
        self._console.say(line)

    def ask(self, question: str) -> bool | None:
        """As it is."""
        return self._console.ask(question)

    def show(self, progress: Progress, waits_for: str | None) -> None:
        """Ten times a second at most, and the end."""
        now = time.monotonic()
        is_over = progress.is_counted and progress.settled >= progress.to_send
        if is_over or now - self._shown_at >= _LEAST_SHOW_SECONDS:
            self._shown_at = now
            self._console.show(progress, waits_for)
