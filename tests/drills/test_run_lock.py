"""Promise 5: two runs of a job cannot overlap."""

import subprocess
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

from batchai.simulator import Simulator
from tests.drills.conftest import Figures, Scale
from tests.drills.jobs import CONCURRENCY, repeats, workspace
from tests.drills.processes import Finished, end_of, finish_killed, start
from tests.kit import Workspace

ITEMS = 20


def test_of_two_runs_started_at_once_exactly_one_gets_in(
    tmp_path: Path, scale: Scale, figures: Figures
) -> None:
    pairs = scale(1, 50)
    for pair in range(pairs):
        with Simulator() as sim:
            space = workspace(tmp_path / f"job{pair}", sim, ITEMS)
            winner, loser = _race(space, sim)
            sim.release()

            assert end_of(winner).code == 0
            _assert_refused(loser)
            assert len(sim.received) == ITEMS
    figures(promise=5, races=pairs, both_ran=0)


def test_after_a_kill_exactly_one_of_two_gets_in(
    tmp_path: Path, scale: Scale, figures: Figures
) -> None:
    pairs = scale(1, 50)
    for pair in range(pairs):
        with Simulator() as sim:
            space = workspace(tmp_path / f"job{pair}", sim, ITEMS)
            sim.hold()
            finish_killed(space.command("run", "--yes"), space.folder, sim=sim, arrivals=4)
            winner, loser = _race(space, sim)
            sim.release()

            assert end_of(winner).code == 0
            _assert_refused(loser)
            assert repeats(sim.received) <= CONCURRENCY
            assert {row.state for row in space.results()} == {"succeeded"}
    figures(promise=5, races=pairs, kills=pairs, both_ran=0)


def _race(space: Workspace, sim: Simulator) -> tuple[subprocess.Popen[str], Finished]:
    """Two runs at once, of which none can finish: the one that goes on, the end of the other."""
    sim.hold()
    racers = [start(space.command("run", "--yes"), space.folder) for _ in range(2)]
    with ThreadPoolExecutor() as pool:
        ends = {pool.submit(racer.wait): racer for racer in racers}
        ended, _ = wait(ends, return_when=FIRST_COMPLETED, timeout=60)
        if not ended:
            for racer in racers:
                racer.kill()
        assert ended, "both runs got in"
        loser = ends[next(iter(ended))]
        sim.release()
    (winner,) = (racer for racer in racers if racer is not loser)
    return winner, end_of(loser)


def _assert_refused(loser: Finished) -> None:
    assert loser.code == 5, loser.errors
    assert "another run holds this job" in loser.errors
