import asyncio
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from batchai.clock import Clock
from batchai.errors import RefusedError, StoreError
from batchai.operations.backup import backup
from batchai.spec import load_job
from batchai.store import Store, open_reader
from batchai.store.dialect import writer_engine


class Noon(Clock):
    """A clock that stands still."""

    def utcnow(self) -> datetime:
        return datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def make_store(folder: Path, facts: int = 500) -> Path:
    """A store with some pages of facts in it."""

    async def make() -> Path:
        store = Store(folder / ".batchai" / "job.db", job_path=folder / "job.yaml")
        facts_set = (store.ledger.set_meta(f"fact {n}", "x" * 100) for n in range(facts))
        await asyncio.gather(*facts_set)
        await store.close()
        return store.path

    return asyncio.run(make())


class Writer(threading.Thread):
    """Commits, as fast as it can, a number twice in one transaction."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine
        self._stop_asked = threading.Event()
        self._changed = threading.Condition()
        self.committed = 0

    def run(self) -> None:
        change = text("INSERT OR REPLACE INTO meta VALUES ('left', :n), ('right', :n)")
        while not self._stop_asked.is_set():
            with self._engine.begin() as connection:
                connection.execute(change, {"n": str(self.committed + 1)})
            with self._changed:
                self.committed += 1
                self._changed.notify_all()

    def wait_for_more(self) -> int:
        with self._changed:
            before = self.committed
            assert self._changed.wait_for(lambda: self.committed > before, timeout=30)
            return self.committed

    def stop(self) -> None:
        self._stop_asked.set()
        self.join()


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    engine = writer_engine(path)
    writer = Writer(engine)
    writer.start()
    try:
        yield writer
    finally:
        writer.stop()
        engine.dispose()


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def meta(path: Path, key: str) -> str | None:
    reader = open_reader(path)
    try:
        return reader.meta(key)
    finally:
        reader.close()


def test_copies_taken_while_a_writer_commits_are_each_of_one_instant(tmp_path: Path) -> None:
    path = make_store(tmp_path)

    with writing(path) as writer:
        for number in range(5):
            known = writer.wait_for_more()
            copy = backup(path, tmp_path / f"{number}.db").path
            left, right = meta(copy, "left"), meta(copy, "right")
            assert left is not None
            assert left == right
            assert int(left) >= known
        writer.wait_for_more()  # and it was not stopped by any of this


def test_a_job_is_copied_while_a_launch_holds_it(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("id,text\n1,a\n")
    (tmp_path / "job.yaml").write_text(
        "input: data.csv\nmodel: local/smollm2-135m\nprompt: '{{ item.text }}'\n"
    )
    job = load_job(tmp_path / "job.yaml")

    async def copy_amid_a_launch() -> Path:
        store = Store(job.store_path, job_path=job.path)
        try:
            return backup(job, clock=Noon()).path
        finally:
            await store.close()

    copy = asyncio.run(copy_amid_a_launch())

    assert copy == job.store_path.parent / "backups" / "job-20261122T120000Z.db"
    assert meta(copy, "job_file") == "job.yaml"


def test_a_copy_is_one_private_file_that_serves_as_a_store_again(tmp_path: Path) -> None:
    path = make_store(tmp_path)

    found = backup(path, tmp_path / "copies" / "a.db")

    assert names_in(found.path.parent) == ["a.db"]
    assert stat.S_IMODE(found.path.stat().st_mode) == 0o600
    assert found.size_bytes == found.path.stat().st_size > 50_000
    assert "checked" in found.text
    restored = Store(found.path, job_path=tmp_path / "job.yaml")
    assert restored.reader.meta("fact 499") == "x" * 100
    asyncio.run(_close(restored))


async def _close(store: Store) -> None:
    await store.close()


def test_a_file_that_is_there_is_replaced_only_when_told(tmp_path: Path) -> None:
    path = make_store(tmp_path, facts=3)
    target = tmp_path / "a.db"
    target.write_text("precious")

    with pytest.raises(RefusedError, match=r"a\.db: is there already; say --overwrite"):
        backup(path, target)
    assert target.read_text() == "precious"

    backup(path, target, overwrite=True)
    assert meta(target, "fact 2") == "x" * 100
    assert names_in(tmp_path) == [".batchai", "a.db"]


def test_a_folder_takes_a_copy_under_a_name_of_its_own(tmp_path: Path) -> None:
    path = make_store(tmp_path, facts=3)

    assert backup(path, tmp_path, clock=Noon()).path == tmp_path / "job-20261122T120000Z.db"


def test_the_store_itself_is_never_the_target(tmp_path: Path) -> None:
    path = make_store(tmp_path, facts=3)

    with pytest.raises(RefusedError, match="is the store itself"):
        backup(path, path, overwrite=True)
    assert meta(path, "fact 2") == "x" * 100


def test_without_a_store_there_is_nothing_to_copy(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store yet"):
        backup(tmp_path / "job.db", tmp_path / "a.db")
    assert names_in(tmp_path) == []


def test_a_damaged_store_gives_no_copy(tmp_path: Path) -> None:
    path = make_store(tmp_path)
    with path.open("r+b") as stream:
        stream.seek(-3 * 4096, os.SEEK_END)
        stream.write(b"\xff" * 4096 * 2)

    with pytest.raises(StoreError, match="damaged"):
        backup(path, tmp_path / "a.db")
    assert names_in(tmp_path) == [".batchai"]


def test_a_target_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    path = make_store(tmp_path, facts=3)
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreError, match="file: cannot be made"):
        backup(path, tmp_path / "file" / "a.db")


def test_answers_that_wait_beside_the_store_are_told(tmp_path: Path) -> None:
    path = make_store(tmp_path, facts=3)
    path.with_suffix(".spool").write_text("{}")

    found = backup(path, tmp_path / "a.db")

    assert found.spool == path.with_suffix(".spool")
    assert "holds answers that are not in it" in found.text
