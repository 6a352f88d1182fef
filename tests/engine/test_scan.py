"""The scan: keys and occurrence numbers, what it finds of each item, going on where one ended."""

import asyncio
import itertools
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchai.domain import NO_COST, Outcome, Settlement, State, Usage
from batchai.engine.intake import SCAN_MARK, Intake, Selection
from batchai.engine.progress import Progress
from batchai.engine.scan import Change, Comparison, Finding, Scan
from batchai.errors import BadRowError, StoreError
from batchai.operations.survey import Surveyor
from batchai.prompts import Prompts
from batchai.schemas import AnswerSchema
from batchai.sources import open_items
from batchai.spec.models import Input, Prompt
from batchai.store import Reader, Store
from batchai.store.ledger import StepEnd
from batchai.store.seen import SeenKeys
from batchai.store.values import from_json
from tests.engine.rig import rig
from tests.store.books import STEP, add_items, an_attempt, begin, open_store
from tests.virtual import EPOCH

Rows = list[dict[str, Any]]


def prompts(user: str = "Sort: {{ item.text }}", identity: Any = "a model") -> Prompts:
    return Prompts(Prompt(user=user), variables={}, identity=identity, place="job.yaml")


def rows(*texts: str) -> Rows:
    return [{"id": f"k{n}", "text": text} for n, text in enumerate(texts)]


def a_scan(items: Rows, reader: Reader | None = None, **options: Any) -> Scan:
    return Scan(
        open_items(items, Input()),
        reader=reader,
        step=STEP,
        **{"key_columns": ("id",), **options},
    )


def findings(scan: Scan) -> list[Finding]:
    return [finding for chunk in scan.chunks() for finding in chunk.findings]


async def take_in(store: Store, scan: Scan, *, skip: int = 0, chunks: int = 10**9) -> int:
    """Take in a scan, or so many chunks of it; returns how many records are in then."""
    selection, taken = Selection("stamp", is_first=True), itertools.count(1)
    intake = Intake(scan, selection, store=store, step=STEP, progress=Progress(), skip=skip)
    done = [False]

    def refresh() -> None:
        done[0] = next(taken) >= chunks

    await intake.run(refresh=refresh, is_over=lambda: done[0])
    return int(from_json(store.reader.meta(SCAN_MARK) or "")["records"])


async def settle(
    store: Store, key: str, made_by: Prompts, *, state: State = State.SUCCEEDED, result: Any = None
) -> None:
    """Bring an item to an end, under these prompts."""
    stored = store.reader.stored(STEP, [key])[key]
    fields = store.reader.stored_rows(STEP, [stored.item_id])[stored.item_id][0]
    attempt = an_attempt(store, stored.item_id)
    await store.ledger.open_attempt(attempt)
    end = StepEnd(state, made_by.fingerprint(made_by.render(fields)), "x", result=result)
    done = Settlement(attempt.id, Outcome.SUCCEEDED, closed_at=EPOCH, usage=Usage(), cost=NO_COST)
    await store.ledger.close_attempt(attempt, done, counts=True, end=end)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    made = open_store(tmp_path)
    begin(made)
    yield made
    await made.close()


@pytest.fixture
async def reader(store: Store) -> AsyncIterator[Reader]:
    made = Reader(store.path)
    yield made
    made.close()


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


async def changes(
    reader: Reader, items: Rows, comparison: Comparison | None = None
) -> list[Change]:
    found = findings(a_scan(items, reader, comparison=comparison))
    return [finding.change for finding in found]


async def test_each_item_is_compared_with_what_is_known_of_its_key(
    store: Store, reader: Reader
) -> None:
    ours = prompts()
    await take_in(store, a_scan(rows("a", "b", "c", "d"), reader))
    for key, state in {"k0": State.SUCCEEDED, "k1": State.FAILED, "k2": State.SUCCEEDED}.items():
        await settle(store, key, ours, state=state)
    items = rows("a", "b", "c edited", "d edited", "e")
    items[0]["note"] = "a column that the prompt does not use"

    assert await changes(reader, items, Comparison(ours)) == [
        Change.SAME,
        Change.SAME,
        Change.EDITED,
        Change.PENDING,
        Change.NEW,
    ]
    assert await changes(reader, items) == [
        Change.SAME,
        Change.SAME,
        Change.SAME,
        Change.PENDING,
        Change.NEW,
    ]


async def test_a_changed_spec_reruns_or_keeps_as_the_user_says(
    store: Store, reader: Reader
) -> None:
    await take_in(store, a_scan(rows("a", "b"), reader))
    for key in ("k0", "k1"):
        await settle(store, key, prompts())
    today, items = prompts("Class: {{ item.text }}"), rows("a", "b edited", "c")

    rerun = Comparison(today, spec_changed=True)
    keep = Comparison(today, spec_changed=True, keep=True)

    assert await changes(reader, items, rerun) == [Change.CHANGED, Change.CHANGED, Change.NEW]
    assert await changes(reader, items, keep) == [Change.KEPT, Change.EDITED, Change.NEW]


