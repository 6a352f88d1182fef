"""Promise 14: a store of an older release is brought up to date whole, with a copy, or not at all.

The fixtures are stores of releases, killed in mid-run, as `sqlite3 .dump` wrote them. They are
opened by a run of today that is killed at its writes and syncs, again and again, until one is left
alone. A newer store is refused as it is.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from batchai.simulator import Simulator
from batchai.store.migrations import VERSION
from tests.drills.conftest import Figures, Scale
from tests.drills.jobs import database, is_sound, succeeded
from tests.drills.processes import finish, injecting
from tests.kit import Workspace, prompts_of

FIXTURES = sorted((Path(__file__).parents[1] / "store" / "fixtures").glob("v*.sql"))
ITEMS = 8
DONE = {1, 2, 3, 6}  # ids of the items that have a result
FAILED = {4}
POINTS = [
    *(("fdatasync", number) for number in range(1, 13)),
    *(("pwrite64", number) for number in range(1, 61)),
]


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda path: path.stem)
def test_a_run_goes_on_in_a_store_of_an_older_release(tmp_path: Path, fixture: Path) -> None:
    with Simulator() as sim:
        space = _left_by(fixture, tmp_path / "job", sim)
        before = space.job().store_path.read_bytes()
        end = space.run()

        assert end.exit_code == 1  # for the item that had failed
        assert len(prompts_of(sim.received)) == ITEMS - len(DONE) - len(FAILED)
    _assert_whole(space)
    if _version(space) != _version_of(fixture):
        copy = space.folder / ".batchai" / "backups" / f"job.{fixture.stem}.db"
        assert _dump(copy) == _dump_of(before, tmp_path)


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda path: path.stem)
def test_kills_while_a_store_is_brought_up_to_date_leave_the_old_or_the_new(
    tmp_path: Path, fixture: Path, scale: Scale, figures: Figures
) -> None:
    kills = 0
    versions = {_version_of(fixture), VERSION}
    with Simulator() as sim:
        for call, number in POINTS[:: scale(24, 1)]:
            space = _left_by(fixture, tmp_path / f"{call}{number}", sim)
            before = len(sim.received)
            fault = f"{call}:signal=KILL:when={number}"
            command = space.command("run", "--yes")
            killed = finish([*injecting(fault), *command], space.folder).was_killed
            kills += killed
            assert not killed or _version(space) in versions
            _assert_kept(space)

            assert space.run().exit_code == 1
            sent = prompts_of(sim.received[before:])
            assert len(set(sent)) == ITEMS - len(DONE) - len(FAILED)
            _assert_whole(space)
    assert kills
    figures(promise=14, kills=kills, lost=0)


def test_a_store_of_a_newer_release_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    with Simulator() as sim:
        space = _left_by(FIXTURES[-1], tmp_path / "job", sim)
        store = space.job().store_path
        with closing(sqlite3.connect(store)) as connection:
            connection.execute(f"PRAGMA user_version={VERSION + 1}")
        before = store.read_bytes()
        end = finish(space.command("run", "--yes"), space.folder)

    assert end.code == 4
    assert "was written by a newer batchai" in end.errors
    assert store.read_bytes() == before
    assert not sim.received


def _left_by(fixture: Path, folder: Path, sim: Simulator) -> Workspace:
    """The job in whose store the older release was killed."""
    folder.mkdir()
    space = Workspace(folder, sim.openai_url).write(ITEMS)
    store = space.job().store_path
    store.parent.mkdir(mode=0o700)
    with closing(sqlite3.connect(store)) as connection:
        connection.executescript(fixture.read_text())
        connection.execute("PRAGMA journal_mode=wal")  # which a dump does not tell
    return space


def _assert_kept(space: Workspace) -> None:
    """Nothing that the older release had is gone."""
    with database(space.job().store_path) as connection:
        assert is_sound(connection)
        assert succeeded(connection) >= DONE
        (attempts,) = connection.execute("SELECT count(*) FROM attempts WHERE id < 10").fetchone()
    assert attempts == 9


def _assert_whole(space: Workspace) -> None:
    _assert_kept(space)
    assert _version(space) == VERSION
    rows = {row["id"]: row for row in space.exported()}
    assert len(rows) == ITEMS
    assert sorted(row["_status"] for row in rows.values()) == ["failed"] + ["succeeded"] * 7
    assert rows["k5"]["mood"] == "bad"  # of then; today's simulator would say something else
    assert rows["k3"]["_error"] == "refused: the model refused"


def _version(space: Workspace) -> int:
    with database(space.job().store_path) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _version_of(fixture: Path) -> int:
    return int(fixture.stem.removeprefix("v"))


def _dump(store: Path) -> list[str]:
    with database(store) as connection:
        return list(connection.iterdump())


def _dump_of(content: bytes, folder: Path) -> list[str]:
    store = folder / "before.db"
    store.write_bytes(content)
    return _dump(store)
