"""Promise 8: a fault of the disk or the database never silently drops an answer that was paid for.

Calls of the real process fail from outside, at the n-th sync or write of a thread: while the store
is made, opened, recovered, written by the ledger, closed. The next run finds the disk mended.
"""

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from batchai.simulator import Latency, Settings, Simulator
from tests.drills.conftest import Figures, Scale
from tests.drills.jobs import (
    CONCURRENCY,
    assert_done,
    database,
    is_sound,
    repeats,
    succeeded,
    workspace,
)
from tests.drills.processes import Finished, finish, finish_killed, injecting
from tests.kit import KEY, Workspace

ITEMS = 60
SYNCS = range(1, 61)
WRITES = (*range(1, 61), *range(70, 300, 10))

pytestmark = pytest.mark.usefixtures("strace")


@dataclass(frozen=True, slots=True)
class Fault:
    """What fails; `{n}` is which one of `short` or `full`: an even one in a new job, an odd one in
    a half done one. spares_spool: answers in hand can still be saved.
    """

    calls: tuple[str, ...]
    short: Sequence[int]
    full: Sequence[int]
    spares_spool: bool = True

    def prefix(self, number: int, store: Path) -> list[str]:
        """What stands before a command whose calls are to fail."""
        faults = [call.format(n=number) for call in self.calls]
        if self.spares_spool:
            return injecting(*faults)
        files = [store.with_name(store.name + end) for end in ("", "-wal", "-journal")]
        return injecting(*faults, paths=[*files, store.with_suffix(".spool")])


FAULTS = {
    "one sync fails": Fault(("fdatasync:error=EIO:when={n}",), (4, 9), SYNCS),
    "syncs fail": Fault(("fdatasync:error=EIO:when={n}+",), (9,), SYNCS[::3]),
    "one write finds the disk full": Fault(("pwrite64:error=ENOSPC:when={n}",), (30,), WRITES[::3]),
    "the disk is full": Fault(("pwrite64:error=ENOSPC:when={n}+",), (10, 59), WRITES),
    "not even the spool can be written": Fault(
        ("pwrite64:error=ENOSPC:when={n}+", "write:error=ENOSPC"),
        (59,),
        WRITES[::3],
        spares_spool=False,
    ),
}


@dataclass(frozen=True, slots=True)
class Ground:
    """Where the drills take place: a server, a job that is done, and one that is half done."""

    sim: Simulator
    done: Workspace
    half_done: Workspace

    def job(self, folder: Path, *, is_new: bool) -> Workspace:
        """The same job, new or half done."""
        shutil.copytree(self.half_done.folder, folder, ignore=shutil.ignore_patterns("*.sock"))
        if is_new:
            shutil.rmtree(folder / ".batchai")
        return Workspace(folder, self.sim.openai_url, texts=self.done.texts)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """One for all drills."""
    folder = tmp_path_factory.mktemp("ground")
    with (
        pytest.MonkeyPatch.context() as patch,
        Simulator(Settings(latency=Latency(0.01))) as sim,
    ):
        patch.setenv("SIM_KEY", KEY)
        done = workspace(folder / "done", sim, ITEMS)
        done.run()
        half = workspace(folder / "half", sim, ITEMS)
        command = half.command("run", "--yes")
        assert finish_killed(command, half.folder, sim=sim, arrivals=ITEMS // 2).was_killed
        yield Ground(sim, done, half)


@pytest.mark.parametrize("name", FAULTS)
def test_no_answer_is_dropped_when(
    tmp_path: Path, ground: Ground, scale: Scale, figures: Figures, name: str
) -> None:
    fault = FAULTS[name]
    numbers = (fault.short, fault.full)[scale(0, 1)]
    exits: Counter[int] = Counter()
    repeated = spooled = 0
    for number in numbers:
        space = ground.job(tmp_path / f"job{number}", is_new=number % 2 == 0)
        store = space.job().store_path
        before = len(ground.sim.received)
        prefix = fault.prefix(number, store)
        faulty = finish([*prefix, *space.command("run", "--yes")], space.folder)
        _assert_honest(space, faulty)
        spool = store.with_suffix(".spool")
        spooled += spool.exists() and spool.stat().st_size > 0

        assert space.run().exit_code == 0, number
        assert_done(space, ground.done.folder / "out.csv")
        again = repeats(ground.sim.received[before:])
        assert again <= (0 if fault.spares_spool else CONCURRENCY), number
        repeated += again
        exits[faulty.code] += 1
    figures(
        promise=8,
        faults=len(numbers),
        lost=0,
        doubled=repeated,
        spooled=spooled,
        exit_codes=dict(exits),
    )


def _assert_honest(space: Workspace, faulty: Finished) -> None:
    """All went well in the end, or it says what to do; what it calls done is in the store."""
    words = faulty.output + faulty.errors
    assert faulty.code in {0, 4}, words
    assert "Traceback" not in words
    assert faulty.code == 0 or "mend the disk" in words, words
    with database(space.job().store_path) as connection:
        assert is_sound(connection)
        stored = succeeded(connection)
    if (space.folder / "out.csv").exists():
        assert sum(row["_status"] == "succeeded" for row in space.exported()) <= len(stored)
