"""Promise 10, across kills: no window of any length gets a second helping because a launch died.

The gate's own properties are proven on virtual time in tests/limits; here real processes are
killed and resumed under limits, and the server's own count of its windows is the judge.
"""

import asyncio
import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from batchai.engine.progress import Progress
from batchai.operations.console import Silence
from batchai.operations.run import RunOptions, run_job
from batchai.simulator import Latency, Settings, Simulator
from tests.drills.conftest import Figures, Scale
from tests.drills.jobs import workspace
from tests.drills.processes import finish_killed

ITEMS = 400
DAY_SECONDS = 86_400
SETTINGS = Settings(latency=Latency(0.02, sigma=0.7), least_output_tokens=40)


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of a day, and what it counts: requests, or tokens of a kind."""

    name: str
    number: int
    counts: Literal["requests", "total", "input", "output"]

    def used(self, sim: Simulator) -> int:
        """By the server's count."""
        if self.counts == "requests":
            return sim.worst_window(DAY_SECONDS)
        return sim.worst_token_window(DAY_SECONDS, self.counts)


LIMITS = (
    Limit("requests_per_day", 60, "requests"),
    Limit("tokens_per_day", 6000, "total"),
    pytest.param(Limit("input_tokens_per_day", 4000, "input"), marks=pytest.mark.full),
    pytest.param(Limit("output_tokens_per_day", 3000, "output"), marks=pytest.mark.full),
)


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)
def test_launches_that_are_killed_share_one_window(
    tmp_path: Path, scale: Scale, figures: Figures, limit: Limit
) -> None:
    chance = random.Random(20261122)
    kills = 0
    rounds = scale(1, 10)
    for number in range(rounds):
        with Simulator(SETTINGS) as sim:
            space = workspace(tmp_path / str(number), sim, ITEMS)
            setting = f"limits.{limit.name}={limit.number}"
            command = space.command("run", "--yes", "--set", setting)
            for _ in range(scale(2, 4)):
                arrivals = chance.randint(5, 15)
                kills += finish_killed(
                    command, space.folder, sim=sim, arrivals=arrivals, patience_seconds=5
                ).was_killed
            end = asyncio.run(
                run_job(space.job(setting), RunOptions(yes=True), console=_StopsWhenWaiting())
            )

            assert end.exit_code == 130
            assert 0 < limit.used(sim) <= limit.number
    figures(promise=10, kills=kills, limit=f"{limit.number:,} {limit.counts}", over_limit=0)


@pytest.mark.full
def test_a_minute_has_its_limit_however_often_a_launch_is_killed_in_it(
    tmp_path: Path, figures: Figures
) -> None:
    limit, seconds, kills = 300, 150, 0
    with Simulator(Settings(latency=Latency(0.02))) as sim:
        space = workspace(tmp_path / "job", sim, 2000)
        command = space.command("run", "--yes", "--set", f"limits.requests_per_minute={limit}")
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            kills += finish_killed(
                command, space.folder, sim=sim, arrivals=limit // 5, patience_seconds=60
            ).was_killed
        worst, sent = sim.worst_window(60), len(sim.received)

    assert worst <= limit
    assert sent >= limit  # beyond one window
    figures(promise=10, kills=kills, most_in_a_minute=worst, limit=limit, over_limit=0)


class _StopsWhenWaiting(Silence):
    """Presses Ctrl-C as soon as the launch waits for a limit."""

    def show(self, progress: Progress, waits_for: str | None) -> None:  # noqa: ARG002
        if waits_for is not None and "day" in waits_for:
            os.kill(os.getpid(), signal.SIGINT)
