"""A job with no limits on an account that others use: real HTTP, real headers, waits skipped."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from batchai.clock import Clock
from batchai.operations.run import RunOptions, run_job
from batchai.simulator import AccountLimits, Neighbours, Served, Settings, Simulator
from batchai.simulator.skipping import SkippingLoop
from tests.kit import Workspace

PER_MINUTE = 600
OTHERS_PER_SECOND = 3.0
ITEMS = 300


class LoopClock(Clock):
    """Wall time that goes on with the loop's, skipped time included."""

    def __init__(self) -> None:
        self._epoch = datetime.now(UTC) - timedelta(seconds=self.monotonic())

    def utcnow(self) -> datetime:
        return self._epoch + timedelta(seconds=self.monotonic())


@pytest.mark.parametrize("model", ["openai/gpt-5.4-mini", "anthropic/claude-haiku-4-5"])
def test_nobody_is_refused_although_the_job_names_no_limits_also_after_a_second_launch(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIM_KEY", "canary-3f9a2c71d4e8b605")

    async def main() -> list[float]:
        settings = Settings(
            limits=AccountLimits(requests=PER_MINUTE),
            neighbours=Neighbours(OTHERS_PER_SECOND, seed=1),
        )
        async with Simulator(settings) as sim:
            url = sim.openai_url if model.startswith("openai") else sim.anthropic_url
            space, clock = Workspace(tmp_path, url, model=model), LoopClock()
            for items in (ITEMS, 2 * ITEMS):
                space.write(items)
                summary = await run_job(
                    space.job(), RunOptions(yes=True, overwrite=True), clock=clock
                )
                assert summary.exit_code == 0
            assert {entry.served for entry in sim.received} == {Served.ANSWERED}
            assert sim.neighbours_refused == 0
            assert sim.neighbours_served > 50
            return [entry.arrived_at for entry in sim.received]

    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        arrivals = runner.run(main())

    assert len(arrivals) == 2 * ITEMS
    minute = max(sum(start <= at < start + 60 for at in arrivals) for start in arrivals)
    assert 0.5 * PER_MINUTE <= minute <= 0.8 * PER_MINUTE
