import decimal
import sys
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import pytest

from batchai.errors import SourceError
from batchai.sources import open_source
from batchai.spec.models import Input
from tests.sources.reading import bad, fields, read, write

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
openpyxl = pytest.importorskip("openpyxl")


def parquet(path: Path, columns: dict[str, Any]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def workbook(path: Path, rows: list[list[Any]]) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)
    book.close()
    return path


def test_parquet_values_keep_their_types_and_others_become_text(tmp_path: Path) -> None:
    path = parquet(
        tmp_path / "a.parquet",
        {
            "n": [2**53 + 1],
            "x": [float("nan")],
            "yes": [True],
            "none": pa.array([None], pa.string()),
            "day": [date(2026, 3, 1)],
            "at": pa.array([1_700_000_000_123_456_789], pa.timestamp("ns", "UTC")),
            "clock": [time(12, 30)],
            "price": [decimal.Decimal("1.50")],
            "raw": [b"\x00\xff"],
            "tags": [["a", "b"]],
            "nested": [{"k": date(2026, 3, 1)}],
        },
    )

    assert fields(path) == [
        {
            "n": 2**53 + 1,
            "x": None,
            "yes": True,
            "none": None,
            "day": "2026-03-01",
            "at": "2023-11-14T22:13:20.123456+00:00",
            "clock": "12:30:00",
            "price": "1.50",
            "raw": "AP8=",
            "tags": ["a", "b"],
            "nested": {"k": "2026-03-01"},
        }
    ]


def test_an_infinite_number_is_a_bad_row(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", {"x": [1.0, float("inf")]})

    (row,) = bad(path)

    assert row.place == f"{path}: row 2"


def test_parquet_files_with_other_columns_are_refused(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", {"a": [1]})
    parquet(tmp_path / "b.parquet", {"b": [1]})

    with pytest.raises(SourceError, match="has other columns"):
        read(tmp_path / "*.parquet")


def test_workbook_rows_are_read_below_the_header_row(tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "a.xlsx",
        [
            [],
            ["id", "text", "when", "n", "yes"],
            ["007", "=a", datetime(2026, 3, 1), 1.5, True],  # noqa: DTZ001 (Excel has naive ones)
            [],
            [8, None, datetime(2026, 3, 1, 14, 30)],  # noqa: DTZ001
        ],
    )

    entries = read(path)

    assert [entry.place for entry in entries] == [f"{path}: row 3", f"{path}: row 5"]
    assert fields(path)[1] == {
        "id": 8,
        "text": None,
        "when": "2026-03-01T14:30:00",
        "n": None,
        "yes": None,
    }
    assert fields(path)[0]["when"] == "2026-03-01"
    assert fields(path)[0]["id"] == "007"


def test_a_cell_beyond_the_header_is_a_bad_row(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", [["id"], [1], [2, "note"]])

    assert [row.place for row in bad(path)] == [f"{path}: row 3"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "the first sheet is empty"),
        ([["id", "text"]], "holds no records"),
        ([["id", None, "text"], [1, 2, 3]], "column 2 has no name"),
        ([["id", "id"], [1, 2]], "more than one column is named 'id'"),
    ],
)
def test_a_workbook_without_a_usable_header_is_refused(
    tmp_path: Path, rows: list[list[Any]], message: str
) -> None:
    path = workbook(tmp_path / "a.xlsx", rows)

    with pytest.raises(SourceError, match=message):
        read(path)


@pytest.mark.parametrize("name", ["a.parquet", "a.xlsx"])
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, "id,text\n1,a\n")

    with pytest.raises(SourceError, match="is no readable"):
        read(path)


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [("a.parquet", "pyarrow", "parquet"), ("a.xlsx", "openpyxl", "xlsx")],
)
def test_a_missing_package_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str, extra: str
) -> None:
    path = write(tmp_path / name, "x")
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(SourceError, match=rf'pip install "batchai\[{extra}\]"'):
        read(path)


def test_columns_come_from_the_header(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", {"b": [1], "a": [datetime.now(UTC)]})

    assert open_source(Input(path=str(path))).columns() == ("b", "a")