async def test_kept_results_stay_kept_where_rows_are_not_retained(
    store: Store, reader: Reader
) -> None:
    await take_in(store, a_scan(rows("a"), reader))
    await settle(store, "k0", prompts())
    await store.ledger.absorb([("forget_row", (1,))])
    keep = Comparison(prompts("Class: {{ item.text }}"), spec_changed=True, keep=True)

    assert await changes(reader, rows("a"), keep) == [Change.KEPT]


async def test_answers_that_fit_a_changed_schema_stay(store: Store, reader: Reader) -> None:
    def schema(*moods: str) -> Mapping[str, Any]:
        return {"type": "object", "properties": {"mood": {"enum": list(moods)}}}

    before, today = prompts(identity=schema("good", "bad")), prompts(identity=schema("good"))
    await take_in(store, a_scan(rows("a", "b", "c", "d"), reader))
    await settle(store, "k0", before, result={"mood": "good"})
    await settle(store, "k1", before, result={"mood": "bad"})
    await settle(store, "k2", before, result={"mood": "good"})
    await settle(store, "k3", before, state=State.FAILED)
    comparison = Comparison(
        today, spec_changed=True, before=before, answers=AnswerSchema(schema("good"))
    )

    assert await changes(reader, rows("a", "b", "c edited", "d"), comparison) == [
        Change.REVALIDATED,
        Change.CHANGED,
        Change.CHANGED,
        Change.CHANGED,
    ]


async def test_an_item_that_cannot_be_rendered_is_compared_too(
    store: Store, reader: Reader
) -> None:
    ours = prompts("{{ 1 / (item.text | int) }}")
    await take_in(store, a_scan(rows("0", "1"), reader))
    await store.ledger.settle_unsent(
        1, STEP, StepEnd(State.FAILED, b"unrenderable", "unrenderable"), run_id=1, at=EPOCH
    )

    assert await changes(reader, rows("0", "1"), Comparison(ours)) == [Change.SAME, Change.PENDING]
    assert await changes(reader, rows("2", "1"), Comparison(ours)) == [
        Change.EDITED,
        Change.PENDING,
    ]


async def test_a_held_item_waits_until_its_own_row_changes(store: Store, reader: Reader) -> None:
    await take_in(store, a_scan(rows("a", "b"), reader))
    await settle(store, "k1", prompts("An older one: {{ item.text }}"))
    await store.ledger.absorb([("reset_step", (2, STEP))])
    for item in (1, 2):
        await store.ledger.open_attempt(an_attempt(store, item, number=2))
    store.recover(hold=True, now=EPOCH)

    assert await changes(reader, rows("a", "b"), Comparison(prompts())) == [Change.SAME] * 2
    rerun = Comparison(prompts(), spec_changed=True)
    assert await changes(reader, rows("a", "b edited"), rerun) == [Change.SAME, Change.CHANGED]


async def test_attempts_at_another_request_count_no_more(store: Store, reader: Reader) -> None:
    await take_in(store, a_scan(rows("a", "b"), reader))
    for item in (1, 2):
        attempt = an_attempt(store, item)
        await store.ledger.open_attempt(attempt)
        failed = Settlement(attempt.id, Outcome.INVALID, closed_at=EPOCH, usage=Usage())
        await store.ledger.close_attempt(attempt, failed, counts=True, end=None)
    scan = a_scan(rows("a", "b edited"), reader, comparison=Comparison(prompts()))

    selection = Selection("stamp", is_first=False)
    intake = Intake(scan, selection, store=store, step=STEP, progress=Progress())
    await intake.run(refresh=lambda: None, is_over=lambda: False)

    pending = store.reader.pending(STEP, after=0, limit=9)
    assert [(item.attempts, item.tried) for item in pending] == [(1, 1), (1, 0)]


async def test_rows_that_left_the_input_leave_the_selection(store: Store, reader: Reader) -> None:
    await take_in(store, a_scan(rows("a", "b", "c"), reader))
    await add_items(store, 12_000)  # more than one group of removed ones
    progress = Progress()
    scan = a_scan(rows("a", "b"), reader, comparison=Comparison(prompts()))

    intake = Intake(scan, Selection("x", is_first=False), store=store, step=STEP, progress=progress)
    await intake.run(refresh=lambda: None, is_over=lambda: False)

    assert progress.changes["removed"] == 12_001
    assert [row.key for row in store.reader.results(STEP)] == ["k0", "k1"]
    assert store.reader.state_counts(STEP) == {State.PENDING: 2}


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
        surveyor = Surveyor(it.opened.step, reader=None, clock=it.opened.clock)
        scan = Scan(
            open_items(slow(), Input()),
            key_columns=("id",),
            reader=None,
            step=STEP,
            comparison=Comparison(prompts()),
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
