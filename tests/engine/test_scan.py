"""The scan: keys and occurrence numbers, bad rows, going on where one ended."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchai.engine.scan import Reading, Scan
from batchai.errors import BadRowError, StoreError
from batchai.operations.survey import Surveyor
from batchai.sources import open_items
from batchai.spec.models import Input
from batchai.store import Reader, Store
from batchai.store.seen import SeenKeys
from tests.engine.rig import rig
from tests.engine.scanning import a_scan, compared, findings, prompts, rows, take_in
from tests.store.books import STEP, open_store


def test_equal_records_without_key_columns_are_told_apart_by_number() -> None:
    items = [{"text": text} for text in ["a", "b", "a", "a"]]

    keys = [finding.item.key for finding in findings(a_scan(items, key_columns=()))]

    assert len(set(keys)) == 4
    assert keys[2:] == [f"{keys[0]}-2", f"{keys[0]}-3"]


def test_occurrence_numbers_go_on_over_chunks() -> None:
    items = [{"text": str(n % 3)} for n in range(1700)]

    keys = [finding.item.key for finding in findings(a_scan(items, key_columns=()))]

    assert len(set(keys)) == 1700
    assert Counter(key.partition("-")[0] for key in keys).most_common()[0][1] == 567


def test_a_key_that_comes_twice_is_told_with_its_place_also_chunks_later() -> None:
    items = rows(*map(str, range(1200)))
    items[1100]["id"] = "k3"

    with pytest.raises(BadRowError, match=r"item 1101: the key id = 'k3' was there before"):
        findings(a_scan(items))
    found = [chunk for chunk in a_scan(items, skip_bad_rows=True).chunks() if chunk.bad_rows]
    assert [bad.place for chunk in found for bad in chunk.bad_rows] == ["item 1101"]


def test_positions_follow_the_input_and_leave_out_bad_rows() -> None:
    items = rows("a", "b", "c")
    items[1]["id"] = "k0"

    found = findings(a_scan(items, skip_bad_rows=True))

    assert [(finding.item.key, finding.item.position) for finding in found] == [
        ("k0", 0),
        ("k2", 1),
    ]


@pytest.mark.parametrize("columns", [(), ("id",), ("id", "text")], ids=["content", "one", "two"])
async def test_a_scan_goes_on_where_one_ended(
    store: Store, reader: Reader, columns: tuple[str, ...]
) -> None:
    items = [{"id": f"{n}/\\ é\u2028", "text": str(n % 4)} for n in range(1300)]
    if not columns:
        items = [{"text": item["text"]} for item in items]
    whole = [finding.item.key for finding in findings(a_scan(items, key_columns=columns))]

    done = await take_in(store, a_scan(items, reader, key_columns=columns), chunks=2)
    rest = a_scan(items, reader, key_columns=columns, skip=done)
    await take_in(store, rest, skip=done)

    assert 300 <= done < 1300
    assert [row.key for row in store.reader.results(STEP)] == whole


@settings(max_examples=10, deadline=None)
@given(
    texts=st.lists(st.sampled_from("abc"), min_size=60, max_size=300),
    launches=st.lists(st.integers(1, 2), max_size=4),
)
def test_however_often_a_scan_is_interrupted_equal_records_stay_apart(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], launches: list[int]
) -> None:
    items = [{"text": text} for text in texts]

    async def main() -> list[str]:
        store = open_store(tmp_path_factory.mktemp("store"))
        reader, done = Reader(store.path), 0
        for chunks in [*launches, 10**9]:
            scan = a_scan(items, reader, key_columns=(), skip=done)
            done = await take_in(store, scan, skip=done, chunks=chunks)
        reader.close()
        keys = [row.key for row in store.reader.results(STEP)]
        await store.close()
        return keys

    assert asyncio.run(main()) == [f.item.key for f in findings(a_scan(items, key_columns=()))]


async def test_a_key_that_an_earlier_launch_took_in_is_still_a_duplicate(
    store: Store, reader: Reader
) -> None:
    items = rows(*map(str, range(600)))
    items[599]["id"] = "k0"
    done = await take_in(store, a_scan(items, reader), chunks=1)

    with pytest.raises(BadRowError, match="'k0' was there before"):
        await take_in(store, a_scan(items, reader, skip=done), skip=done)


async def test_a_survey_that_is_cancelled_while_it_reads_ends_as_cancelled(
    tmp_path: Path,
) -> None:
    """Ctrl-C while a large input is counted."""
    is_reading, may_go_on = threading.Event(), threading.Event()

    def slow() -> Iterator[dict[str, Any]]:
        yield from rows("a")
        is_reading.set()
        may_go_on.wait(30)

    async with rig(tmp_path, []) as it:
        surveyor = Surveyor(it.opened.steps, reader=None, clock=it.opened.clock)
        scan = Scan(
            open_items(slow(), Input()),
            key_columns=("id",),
            reader=None,
            steps=(STEP,),
            comparison=compared(prompts()),
        )
        counting = asyncio.create_task(surveyor.survey(scan, None))
        await asyncio.to_thread(is_reading.wait)
        counting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await counting
        may_go_on.set()


def test_a_full_folder_for_temporary_files_is_told() -> None:
    seen = SeenKeys()
    seen.add(["a"])
    seen.close()

    with pytest.raises(StoreError, match=r"temporary file cannot be written .*TMPDIR"):
        seen.counts(["a"])


async def test_a_scan_that_a_thread_is_at_can_be_left() -> None:
    """Closing the generator then takes Python 3.11 down."""
    is_reading, may_go_on = threading.Event(), threading.Event()

    def slow() -> Iterator[dict[str, Any]]:
        yield from ({"id": str(n)} for n in range(60))
        is_reading.set()
        may_go_on.wait(30)

    reading = Reading(a_scan(slow()))
    first = asyncio.create_task(reading.next())
    assert await asyncio.to_thread(is_reading.wait, 30)
    reading.close()
    may_go_on.set()
    assert await first is not None
    reading.close()
    assert await reading.next() is None
