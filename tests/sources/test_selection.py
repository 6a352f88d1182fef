import json
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchai.errors import TemplateError
from batchai.sources import BadRow, Record, Source, open_items, open_source
from batchai.sources.source import CHUNK_BYTES
from batchai.spec.models import Input, Sample
from tests.sources.reading import bad, fields, write


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    return write(tmp_path / "a.jsonl", "".join(f'{{"n": {n}}}\n' for n in range(2000)))


def picked(path: Path, **options: object) -> list[int]:
    return [row["n"] for row in fields(path, **options)]


def test_where_selects_by_item_and_vars(numbers: Path) -> None:
    spec = Input(path=str(numbers), where="item.n < vars.top")

    entries = list(open_source(spec, {"top": 3}).records())

    assert [(entry.number, entry.place) for entry in entries if isinstance(entry, Record)] == [
        (0, f"{numbers}:1"),
        (1, f"{numbers}:2"),
        (2, f"{numbers}:3"),
    ]


def test_a_row_for_which_where_fails_is_bad(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"n": 1}\n{"m": 2}\n')

    (row,) = bad(path, where="item.n == 1")

    assert row.place == f"{path}:2"
    assert "input.where" in row.problem


def test_a_where_that_does_not_compile_is_an_error_at_once(numbers: Path) -> None:
    with pytest.raises(TemplateError, match=r"input\.where"):
        open_source(Input(path=str(numbers), where="item.n ="))


def test_limit_takes_the_first_after_where_and_sample(numbers: Path) -> None:
    sample = picked(numbers, where="item.n % 2 == 0", sample=Sample(n=50, seed=1))

    assert picked(numbers, limit=3) == [0, 1, 2]
    assert picked(numbers, where="item.n > 5", limit=2) == [6, 7]
    assert (
        picked(numbers, limit=5, where="item.n % 2 == 0", sample=Sample(n=50, seed=1)) == sample[:5]
    )


def test_a_sample_is_the_same_each_time_and_in_input_order(numbers: Path) -> None:
    first = picked(numbers, sample=Sample(n=100, seed=7))

    assert first == sorted(set(first))
    assert len(first) == 100
    assert picked(numbers, sample=Sample(n=100, seed=7)) == first
    assert picked(numbers, sample=Sample(n=100, seed=8)) != first
    assert picked(numbers, sample=Sample(n=5000)) == list(range(2000))


def test_a_larger_sample_holds_every_smaller_one(numbers: Path) -> None:
    sizes = [set(picked(numbers, sample=Sample(n=n, seed=7))) for n in (10, 50, 51, 400)]

    assert all(small < large for small, large in pairwise(sizes))


def test_a_sample_gives_every_record_the_same_chance() -> None:
    items = [{"n": n} for n in range(10)]
    counts: Counter[int] = Counter()

    for seed in range(2000):
        for entry in open_items(items, Input(sample=Sample(n=3, seed=seed))).records():
            assert isinstance(entry, Record)
            counts[entry.fields["n"]] += 1

    assert all(abs(counts[n] - 600) < 100 for n in range(10))  # five standard deviations


def test_a_sample_of_grown_data_keeps_most_of_the_old_one() -> None:
    def sample(size: int) -> set[int]:
        source = open_items(({"n": n} for n in range(size)), Input(sample=Sample(n=100)))
        return {entry.fields["n"] for entry in source.records() if isinstance(entry, Record)}

    assert len(sample(1000) & sample(1100)) > 75


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 7), st.integers(0, 45))
def test_chunks_with_skip_are_the_rest_of_the_records(
    good: list[bool], size: int, skip: int
) -> None:
    items = [{"n": n} if ok else {"n": float("inf")} for n, ok in enumerate(good)]
    source = open_items(items, Input())
    everything = list(source.records())

    chunks = list(source.chunks(size, skip=skip))

    flat = [entry for chunk in chunks for entry in chunk]
    assert all(0 < len(chunk) <= size for chunk in chunks)
    records = [entry for entry in everything if isinstance(entry, Record)]
    assert [entry for entry in flat if isinstance(entry, Record)] == records[skip:]
    assert flat == everything[len(everything) - len(flat) :]


def test_chunks_of_large_records_end_early(tmp_path: Path) -> None:
    size = CHUNK_BYTES // 4
    items = write(tmp_path / "a.jsonl", f'{{"text": "{"x" * size}"}}\n' * 10)

    assert max(len(chunk) for chunk in open_source(Input(path=str(items))).chunks()) <= 4


def test_items_in_memory_are_made_plain_and_an_iterator_is_read_once() -> None:
    source = open_items(iter([{"a": 1}, 7, {"b": (1, float("nan"))}]), Input())  # type: ignore[arg-type]

    assert source.columns() == ("a", "b")
    assert list(source.records()) == [
        Record(0, {"a": 1}, "item 1"),
        BadRow("item 2", "is a int, not a mapping with named fields"),
        Record(1, {"b": [1, None]}, "item 3"),
    ]


def test_head_gives_the_first_and_leaves_the_stream_whole(numbers: Path) -> None:
    source = open_source(Input(path=str(numbers)))

    assert [entry.place for entry in source.head(2)] == [f"{numbers}:1", f"{numbers}:2"]
    assert sum(1 for _ in source.records()) == 2000


def test_the_first_records_come_without_reading_the_whole_input() -> None:
    read = 0

    def endless() -> Iterator[dict[str, int]]:
        nonlocal read
        while True:
            read += 1
            yield {"n": read}

    source: Source = open_items(endless(), Input())

    assert len(list(islice(source.records(), 1000))) == 1000
    assert read <= 1001


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "json"])
def test_memory_does_not_grow_with_the_input(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a.{suffix}", _content(suffix, rows=15_000))
    source = open_source(Input(path=str(path)))
    count = 0

    tracemalloc.start()
    for chunk in source.chunks(100):
        count += len(chunk)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert count == 15_000
    assert peak < 3_000_000 < path.stat().st_size


def _content(suffix: str, rows: int) -> str:
    text = "some words of a customer " * 11
    if suffix == "csv":
        return "id,text\n" + "".join(f"{n},{text}\n" for n in range(rows))
    records = [json.dumps({"id": n, "text": text}) for n in range(rows)]
    return "\n".join(records) if suffix == "jsonl" else f"[{','.join(records)}]"
