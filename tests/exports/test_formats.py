import json
import sys
import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchai.domain import ResultRow
from batchai.errors import ExportError
from batchai.exports import check_export, write_export
from batchai.exports.kinds import kind_of, merged
from batchai.exports.xlsx import CUT_MARK, MAX_CELL, MAX_ROWS
from batchai.sources import Record, open_source
from batchai.spec.models import Input, Output
from tests.exports.rows import export, row

SUFFIXES = ["csv", "tsv", "jsonl", "json", "parquet", "xlsx"]
TEXT = st.text(st.characters(exclude_characters="\0"), max_size=10)
CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=10)
VALUE = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
ANY = st.recursive(
    VALUE | CELL,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(CELL, inner, max_size=3),
    max_leaves=6,
)


def read(path: Path) -> list[dict[str, Any]]:
    source = open_source(Input(path=str(path)))
    return [entry.fields for entry in source.records() if isinstance(entry, Record)]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_results_give_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    rows = [row("1", {"id": 1, "t": "ü"}, {"a": "x", "b": [1], "c": {"d": None}})] * 3

    export(tmp_path / f"a.{suffix}", *rows)
    export(tmp_path / f"b.{suffix}", *rows)

    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_only_text_that_a_model_wrote_is_kept_from_being_a_formula(
    tmp_path: Path, suffix: str, start: str
) -> None:
    path = tmp_path / f"out.{suffix}"

    export(path, row("1", {"in": f"{start}1"}, {"text": f"{start}1", "number": -5}))

    (found,) = read(path)
    assert (found["in"], found["text"], found["number"]) == (f"{start}1", f"'{start}1", "-5")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_characters_that_a_format_cannot_hold_are_replaced(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out.{suffix}"

    export(path, row("1", {"id": "1"}, {"a": "x\ud800y", "b": ["\udfff"], "c": 10**40}))

    (found,) = read(path)
    assert found["a"] == "x\ufffdy"
    assert found["b"] in (["\ufffd"], '["\ufffd"]')
    assert found["c"] in (10**40, str(10**40))


def test_parquet_columns_have_the_type_of_their_values(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "out.parquet"
    results: list[dict[str, Any]] = [
        {"n": 1, "x": 1, "yes": True, "tags": ["a"], "mixed": 1, "map": {"a": 1}, "big": 2**60},
        {"n": 2, "x": 0.5, "yes": None, "tags": [], "mixed": "1", "map": None, "big": 1},
    ]

    export(path, *(row(str(n), {"id": "007"}, r) for n, r in enumerate(results)))

    schema = parquet.read_schema(path)
    assert {name: str(schema.field(name).type) for name in schema.names[:8]} == {
        "id": "string",
        "n": "int64",
        "x": "double",
        "yes": "bool",
        "tags": "list<element: string>",
        "mixed": "string",
        "map": "string",
        "big": "int64",
    }
    assert [found["mixed"] for found in read(path)] == ["1", '"1"']
    assert read(path)[0]["map"] == '{"a":1}'
    assert read(path)[0]["big"] == 2**60


def test_results_that_change_between_the_passes_are_an_error(tmp_path: Path) -> None:
    results = iter([1, "text"])

    def rows() -> Iterator[ResultRow]:
        yield row("1", {"id": 1}, {"n": next(results)})

    with pytest.raises(ExportError, match="results changed while they were exported"):
        write_export(rows, path=tmp_path / "o.parquet", output=Output(), result_fields=("n",))
    assert list(tmp_path.iterdir()) == []


@given(st.lists(ANY, min_size=1, max_size=5))
def test_the_kind_of_a_column_does_not_depend_on_the_order_of_its_values(values: list[Any]) -> None:
    def kind(ordered: list[Any]) -> str:
        found = "null"
        for value in ordered:
            found = merged(found, kind_of(value))
        return found

    assert kind(values) == kind(values[::-1]) == kind(sorted(values, key=repr))


@settings(max_examples=25)
@given(st.lists(st.tuples(ANY, ANY), min_size=1, max_size=4))
def test_every_value_can_stand_in_a_parquet_file(pairs: list[tuple[Any, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.parquet"
        export(path, *(row(str(n), {"i": a}, {"r": b}) for n, (a, b) in enumerate(pairs)))
        found = read(path)

    for (_, result), fields in zip(pairs, found, strict=True):
        value = fields["r"]
        assert value == result or json.loads(value) == result


def test_a_text_in_a_workbook_is_text_also_when_it_looks_like_a_formula(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    path = tmp_path / "out.xlsx"

    export(
        path, row("1", {"in": "=1+1"}, {"a": "=cmd|'x'", "b": "#N/A", "c": "a\x07b", "d": 10**15})
    )

    sheet = openpyxl.load_workbook(path).active
    assert [(cell.value, cell.data_type) for cell in sheet[2]][:5] == [
        ("=1+1", "s"), ("=cmd|'x'", "s"), ("#N/A", "s"), ("a\ufffdb", "s"), (str(10**15), "s"),
    ]  # fmt: skip


def test_a_text_longer_than_a_cell_of_excel_is_cut_marked_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "out.xlsx"
    fits, too_long = "x" * MAX_CELL, "😀" * (MAX_CELL // 2 + 1)

    summary = export(path, row("1", {"in": fits}, {"a": too_long}))

    (found,) = read(path)
    assert found["in"] == fits
    assert found["a"].startswith("😀😀")
    assert found["a"].endswith(CUT_MARK)
    assert len(found["a"].encode("utf-16-le")) // 2 <= MAX_CELL
    assert summary.cut_cells == 1


def test_more_rows_than_a_sheet_holds_are_refused_before_writing(tmp_path: Path) -> None:
    one = row("1", {"id": 1}, "x")

    def many() -> Iterator[ResultRow]:
        return (one for _ in range(MAX_ROWS))

    with pytest.raises(
        ExportError, match=r"a sheet of Excel holds 1,048,576 rows.*\.csv or \.parquet"
    ):
        write_export(many, path=tmp_path / "o.xlsx", output=Output(), result_fields=())
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=25)
@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=5), st.sampled_from(["csv", "tsv"]))
def test_texts_survive_a_round_trip_through_csv(rows: list[tuple[str, str]], suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x.{suffix}"
        export(path, *(row(str(n), {"in": a}, {"out": b}) for n, (a, b) in enumerate(rows)))
        found = read(path)

    assert [fields["in"] for fields in found] == [a for a, _ in rows]
    for (_, text), fields in zip(rows, found, strict=True):
        assert fields["out"] in (text, f"'{text}")


@settings(max_examples=25)
@given(st.lists(st.tuples(ANY, ANY), min_size=1, max_size=5), st.sampled_from(["jsonl", "json"]))
def test_values_survive_a_round_trip_through_json(rows: list[tuple[Any, Any]], suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x.{suffix}"
        export(path, *(row(str(n), {"in": a}, {"out": b}) for n, (a, b) in enumerate(rows)))
        found = read(path)

    assert [(fields["in"], fields["out"]) for fields in found] == rows


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_memory_does_not_grow_with_the_results(tmp_path: Path, suffix: str) -> None:
    count = 1000
    text = "some words of an answer " * 200  # 4.8 kB, so that 1,000 of them are 4.8 MB

    def rows() -> Iterator[ResultRow]:
        return (row(str(n), {"id": n}, {"text": f"{n} {text}"}) for n in range(count))

    export(tmp_path / f"warm.{suffix}", row("1", {"id": 1}, {"text": "x"}))
    tracemalloc.start()
    write_export(rows, path=tmp_path / f"out.{suffix}", output=Output(), result_fields=("text",))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < (10_000_000 if suffix == "parquet" else 2_000_000)


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [("a.parquet", "pyarrow", "parquet"), ("a.xlsx", "openpyxl", "xlsx")],
)
def test_a_missing_package_is_named_with_its_extra_before_anything_is_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(ExportError, match=rf'pip install "batchai\[{extra}\]"'):
        check_export(tmp_path / name)


def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"out\.doc.*use one of \.csv, \.tsv"):
        check_export(tmp_path / "out.doc")
