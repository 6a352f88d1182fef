"""Never pay for a broken job: mutated jobs are stopped early, healthy ones never.

Each mutated job has 20,000 items and runs against the simulator over loopback HTTP, its waits
skipped; usual faults happen to it too. The simulator's bill is the judge: what it served since the
job was broken, against 1 % of what the healthy job was estimated to cost. Healthy jobs run with the
same engine and store on virtual time, over a provider in the same process that answers and fails
as the simulator does.
"""

import asyncio
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from batchai.domain import Outcome, Reply
from batchai.engine.runner import Reason
from batchai.errors import SpecError
from batchai.operations.plan import plan
from batchai.operations.run import RunOptions, run_job
from batchai.simulator import Fault, Latency, Received, Settings, SimRequest, Simulator, seeded
from batchai.simulator.faults import USUAL
from batchai.simulator.skipping import SkippingLoop
from batchai.spec import Overrides, load_job
from tests.drills.broken import (
    INPUT_MTOK,
    ITEMS,
    MODEL,
    OUTPUT_MTOK,
    SCHEMAS,
    Case,
    healthy,
    mutated,
    write_data,
    write_job,
)
from tests.drills.conftest import Figures, Scale
from tests.engine.rig import GOOD, rig, texts
from tests.virtual import run_virtual

SHARE = Decimal("0.01")
SURVEYED = 1000  # items that stand for all in an estimate
AT_ONCE = os.cpu_count() or 1


@dataclass(frozen=True)
class Judged:
    """What became of a mutated job. spent: since it was broken, in USD by the server's bill."""

    kind: str
    seed: int
    reason: str
    spent: Decimal
    estimate: Decimal

    @property
    def is_stopped(self) -> bool:
        """In time."""
        return self.reason in _STOPS and self.spent < SHARE * self.estimate


_STOPS = {"refused", Reason.STOP_IF, Reason.UNKNOWN_MODEL}


def test_broken_jobs_are_stopped_before_one_percent_of_their_cost(
    tmp_path: Path, scale: Scale, figures: Figures
) -> None:
    write_data(tmp_path)
    jobs, estimates = scale(6, 300), _estimates(tmp_path)
    with ProcessPoolExecutor(AT_ONCE, get_context("spawn")) as pool:
        judged = list(pool.map(_judge, [tmp_path] * jobs, range(jobs), [estimates] * jobs))
    stopped = sum(one.is_stopped for one in judged)
    late = Counter(one.kind for one in judged if not one.is_stopped)
    worst = max(one.spent / one.estimate for one in judged if one.is_stopped)
    figures(
        broken=jobs,
        stopped=stopped,
        late=dict(late),
        worst_share_percent=round(float(100 * worst), 2),
    )
    assert stopped >= 0.95 * jobs, [one for one in judged if not one.is_stopped]


def test_healthy_jobs_are_not_stopped(scale: Scale, figures: Figures) -> None:
    jobs, items = scale(2, 300), scale(2_000, ITEMS)
    with ProcessPoolExecutor(AT_ONCE, get_context("spawn")) as pool:
        reasons = list(pool.map(_run_healthy, range(jobs), [items] * jobs))
    stopped = sum(reason is Reason.STOP_IF for reason in reasons)
    figures(healthy=jobs, items=items, false_stops=stopped)
    assert set(reasons) <= {Reason.FINISHED, Reason.STOP_IF}
    assert stopped <= 0.01 * jobs


def _judge(folder: Path, seed: int, estimates: dict[str, Decimal]) -> Judged:
    case = mutated(seed)
    estimate = estimates.get(case.schema, min(estimates.values()))
    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        reason, spent = runner.run(_run_broken(folder, case))
    return Judged(case.kind, seed, reason, spent, estimate)


def _estimates(folder: Path) -> dict[str, Decimal]:
    """What batchai says that the job of each schema will cost, if nothing is wrong with it."""
    found = {}
    for number, schema in enumerate(SCHEMAS.values()):
        path = write_job(folder, Case("plain", number, 8, schema), "http://127.0.0.1:9/v1")
        job = load_job(path, overrides=Overrides(limit=str(SURVEYED)))
        found[schema] = asyncio.run(plan(job)).survey.cost * ITEMS / SURVEYED
    return found


async def _run_broken(folder: Path, case: Case) -> tuple[str, Decimal]:
    models = frozenset({"another-model"} if case.kind == "wrong model" else {MODEL})
    settings = Settings(
        latency=Latency(1.0, 0.5, seed=case.seed),
        faults=seeded(case.seed, USUAL),
        answer=case.answer,
        require_key=False,
        models=models,
        keep_content=False,
    )
    async with Simulator(settings) as simulator:
        path = write_job(folder, case, simulator.openai_url)
        try:
            summary = await run_job(load_job(path), RunOptions(yes=True))
        except SpecError:  # before anything was spent
            return "refused", Decimal(0)
        finally:
            spent = _bill(simulator.received[case.from_arrival :])
        return summary.end.reason, spent


def _bill(received: list[Received]) -> Decimal:
    """What was generated for these, by the server's record."""
    usages = [one.usage for one in received if one.usage is not None]
    cost = sum(one.input * INPUT_MTOK + one.output * OUTPUT_MTOK for one in usages)
    return Decimal(cost) / 1_000_000


def _run_healthy(seed: int, items: int) -> Reason:
    plan_of_faults = seeded(seed, USUAL)

    def answer(prompt: str, before: int) -> Reply:
        request = _asked(prompt, before + 1)
        fault = plan_of_faults(request, 0)
        return GOOD if fault is None else _FAILURES[fault]

    async def main(folder: Path) -> Reason:
        top = f"limits: {{concurrency: {healthy(seed).concurrency}}}"
        async with rig(folder, texts(items), top=top, answer=answer) as it:
            return (await it.work()).reason

    with TemporaryDirectory() as folder:
        return run_virtual(main(Path(folder)))


def _asked(prompt: str, attempt: int) -> SimRequest:
    return SimRequest(
        "openai", MODEL, prompt, None, max_tokens=64, schema=None, stop=(), body={}, attempt=attempt
    )


_FAILURES = {
    Fault.RATE_LIMITED: Reply(Outcome.RATE_LIMITED, status=429, retry_after_seconds=1.0),
    Fault.OVERLOADED: Reply(Outcome.OVERLOADED, status=503),
    Fault.SERVER_ERROR: Reply(Outcome.SERVER_ERROR, status=500),
    Fault.BAD_GATEWAY: Reply(Outcome.SERVER_ERROR, status=502),
    Fault.RESET: Reply(Outcome.CONNECTION_LOST, may_be_billed=True),
    Fault.HANG: Reply(Outcome.TIMED_OUT, may_be_billed=True),
    Fault.TRUNCATED: Reply(Outcome.TRUNCATED, text="{", usage=GOOD.usage, status=200),
    Fault.INVALID_JSON: Reply(Outcome.SUCCEEDED, text="{", usage=GOOD.usage, status=200),
    Fault.REFUSED: Reply(Outcome.REFUSED, text="I can't.", usage=GOOD.usage, status=200),
}


def test_every_usual_fault_happens_to_healthy_jobs() -> None:
    assert _FAILURES.keys() == USUAL.keys()
