"""Opening a store: whose it is, who may, where it may lie, and what dead launches left."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from batchai.domain import State, Usage
from batchai.errors import RefusedError, StoreBusyError, StoreError
from batchai.store import Reader, Store, open_reader
from batchai.store.dialect import unusable
from batchai.store.files import set_aside
from batchai.store.migrations import VERSION
from batchai.store.values import to_ms
from tests.kit import as_nobody
from tests.store.books import (
    COST,
    WORST,
    a_settlement,
    add_items,
    an_attempt,
    begin,
    close,
    full_disk,
    no_file_beyond,
    open_store,
    states,
    succeed,
)
from tests.virtual import EPOCH

PAGE = 4096
HOLD_LOCK = """
import sys
from pathlib import Path
from batchai.store.lock import Lock
lock = Lock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that works on the job."""
    (tmp_path / ".batchai").mkdir()
    lock = tmp_path / ".batchai" / "job.lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(lock)],
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


async def test_a_store_that_another_process_holds_is_busy_and_free_again_after_its_death(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    with pytest.raises(StoreBusyError, match=rf"job: another run .*process {holder.pid} on "):
        open_store(tmp_path)
    holder.send_signal(signal.SIGKILL)
    holder.wait()

    await open_store(tmp_path).close()


def test_the_command_line_says_busy_with_exit_code_5(
    tmp_path: Path, holder: subprocess.Popen[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from batchai.cli import main
    from tests.kit import Workspace

    space = Workspace(tmp_path, "http://127.0.0.1:9/v1").write(1)

    assert main(["run", str(space.job_path), "--yes"]) == 5
    assert f"process {holder.pid}" in capsys.readouterr().err


async def test_a_refused_store_is_left_free(tmp_path: Path) -> None:
    (tmp_path / ".batchai").mkdir()
    path = tmp_path / ".batchai" / "job.db"
    path.write_text("these are no pages of a database, whatever they may be")
    for _ in range(2):
        with pytest.raises(StoreError, match=r"job\.db: is damaged or no batchai store"):
            open_store(tmp_path)
    path.unlink()

    await open_store(tmp_path).close()


def test_a_full_disk_is_not_taken_for_a_damaged_store(tmp_path: Path) -> None:
    words = r"cannot be opened .*free space or mend the disk"
    with no_file_beyond(8192), pytest.raises(StoreError, match=words):
        open_store(tmp_path)


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".batchai").mkdir()
    with closing(sqlite3.connect(tmp_path / ".batchai" / "job.db")) as other:
        other.execute("CREATE TABLE notes (text)")
    with pytest.raises(StoreError, match=r"job\.db: is no batchai store; move it away"):
        open_store(tmp_path)


async def test_a_newer_store_is_refused_by_writers_and_readers(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    await store.close()
    with closing(sqlite3.connect(store.path)) as other:
        other.execute(f"PRAGMA user_version={VERSION + 1}")
    with pytest.raises(StoreError, match=r"newer batchai.*pip install -U batchai"):
        open_store(tmp_path)
    with pytest.raises(StoreError, match="newer batchai"):
        Reader(store.path)


async def test_damage_found_while_reading_is_a_store_error(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    begin(store)
    for item in await add_items(store, 20):
        await succeed(store, item)
    await store.close()
    with store.path.open("r+b") as file:
        file.seek(PAGE)  # the first has the schema
        file.write(b"\xaa" * (store.path.stat().st_size - PAGE))

    with closing(open_reader(store.path)) as reader:
        for ask in (
            lambda: list(reader.results("main")),
            lambda: reader.pending("main", after=0, limit=9),
            lambda: reader.recent_attempts(0, {"openai/m"}, exact_since_ms=0),
            lambda: reader.selected_but(b""),
            reader.last_run,
        ):
            with pytest.raises(StoreError, match=r"job\.db: cannot be read .*batchai backup"):
                ask()


async def test_a_damaged_store_is_refused_with_a_way_to_save_what_can_be_read(
    tmp_path: Path,
) -> None:
    store = open_store(tmp_path)
    await store.close()
    with store.path.open("r+b") as file:
        file.seek(100)  # the header stays: it is a database, and broken
        file.write(b"\xaa" * (PAGE - 100))
    with pytest.raises(StoreError, match=r"damaged.*batchai export.*batchai backup.*--fresh"):
        open_store(tmp_path)


def test_a_store_that_another_program_has_locked_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "job.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        impatient = create_engine(f"sqlite:///{path}", connect_args={"timeout": 0})
        with impatient.connect() as connection, pytest.raises(OperationalError) as locked:
            connection.exec_driver_sql("CREATE TABLE t (x)")
        impatient.dispose()
    message = str(unusable(path, locked.value))
    assert "database is locked" in message
    assert "another program has it open and writes: close that" in message


async def test_the_log_that_grew_under_a_long_reader_shrinks_again(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    wal = store.path.with_name("job.db-wal")
    with closing(open_reader(store.path)) as reader, reader.snapshot():
        assert reader.meta("fact") is None
        for _ in range(6):  # what the reader may still ask for cannot be moved into the store
            await store.ledger.set_meta("fact", "x" * 4_000_000)
        grown = wal.stat().st_size
        assert grown > 20_000_000
        assert reader.meta("fact") is None
    for _ in range(2):  # the next commit begins the log anew
        await store.ledger.set_meta("fact", "small")
    assert wal.stat().st_size <= 16 * 2**20
    await store.close()


async def test_a_store_is_private_and_ignored_by_git(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    begin(store)
    folder = tmp_path / ".batchai"

    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.glob("job.*")}

    assert modes == dict.fromkeys(["job.db", "job.db-shm", "job.db-wal", "job.lock"], 0o600)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / ".gitignore").read_text() == "*\n"
    await store.close()


async def test_two_job_files_never_share_a_store(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.touch()
    second.touch()
    path = tmp_path / ".batchai" / "job.db"
    await Store(path, job_path=first).close()

    with pytest.raises(RefusedError, match=r"b\.yaml: .*'job' is already used by .*a\.yaml"):
        Store(path, job_path=second)


async def test_a_renamed_job_file_takes_its_store_along(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.touch()
    path = tmp_path / ".batchai" / "job.db"
    await Store(path, job_path=first).close()
    first.rename(second)
    await Store(path, job_path=second).close()
    first.touch()

    with pytest.raises(RefusedError, match=r"already used by .*b\.yaml"):
        Store(path, job_path=first)
    await Store(path, job_path=second).close()


@pytest.mark.parametrize(("hold", "state"), [(False, State.PENDING), (True, State.UNKNOWN)])
async def test_attempts_of_a_dead_launch_become_unknown_once(
    tmp_path: Path, hold: bool, state: State
) -> None:
    store = open_store(tmp_path)
    begin(store)
    done, lost, _ = await add_items(store, 3)
    await succeed(store, done)
    await store.ledger.open_attempt(an_attempt(store, lost))
    await store.close()

    store = open_store(tmp_path)
    assert [store.recover(hold=hold, now=EPOCH).unknown_attempts for _ in range(3)] == [1, 0, 0]

    run = store.reader.last_run()
    assert run is not None
    assert (run.attempts, run.cost, run.unconfirmed) == (2, COST, WORST)
    assert states(store.reader) == [State.SUCCEEDED, state, State.PENDING]
    assert [row.lineage.attempts for row in store.reader.results("main")] == [1, 1, 0]
    assert [launch.reason for launch in store.reader.launches()] == ["died"]
    await store.close()


async def test_a_new_run_gives_pending_items_all_their_attempts(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    begin(store)
    (item,) = await add_items(store, 1)
    attempt = an_attempt(store, item)
    await store.ledger.open_attempt(attempt)
    await store.ledger.close_attempt(attempt, a_settlement(attempt), counts=True, end=None)
    (pending,) = store.reader.pending("main", after=0, limit=9)
    assert pending.steps["main", 0].tried == 1

    begin(store)

    (pending,) = store.reader.pending("main", after=0, limit=9)
    step = pending.steps["main", 0]
    assert (step.attempts, step.tried) == (1, 0)
    await store.close()


async def test_every_write_on_a_full_disk_is_a_store_error(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    run = begin(store)
    with full_disk(store):
        with pytest.raises(StoreError, match="cannot be written"):
            store.begin_launch(run.id, now=EPOCH)
        with pytest.raises(StoreError, match="free space"):
            store.begin_scan(compare=True, resumes=False, fact=("scan", "x" * 9000))
    store.begin_launch(run.id, now=EPOCH)
    await store.close()


async def test_starting_afresh_sets_the_spool_aside_too(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    begin(store)
    (item,) = await add_items(store, 1)
    attempt = an_attempt(store, item)
    await store.ledger.open_attempt(attempt)
    with full_disk(store), pytest.raises(StoreError):
        await close(store, attempt)
    await store.close()

    assert set_aside(store.path) == tmp_path / ".batchai" / "job.old1.db"

    fresh = open_store(tmp_path)
    assert fresh.reader.is_empty()
    await fresh.close()
    assert set_aside(store.path) == tmp_path / ".batchai" / "job.old2.db"
    assert (tmp_path / ".batchai" / "job.old1.spool").exists()


async def test_deleted_rows_leave_no_trace_in_the_file(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.forget_deleted()
    begin(store)
    (item,) = await add_items(store, 1)
    await store.ledger.absorb([("place_item", (0, '{"n":"canary-7d1f"}', item))])
    await store.ledger.absorb([("forget_row", (item,))])
    await store.close()

    assert b"canary-7d1f" not in store.path.read_bytes()


def test_a_reader_without_a_store_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store yet"):
        open_reader(tmp_path / "none.db")


@pytest.mark.parametrize("has_folder", [False, True], ids=["its folder", "the store's own"])
def test_a_folder_that_cannot_be_written_is_refused(has_folder: bool) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        if has_folder:
            (folder / ".batchai").mkdir(mode=0o555)
        folder.chmod(0o555)  # pytest's own folders are closed to others
        with as_nobody(), pytest.raises(StoreError, match="that folder must be writable"):
            open_store(folder)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".batchai").touch()
    with pytest.raises(StoreError, match="cannot be made"):
        open_store(tmp_path)


def test_what_a_gate_is_told_of_a_day_is_summed_by_the_minute(tmp_path: Path) -> None:
    """And one by one of the last minute, open ones at their reservation."""
    sent = {1: -90_000, 2: -600, 3: -599, 4: -500, 5: -30, 6: -30}  # seconds from now

    async def main() -> None:
        store = open_store(tmp_path)
        begin(store)
        await add_items(store, len(sent))
        for item_id, seconds in sent.items():
            at = EPOCH + timedelta(seconds=seconds)
            attempt = replace(an_attempt(store, item_id), sent_at=at)
            await store.ledger.open_attempt(attempt)
            if item_id != 6:
                await close(store, attempt, usage=Usage(7, cache_read=100, output=5))
        model = an_attempt(store, 1).model

        def recent(*models: str) -> list[tuple[float, int, int, int]]:
            found = store.reader.recent_attempts(
                to_ms(EPOCH - timedelta(days=1)),
                models,
                exact_since_ms=to_ms(EPOCH - timedelta(minutes=1)),
            )
            return sorted(
                ((of.sent_at - EPOCH).total_seconds(), of.input_tokens, of.output_tokens, of.number)
                for of in found
            )

        open_one = an_attempt(store, 6)
        assert recent(model, "other") == [
            (-599, 14, 10, 2),
            (-500, 7, 5, 1),
            *sorted([(-30, 7, 5, 1), (-30, open_one.input_tokens, open_one.max_tokens, 1)]),
        ]
        assert recent("other") == []
        await store.close()

    asyncio.run(main())
