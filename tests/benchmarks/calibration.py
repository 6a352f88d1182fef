"""Whether what a pilot foretells comes true: real pilots and runs of seeded jobs, simulated models.

Each job has items of its own lengths (lognormal, half of the median up and down), answers whose
lengths are drawn around one mean with a coefficient of variation, and one answer in fifty that is
wrong and asked for again. Most of a job's cost is its answers.
"""

import asyncio
import json
import math
import os
import random
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from batchai.operations.pilot import pilot
from batchai.operations.report import report
from batchai.operations.run import RunOptions, run_job
from batchai.simulator import Fault, Settings, SimRequest, Simulator
from batchai.spec import load_job
from tests.benchmarks.figures import Figure, at_least, at_most
from tests.benchmarks.scenario import KEY_VARIABLE

PILOT = 30
_MEAN_TOKENS = 120
_WRONG_SHARE = 0.02
_LOST_SHARE = 0.02


@dataclass(frozen=True)
class Outcome:
    """Of one job: whether its cost lay within the interval, and how far off the estimate was."""

    is_within: bool
    error: float


def calibration(jobs: int, items: int) -> Iterator[Figure]:
    """The goal, for coefficients of variation of 0.1 to 0.4; and what it is at 1.0."""
    os.environ.setdefault(KEY_VARIABLE, "simulated-0123456789")
    found = [_job(seed, items, variation=0.1 * (1 + seed % 4)) for seed in range(jobs)]
    yield from _figures("answers vary by 0.1 to 0.4", found, error_goal=5)
    wild = [_job(seed, items, variation=1.0) for seed in range(jobs)]
    yield from _figures("answers vary by 1.0", wild, error_goal=None)


def _figures(name: str, found: list[Outcome], *, error_goal: float | None) -> Iterator[Figure]:
    within = 100 * sum(each.is_within for each in found) / len(found)
    error = 100 * statistics.median(each.error for each in found)
    detail = f"{len(found)} jobs"
    if error_goal is None:
        yield Figure(f"{name}: within 90 % interval", f"{within:.0f} %", "told", True, detail)
        yield Figure(f"{name}: median error", f"{error:.2f} %", "told", True)
    else:
        yield at_least(f"{name}: within 90 % interval", within, 85, unit="%", detail=detail)
        yield at_most(f"{name}: median error", error, error_goal, unit="%")


def _job(seed: int, items: int, *, variation: float) -> Outcome:
    settings = Settings(
        answer=lambda request: _answer(request, seed, variation),
        faults=lambda request, _: _fault(request, seed),
        keep_content=False,
    )
    with tempfile.TemporaryDirectory() as folder, Simulator(settings) as sim:
        job = load_job(_write(Path(folder), sim.openai_url, items, random.Random(seed)))
        told = asyncio.run(pilot(job, count=PILOT, rng=random.Random(seed))).estimate
        asyncio.run(run_job(job, RunOptions(yes=True)))
        cost = report(job).total.cost_usd
    assert told.cost_low_usd is not None
    assert told.cost_high_usd is not None
    return Outcome(
        is_within=told.cost_low_usd <= cost <= told.cost_high_usd,
        error=float(abs(told.cost_usd - cost) / cost),
    )


def _write(folder: Path, url: str, items: int, chance: random.Random) -> Path:
    with (folder / "data.csv").open("w") as file:
        file.write("id,text\n")
        for number in range(items):
            words = int(60 * chance.lognormvariate(0, 0.5)) + 1
            file.write(f"{number},{'word ' * words}{number}\n")
    path = folder / "job.yaml"
    path.write_text(
        "input: {path: data.csv, key: id}\n"
        f"model: {{name: openai/m, base_url: '{url}', api_key_env: {KEY_VARIABLE},"
        " price: {input_mtok: 1, output_mtok: 4}, max_tokens: 4000}\n"
        "prompt: {user: '{{ item.text }}'}\nschema: {summary: string}\n"
        f"output: out.csv\nbudget_usd: {Decimal(100)}\n"
    )
    return path


def _answer(request: SimRequest, seed: int, variation: float) -> str:
    chance = random.Random(f"{seed} {request.prompt}")
    sigma = math.sqrt(math.log(1 + variation**2))
    tokens = _MEAN_TOKENS * chance.lognormvariate(-(sigma**2) / 2, sigma)
    return json.dumps({"summary": "x" * max(1, round(4 * tokens))})


def _fault(request: SimRequest, seed: int) -> Fault | None:
    """Some answers are wrong and paid for all the same; some never come, and are not."""
    if request.attempt > 1:
        return None
    chance = random.Random(f"fault {seed} {request.prompt}").random()
    if chance < _WRONG_SHARE:
        return Fault.SCHEMA_VIOLATION
    return Fault.SERVER_ERROR if chance < _WRONG_SHARE + _LOST_SHARE else None
