"""The ledger: nothing is acknowledged before it is durable, and nothing paid for is dropped."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from batchai.domain import NO_COST, State
from batchai.errors import StoreError
from batchai.store import Ledger, Store
from batchai.store.dialect import writer_engine
from batchai.store.groups import Group, apply
from batchai.store.spool import Spool
from tests.store.books import (
    COST,
    WORST,
    add_items,
    an_attempt,
    begin,
    close,
    full_disk,
    open_store,
    states,
    succeed,
)
from tests.virtual import EPOCH


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store with a run."""
    made = open_store(tmp_path)
    begin(made)
    yield made
    await made.close()


@pytest.fixture
def engine(store: Store) -> Iterator[Engine]:
    """A second writer's engine, which a test may watch."""
    made = writer_engine(store.path)
    yield made
    made.dispose()


async def test_an_attempt_is_acknowledged_only_when_its_commit_is_durable(
    store: Store, engine: Engine
) -> None:
    (item,) = await add_items(store, 1)
    ledger = Ledger(engine, spool=Spool(store.path.with_suffix(".spool"), store_id=""))
    asks_for_lock = threading.Event()
    event.listen(engine, "before_cursor_execute", lambda *_: asks_for_lock.set())
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    writing = asyncio.create_task(ledger.open_attempt(an_attempt(store, item)))
    await asyncio.to_thread(asks_for_lock.wait)
    for _ in range(10):
        await asyncio.sleep(0)
    assert not writing.done()
    assert store.reader.open_attempts() == (0, NO_COST)

    other.execute("ROLLBACK")
    other.close()
    await writing
    assert store.reader.open_attempts() == (1, WORST)
    await ledger.close()


async def test_what_arrives_together_is_one_commit(store: Store, engine: Engine) -> None:
    items = await add_items(store, 50)
    ledger = Ledger(engine, spool=Spool(store.path.with_suffix(".spool"), store_id=""))
    commits: list[object] = []
    event.listen(engine, "commit", commits.append)

    await asyncio.gather(*(ledger.open_attempt(an_attempt(store, item)) for item in items))

    assert len(commits) == 1
    await ledger.close()


async def test_a_cancelled_caller_does_not_cancel_its_commit(store: Store) -> None:
    (item,) = await add_items(store, 1)
    writing = asyncio.create_task(store.ledger.open_attempt(an_attempt(store, item)))
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await store.ledger.set_meta("later", "1")

    assert store.reader.open_attempts() == (1, WORST)


async def test_answers_that_cannot_be_written_are_spooled_and_taken_in_once(
    store: Store, tmp_path: Path
) -> None:
    items = await add_items(store, 3)
    attempts = [an_attempt(store, item) for item in items]
    await asyncio.gather(*map(store.ledger.open_attempt, attempts))
    spool = store.path.with_suffix(".spool")

    with full_disk(store):
        with pytest.raises(StoreError, match=r"1 answers .* saved to job\.spool"):
            await close(store, attempts[0], result={"é": "\u2028 \x85 \0 end"})
        with pytest.raises(StoreError, match="cannot be written"):  # arrives after the break
            await close(store, attempts[1], result=2**70)
        with pytest.raises(StoreError):
            await store.ledger.open_attempt(an_attempt(store, items[2], number=2))
    await store.close()
    assert spool.stat().st_mode & 0o777 == 0o600
    saved = spool.read_bytes()

    for _ in range(2):  # the second time as if killed before the file was removed
        again = open_store(tmp_path)
        assert not spool.exists()
        rows = list(again.reader.results("main"))
        run = again.reader.last_run()
        assert run is not None
        assert (run.attempts, run.cost) == (2, 2 * COST)
        assert [row.result for row in rows] == [{"é": "\u2028 \x85 \0 end"}, 2**70, None]
        assert [row.lineage.attempts for row in rows] == [1, 1, 0]
        assert again.reader.open_attempts() == (1, WORST)
        await again.close()
        spool.write_bytes(saved)


