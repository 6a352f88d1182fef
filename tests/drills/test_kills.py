"""Promises 2 and 3: after SIGKILL at any instant at most the requests in flight are paid twice, and
each item has exactly one result.

Kills strike after so many arrivals at the server, or at the n-th call of a thread that writes or
syncs: while the store is made or opened, in recovery, in commits, in the export. The server's own
record is the judge.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from batchai.simulator import Latency, Settings, Simulator
from tests.drills.conftest import Figures, Scale
from tests.drills.jobs import CONCURRENCY, assert_done, repeats, workspace
from tests.drills.processes import Finished, finish, finish_killed, injecting
from tests.kit import KEY, Workspace

ITEMS = 120
SETTINGS = Settings(latency=Latency(0.02, sigma=0.7))
BLOWS_A_JOB = 8
MOST_WAIT_SECONDS = 3  # fewer requests may be left than the blow waits for

pytestmark = pytest.mark.usefixtures("strace")


@dataclass(frozen=True, slots=True)
class Arrivals:
    """SIGKILL when so many more requests have arrived."""

    number: int


@dataclass(frozen=True, slots=True)
class Call:
    """SIGKILL at the n-th call of this name in any thread."""

    name: str
    number: int


Blow = Arrivals | Call

IN_RECOVERY = [
    *(Call("fdatasync", number) for number in (1, 2, 3)),
    *(Call("pwrite64", number) for number in (1, 3, 5, 7, 9)),
]
IN_EXPORT = [Call("rename", 1), Call("rename", 2), Call("fsync", 1), Call("fsync", 2)]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of an undisturbed run."""
    with pytest.MonkeyPatch.context() as patch, Simulator() as sim:
        patch.setenv("SIM_KEY", KEY)
        space = workspace(tmp_path_factory.mktemp("reference") / "job", sim, ITEMS)
        space.run()
    return space.folder / "out.csv"


def test_a_job_killed_anywhere_and_resumed_equals_one_that_was_not(
    tmp_path: Path, reference: Path, scale: Scale, figures: Figures
) -> None:
    chance = random.Random(20261122)
    wanted = scale(6, 160)
    jobs = kills = repeated = 0
    while kills < wanted:
        jobs += 1
        with Simulator(SETTINGS) as sim:
            space = workspace(tmp_path / f"job{jobs}", sim, ITEMS)
            blows = _blows(chance, min(BLOWS_A_JOB, wanted - kills))
            struck = sum(_strike(space, sim, blow).was_killed for blow in blows)
            assert space.run().exit_code == 0
            again = repeats(sim.received)

            assert again <= struck * CONCURRENCY
            assert_done(space, reference)
        kills += struck
        repeated += again
    figures(promise=2, kills=kills, lost=0, doubled=repeated, bound=kills * CONCURRENCY)


def test_kills_during_recovery_cost_nothing_more(
    tmp_path: Path, reference: Path, scale: Scale, figures: Figures
) -> None:
    kills = repeated = 0
    jobs = scale(1, 5)
    for job in range(jobs):
        with Simulator(SETTINGS) as sim:
            space = workspace(tmp_path / f"job{job}", sim, ITEMS)
            assert _strike(space, sim, Arrivals(20 + job)).was_killed
            sent = len(sim.received)
            for blow in IN_RECOVERY[:: scale(4, 1)]:
                assert _strike(space, sim, blow).was_killed
                kills += 1
            assert len(sim.received) == sent
            assert space.run().exit_code == 0
            again = repeats(sim.received)

            assert again <= CONCURRENCY
            assert_done(space, reference)
        repeated += again
    figures(promise=2, kills=kills + jobs, lost=0, doubled=repeated, bound=jobs * CONCURRENCY)


def test_kills_during_the_export_of_a_run_cost_nothing(
    tmp_path: Path, reference: Path, scale: Scale, figures: Figures
) -> None:
    blows = IN_EXPORT[: scale(2, 4)]
    with Simulator() as sim:
        space = workspace(tmp_path / "job", sim, ITEMS)
        for blow in blows:
            struck = _strike(space, sim, blow)
            assert struck.was_killed, struck.errors
        assert space.run().exit_code == 0

        assert len(sim.received) == ITEMS
        assert_done(space, reference)
    figures(promise=3, kills=len(blows), lost=0, doubled=0, bound=0)


def _blows(chance: random.Random, number: int) -> Iterator[Blow]:
    for _ in range(number):
        match chance.randrange(4):
            case 0 | 1:
                yield Arrivals(chance.randint(1, ITEMS // 4))
            case 2:
                yield Call("fdatasync", chance.randint(1, 16))
            case _:
                yield Call("pwrite64", chance.randint(1, 100))


def _strike(space: Workspace, sim: Simulator, blow: Blow) -> Finished:
    """A launch that the blow ends, unless it is done before."""
    command = space.command("run", "--yes")
    if isinstance(blow, Call):
        fault = f"{blow.name}:signal=KILL:when={blow.number}"
        return finish([*injecting(fault), *command], space.folder)
    return finish_killed(
        command,
        space.folder,
        sim=sim,
        arrivals=blow.number,
        patience_seconds=MOST_WAIT_SECONDS,
    )
