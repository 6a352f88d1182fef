"""Stores of earlier versions become today's, and go on to be used."""

import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path

from batchai.operations import report as operation
from batchai.simulator import Simulator
from batchai.store import Store
from batchai.store.migrations import VERSION
from tests.kit import Workspace
from tests.store.books import open_store

VERSION_1 = Path(__file__).parent / "fixtures" / "v1.sql"


def a_store_of_version_1(folder: Path) -> Path:
    path = folder / ".batchai" / "job.db"
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.executescript(VERSION_1.read_text())
    connection.close()
    return path


async def test_a_migrated_store_has_the_same_columns_as_a_fresh_one(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    old = a_store_of_version_1(tmp_path / "old")
    await Store(old, job_path=tmp_path / "old" / "job.yaml").close()
    await open_store(tmp_path).close()
    assert columns_of(old) == columns_of(tmp_path / ".batchai" / "job.db")


def columns_of(path: Path) -> dict[str, set[tuple[str, str, int, str | None]]]:
    """Name, type, whether it must be given, and default of each table's columns."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
        names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        return {
            name: {row[1:5] for row in connection.execute(f"PRAGMA table_info({name})")}
            for (name,) in names.fetchall()
        }


def test_a_job_goes_on_in_a_store_of_version_1(tmp_path: Path) -> None:
    a_store_of_version_1(tmp_path)
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url, top="budget_usd: 1").write(8)
        assert space.run().counts == {"succeeded": 7, "failed": 1}
        # one had two invalid answers, one was in flight at the kill, one was never sent
        first = [entry.body["messages"][0]["content"] for entry in sim.received]
        assert sorted(first) == [f"Classify: text number {n} of many" for n in (4, 6, 7)]
    report = operation.report(space.job())
    assert report.total.attempts == 9 + 3
    assert report.total.cost_usd > Decimal("0.000508")
    assert report.total.saved_by_cache_usd == report.saved.copied == 0
    assert (tmp_path / ".batchai" / "backups" / "job.v1.db").exists()