async def test_a_spooled_answer_with_a_lone_surrogate_is_taken_in(
    store: Store, tmp_path: Path
) -> None:
    (item,) = await add_items(store, 1)
    attempt = an_attempt(store, item)
    await store.ledger.open_attempt(attempt)
    with full_disk(store), pytest.raises(StoreError, match="1 answers"):
        await close(store, attempt, model="m\ud800")
    await store.close()

    again = open_store(tmp_path)
    assert states(again.reader) == [State.SUCCEEDED]
    await again.close()


async def test_a_request_that_could_not_be_recorded_is_not_taken_for_sent(
    store: Store, tmp_path: Path
) -> None:
    first, second = await add_items(store, 2)
    attempt = an_attempt(store, first)
    await store.ledger.open_attempt(attempt)
    with full_disk(store):
        closing = asyncio.create_task(close(store, attempt))
        opening = asyncio.create_task(store.ledger.open_attempt(an_attempt(store, second)))
        done = await asyncio.gather(closing, opening, return_exceptions=True)
    assert all(isinstance(result, StoreError) for result in done)
    await store.close()

    again = open_store(tmp_path)
    found = again.recover(hold=False, now=EPOCH)
    assert (found.unknown_attempts, found.spooled_groups) == (0, 1)
    await again.close()


async def test_a_group_counts_once_however_often_it_is_tried(store: Store, engine: Engine) -> None:
    """A commit may be durable although it failed: the error came after the write."""
    (item,) = await add_items(store, 1)
    await store.ledger.open_attempt(an_attempt(store, item))
    group = Group(1000, {"count_run": [(1, 5, 7, 1)], "keep_step": [(1, 5, item, "main", 0)]})

    apply(engine, group)
    apply(engine, group)

    run = store.reader.last_run()
    assert run is not None
    assert (run.attempts, run.cost, run.unconfirmed) == (1, Decimal("5e-12"), Decimal("7e-12"))


async def test_answers_that_can_be_saved_nowhere_are_told_and_count_as_unknown(
    store: Store, tmp_path: Path
) -> None:
    (item,) = await add_items(store, 1)
    attempt = an_attempt(store, item)
    await store.ledger.open_attempt(attempt)
    spool = store.path.with_suffix(".spool")
    spool.mkdir()
    with full_disk(store), pytest.raises(StoreError, match=r"nor could the 1 answers .*unknown"):
        await close(store, attempt)
    await store.close()
    spool.rmdir()

    again = open_store(tmp_path)
    assert again.recover(hold=False, now=EPOCH).unknown_attempts == 1
    await again.close()


