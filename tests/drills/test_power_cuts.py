"""Promise 1: nothing counts as done before it is durable.

The real process's writes and syncs are recorded and replayed on a disk whose power is cut at random
moments. What the ledger had called durable by then must be in what is left.
"""

import asyncio
import random
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from batchai.simulator import Latency, Settings, Simulator
from batchai.store import Store
from tests.drills.acknowledging import Way
from tests.drills.conftest import Figures, Scale
from tests.drills.disk import Disk
from tests.drills.jobs import assert_done, database, is_sound, succeeded, workspace
from tests.drills.processes import finish, recording
from tests.drills.recording import CALLS, Event, Renamed, Said, read_recording
from tests.kit import ENVIRONMENT, Workspace, prompts_of

ITEMS = 260  # enough for a checkpoint in mid-run
ROOT = Path(__file__).parents[2]
SEED = 20261122

pytestmark = pytest.mark.usefixtures("strace")


@dataclass(frozen=True, slots=True)
class Run:
    """A whole run that was recorded in a folder; its files were then moved to `whole`."""

    folder: Path
    whole: Path
    texts: dict[str, str]
    events: list[Event]


@dataclass(frozen=True, slots=True)
class Cut:
    """What a power cut left of a run's folder; said: what had been called durable before."""

    folder: Path
    said: list[tuple[str, ...]]

    @property
    def closed(self) -> int:
        """How many results had been called durable."""
        return sum(words[0] == "closed" for words in self.said)

    @property
    def store(self) -> Path:
        """The store, which may not be there."""
        return self.folder / ".batchai" / "job.db"

    def lost(self) -> list[tuple[str, ...]]:
        """What was called durable and is not there."""
        with database(self.store) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_schema").fetchall():
                return self.said
            attempts = dict(connection.execute("SELECT id, outcome FROM attempts"))
            done = succeeded(connection)
        return [words for words in self.said if not _is_kept(words, attempts, done)]

    def is_usable(self) -> bool:
        """Whether SQLite finds the store sound; batchai must be able to go on with it."""
        with database(self.store) as connection:
            found = is_sound(connection)
        asyncio.run(_open(self))
        return found


@pytest.fixture(scope="module")
def sound_run(tmp_path_factory: pytest.TempPathFactory, strace: None) -> Run:  # noqa: ARG001
    """batchai as it is."""
    return _recorded(tmp_path_factory.mktemp("sound"), Way.SOUND)


def test_no_acknowledged_result_is_lost_in_a_power_cut(
    sound_run: Run, scale: Scale, figures: Figures
) -> None:
    cuts = lost = broken = 0
    for cut in _cuts(sound_run, _random_moments(sound_run, scale(60, 400))):
        cuts += 1
        lost += bool(cut.lost())
        broken += not cut.is_usable()
    figures(promise=1, cuts=cuts, lost=lost, broken_stores=broken)

    assert (lost, broken) == (0, 0)


@pytest.mark.parametrize("way", [Way.NORMAL, Way.HASTY])
def test_the_power_cuts_find_a_ledger_that_says_durable_too_soon(
    tmp_path: Path, scale: Scale, figures: Figures, way: Way
) -> None:
    run = _recorded(tmp_path, way)
    moments = _random_moments(run, scale(20, 400))
    lost = sum(bool(cut.lost()) for cut in _cuts(run, moments))
    figures(promise=1, cuts_of_the_control=len(moments), with_losses=lost)

    assert lost > 0


def test_a_job_goes_on_after_a_power_cut_without_a_word(
    sound_run: Run, scale: Scale, figures: Figures
) -> None:
    moments = _random_moments(sound_run, scale(2, 100)) + _moments_of_renaming(sound_run)
    with Simulator() as sim:
        for cut in _cuts(sound_run, moments):
            space = Workspace(cut.folder, sim.openai_url, texts=sound_run.texts)
            before = len(sim.received)
            end = space.run(f"model.base_url={sim.openai_url}")
            sent = prompts_of(sim.received[before:])

            assert end.exit_code == 0
            assert len(sent) == len(set(sent)) <= ITEMS - cut.closed
            assert_done(space, sound_run.whole / "out.csv")
    figures(promise=1, cuts=len(moments), lost=0, doubled=0)


def _recorded(folder: Path, way: Way) -> Run:
    """What a whole run did to the folder of its job."""
    log, says = folder / "log", folder / "says"
    program = [sys.executable, "-m", "tests.drills.acknowledging", str(says), way]
    with Simulator(Settings(latency=Latency(0.005))) as sim:
        space = workspace(folder / "job", sim, ITEMS)
        done = finish(
            [*recording(log, CALLS), *program, "run", "job.yaml", "--yes"],
            space.folder,
            {**ENVIRONMENT, "PYTHONPATH": str(ROOT)},
        )
    assert done.code == 0, done.errors
    events = read_recording(log, folder=space.folder, says=says)
    assert sum(isinstance(event, Said) and event.words[0] == "closed" for event in events) == ITEMS
    return Run(space.folder, space.folder.rename(folder / "whole"), space.texts, events)


def _random_moments(run: Run, number: int) -> list[int]:
    chance = random.Random(SEED)
    return [chance.randrange(len(run.events) + 1) for _ in range(number)]


def _moments_of_renaming(run: Run) -> list[int]:
    """Just after a file took the place of another."""
    return [n + 1 for n, event in enumerate(run.events) if isinstance(event, Renamed)]


def _cuts(run: Run, moments: Sequence[int]) -> Iterator[Cut]:
    """A cut at each moment, a number of events; its folder lasts until the next one."""
    chance = random.Random(SEED)
    disk, taken = Disk(), 0
    said: list[tuple[str, ...]] = []
    for moment in sorted(moments):
        for event in run.events[taken:moment]:
            disk.take(event)
            if isinstance(event, Said):
                said.append(event.words)
        taken = moment
        disk.cut(run.folder, chance)
        for name in ("job.yaml", "data.csv"):  # were there long before
            shutil.copy2(run.whole / name, run.folder)
        yield Cut(run.folder, list(said))
        shutil.rmtree(run.folder)


def _is_kept(words: tuple[str, ...], attempts: dict[int, str | None], done: set[int]) -> bool:
    match words:
        case ("open", attempt):
            return int(attempt) in attempts
        case ("closed", attempt, item):
            return attempts.get(int(attempt)) == "succeeded" and int(item) in done
        case _:
            raise ValueError(f"unknown words: {words}")


async def _open(cut: Cut) -> None:
    store = Store(cut.store, job_path=cut.folder / "job.yaml")
    try:
        store.recover(hold=False, now=datetime.now(UTC))
    finally:
        await store.close()
