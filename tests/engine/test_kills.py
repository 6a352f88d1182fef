"""A job that is killed at any moment and resumed until it is done."""

import asyncio
import os
import signal
from pathlib import Path

from batchai.engine.progress import Progress
from batchai.operations.console import Silence
from batchai.operations.run import RunOptions, run_job
from batchai.simulator import Simulator
from tests.kit import Workspace

ITEMS = 120
CONCURRENCY = 8
LIMIT = f"limits: {{concurrency: {CONCURRENCY}}}"


def test_limits_hold_across_kills_and_restarts(tmp_path: Path) -> None:
    limit = 15
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url, top=f"limits: {{requests_per_day: {limit}}}")
        space.write(100)
        process = space.start("run", "--yes")
        sim.wait_for(10)
        process.kill()
        process.communicate(timeout=120)

        end = asyncio.run(run_job(space.job(), RunOptions(yes=True), console=_StopsWhenWaiting()))

        assert end.exit_code == 130
        assert limit - CONCURRENCY <= len(sim.received) <= limit  # some died before they left


class _StopsWhenWaiting(Silence):
    """Presses Ctrl-C as soon as the launch waits for a limit."""

    def show(self, progress: Progress, waits_for: str | None) -> None:  # noqa: ARG002
        if waits_for == "requests per day":
            os.kill(os.getpid(), signal.SIGINT)


def test_attempts_in_flight_at_a_kill_count_as_unconfirmed_money(tmp_path: Path) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url, top="budget_usd: 1").write(20)
        sim.hold()
        process = space.start("run")
        sim.wait_for(4)
        process.kill()
        process.communicate(timeout=120)
        in_flight = len(sim.received)
        sim.release()
        summary = space.run()

    assert summary.exit_code == 0
    assert summary.run.attempts == 20 + in_flight
    assert summary.run.unconfirmed > 0
    assert summary.run.cost + summary.run.unconfirmed <= 1


def test_items_held_after_a_kill_wait_for_the_user(tmp_path: Path) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url, top="on_unknown: hold").write(20)
        sim.hold()
        process = space.start("run", "--yes")
        sim.wait_for(4)
        process.kill()
        process.communicate(timeout=120)
        held = len(sim.received)
        sim.release()
        summary = space.run()
        assert summary.failures == {"unknown": held}
        assert summary.exit_code == 1

        process = space.start("run", "--yes", "--retry", "unknown")
        process.communicate(timeout=120)

        assert process.returncode == 0
        assert {row.state for row in space.results()} == {"succeeded"}


def _folder(path: Path, name: str) -> Path:
    folder = path / name
    folder.mkdir()
    return folder