async def test_half_a_line_spoils_no_other(store: Store, tmp_path: Path) -> None:
    (item,) = await add_items(store, 1)
    attempt = an_attempt(store, item)
    await store.ledger.open_attempt(attempt)
    with full_disk(store), pytest.raises(StoreError):
        await close(store, attempt)
    await store.close()
    spool = store.path.with_suffix(".spool")
    whole = spool.read_bytes()
    spool.write_bytes(whole[:40] + b"\n" + whole + whole[: len(whole) // 2])

    again = open_store(tmp_path)
    assert states(again.reader) == [State.SUCCEEDED]
    await again.close()


async def test_a_spool_on_a_full_disk_keeps_only_whole_lines(store: Store) -> None:
    spool = Spool(store.path.with_suffix(".spool"), store_id="x")
    spool.add(Group(1, {"set_meta": [("a", "1")]}))
    before = spool.path.read_bytes()

    with full_disk(store), pytest.raises(OSError, match="too large"):
        spool.add(Group(2, {"set_meta": [("b", "x" * 1_000_000)]}))

    assert spool.path.read_bytes() == before


async def test_the_spool_of_a_deleted_store_is_refused_and_kept(
    store: Store, tmp_path: Path
) -> None:
    (item,) = await add_items(store, 1)
    attempt = an_attempt(store, item)
    await store.ledger.open_attempt(attempt)
    with full_disk(store), pytest.raises(StoreError):
        await close(store, attempt)
    await store.close()
    store.path.unlink()

    with pytest.raises(StoreError, match="answers of another store"):
        open_store(tmp_path)
    assert store.path.with_suffix(".spool").exists()


@pytest.mark.parametrize("fate", ["deleted", "moved", "its folder moved", "replaced"])
async def test_a_store_that_goes_away_during_a_run_is_noticed(store: Store, fate: str) -> None:
    (item,) = await add_items(store, 1)
    attempt = an_attempt(store, item)
    await store.ledger.open_attempt(attempt)
    match fate:
        case "deleted":
            store.path.unlink()
        case "moved":
            store.path.rename(store.path.with_name("other.db"))
        case "its folder moved":
            folder = store.path.parent
            folder.rename(folder.with_name("away"))
            folder.mkdir()
        case "replaced":
            copy = store.path.with_name("copy.db")
            copy.write_bytes(b"another")
            copy.replace(store.path)

    with pytest.raises(StoreError, match=r"moved or deleted.*1 answers in hand were saved"):
        await close(store, attempt)


@pytest.mark.parametrize("value", ["\ud800 lone", "a\0b", "x" * 10_000_000], ids=len)
async def test_any_text_of_a_provider_is_kept(store: Store, value: str) -> None:
    (item,) = await add_items(store, 1)

    await succeed(store, item, result=value, answer=value, detail=value[:100])

    (row,) = store.reader.results("main")
    assert row.result == value
    (attempt,) = store.reader.attempts_of(item, "main")
    assert attempt.answer == value.replace("\ud800", "?")


async def test_a_value_that_the_store_cannot_take_stops_the_run_and_hangs_nobody(
    store: Store,
) -> None:
    (item,) = await add_items(store, 1)

    with pytest.raises(StoreError, match="cannot be written"):
        await succeed(store, item, status=2**70)
    with pytest.raises(StoreError):
        await store.ledger.set_meta("a", "b")


async def test_a_lock_of_another_program_that_lasts_is_told_and_the_answer_is_kept(
    store: Store, engine: Engine, tmp_path: Path
) -> None:
    @event.listens_for(engine, "connect")
    def _impatient(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA busy_timeout=0")

    (item,) = await add_items(store, 1)
    attempt = an_attempt(store, item)
    await store.ledger.open_attempt(attempt)
    own = store.ledger
    store.ledger = Ledger(engine, spool=own._spool)
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(
            StoreError, match=r"locked.*1 answers in hand were saved.*another program has it open"
        ):
            await close(store, attempt, result="paid")
    await store.ledger.close()
    store.ledger = own
    await store.close()

    again = open_store(tmp_path)
    assert [row.result for row in again.reader.results("main")] == ["paid"]
    await again.close()


async def test_what_contradicts_the_store_is_not_told_as_a_fault_of_the_disk(
    store: Store,
) -> None:
    (item,) = await add_items(store, 1)
    attempt = an_attempt(store, item)
    await store.ledger.open_attempt(attempt)

    with pytest.raises(StoreError, match=r"UNIQUE constraint.*the disk is not at fault") as caught:
        await store.ledger.open_attempt(attempt)
    assert "free space" not in str(caught.value)


@pytest.mark.parametrize("result", [None, False, 0, "", [], {}, 2**64, -(2**63) - 1, 0.1], ids=str)
async def test_any_json_value_is_a_result(store: Store, result: Any) -> None:
    (item,) = await add_items(store, 1)

    await succeed(store, item, result=result)

    (row,) = store.reader.results("main")
    assert (row.state, row.result) == (State.SUCCEEDED, result)
    assert type(row.result) is type(result)
