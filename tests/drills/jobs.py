"""The job that the drills run, and how they judge what became of it."""

import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from batchai.simulator import Received, Simulator
from tests.kit import Workspace, prompts_of

CONCURRENCY = 8


def workspace(folder: Path, sim: Simulator, items: int, more: str = "") -> Workspace:
    """A job of so many items in a new folder; `more`: further lines of the job file."""
    folder.mkdir()
    top = f"limits: {{concurrency: {CONCURRENCY}}}\n{more}"
    return Workspace(folder, sim.openai_url, top=top).write(items)


def repeats(received: Iterable[Received]) -> int:
    """How many requests were sent again, by the server's own record."""
    return sum(count - 1 for count in Counter(prompts_of(received)).values())


@contextmanager
def database(store: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a copy of a store: what opening it mends, batchai shall mend itself."""
    with TemporaryDirectory() as folder:
        for end in ("", "-wal", "-journal"):
            file = store.with_name(store.name + end)
            if file.exists():
                shutil.copy(file, folder)
        with closing(sqlite3.connect(Path(folder) / store.name)) as connection:
            yield connection


def is_sound(connection: sqlite3.Connection) -> bool:
    """Whether SQLite finds nothing wrong."""
    found = connection.execute("PRAGMA integrity_check").fetchall()
    return found == [("ok",)] and not connection.execute("PRAGMA foreign_key_check").fetchall()


def succeeded(connection: sqlite3.Connection) -> set[int]:
    """The ids of items that have a result; none where the store is not made yet."""
    if not connection.execute("SELECT 1 FROM sqlite_schema").fetchall():
        return set()
    rows = connection.execute(
        "SELECT item_id FROM item_steps WHERE state = 'succeeded' AND result IS NOT NULL"
    )
    return {item for (item,) in rows}


def assert_done(space: Workspace, reference: Path) -> None:
    """Each item has exactly one result, and the export is that of an undisturbed run."""
    results = space.results()
    assert sorted(row.key for row in results) == sorted(space.texts)
    assert {row.state for row in results} == {"succeeded"}
    assert (space.folder / "out.csv").read_bytes() == reference.read_bytes()
    with database(space.job().store_path) as connection:
        assert is_sound(connection)
        assert len(succeeded(connection)) == len(space.texts)
