"""Promise 4: what is recorded, open or unknown never comes to more than the run's budget.

Jobs with a budget that is too small or just enough are killed at random over a provider with many
faults, and resumed. The server's own bill is the judge: it counts what it generated, read or not.
"""

import random
from decimal import Decimal
from pathlib import Path

from batchai.simulator import Fault, FaultPlan, Latency, Rates, Settings, Simulator, seeded
from batchai.store import Reader
from tests.drills.conftest import Figures, Scale
from tests.drills.jobs import workspace
from tests.drills.processes import end_of, finish_killed
from tests.kit import Workspace

ITEMS = 80
RATES = Rates(input_mtok=Decimal(1), output_mtok=Decimal(2))  # as of tests.kit.PRICE
FAULTS = {
    Fault.INVALID_JSON: 0.1,
    Fault.TRUNCATED: 0.05,
    Fault.MISSING_USAGE: 0.05,
    Fault.RESET_MID_BODY: 0.03,
    Fault.RESET: 0.02,
    Fault.SERVER_ERROR: 0.02,
}
MORE = "stop_if: none\non_invalid: {repair: 1, then: fail}\non_truncated: {grow: 128}\nattempts: 3"
CENT = Decimal("0.01")


def test_no_bill_is_larger_than_its_budget(tmp_path: Path, scale: Scale, figures: Figures) -> None:
    chance = random.Random(20261122)
    kills = used_up = 0
    jobs = scale(2, 60)
    fullest = Decimal(0)
    for number in range(jobs):
        budget = Decimal(chance.randint(5, 25)) / 10 * CENT
        with Simulator(_dearest(faults=seeded(number, FAULTS))) as sim:
            more = f"{MORE}\nbudget_usd: {budget}"
            space = workspace(tmp_path / f"job{number}", sim, ITEMS, more)
            for _ in range(chance.randint(1, scale(2, 5))):
                arrivals = chance.randint(1, ITEMS // 4)
                kills += _killed(space, sim, arrivals)
                assert sim.bill(RATES) <= budget
            end = end_of(space.start("run"))
            bill = sim.bill(RATES)

        assert end.code in {0, 1, 3}, end.errors
        assert bill <= _spent(space) <= budget
        used_up += end.code == 3
        fullest = max(fullest, bill / budget)
    figures(
        promise=4,
        schedules=jobs,
        kills=kills,
        over_budget=0,
        stopped_by_it=used_up,
        highest_bill=f"{fullest:.0%} of its budget",
    )


def _dearest(faults: FaultPlan) -> Settings:
    """A provider that bills nearly the worst case: a token a byte, and all of `max_tokens`."""
    return Settings(
        latency=Latency(0.02, sigma=0.7),
        faults=faults,
        bytes_per_token=1,
        least_output_tokens=64,
    )


def _killed(space: Workspace, sim: Simulator, arrivals: int) -> bool:
    command = space.command("run")
    done = finish_killed(command, space.folder, sim=sim, arrivals=arrivals, patience_seconds=3)
    return done.was_killed


def _spent(space: Workspace) -> Decimal:
    """What the run has cost or may have cost, by the store."""
    reader = Reader(space.job().store_path)
    try:
        run = reader.last_run()
        assert run is not None
        return run.cost + run.unconfirmed
    finally:
        reader.close()
