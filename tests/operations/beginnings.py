"""Data files of every kind, with columns that are hard to name, and what `init` makes of them."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from batchai.operations.check import check
from batchai.operations.init import InitResult
from batchai.spec import load_job
from batchai.spec.models import Job

KEY = "sk-ant-api03-" + "x" * 24
ODD_ROWS = [
    {
        "Customer Name": name,
        "größe": "12",
        'a "quoted" \\ one': "x",
        "{{ braces }} {% and %} #": "y",
        "if": "z",
        "items": "w",
        "_private": "v",
        "order-id": f"O-{number}",
        "全文": f"A long text about a thing, number {number}, to be the longest of all columns",
    }
    for number, name in enumerate(["Ann", "Björn", "Chloé"])
]

Rows = Sequence[Mapping[str, Any]]


def write_csv(path: Path, rows: Rows, separator: str = ",") -> None:
    cells = [list(rows[0]), *(row.values() for row in rows)]
    lines = (separator.join('"' + str(c).replace('"', '""') + '"' for c in line) for line in cells)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_tsv(path: Path, rows: Rows) -> None:
    write_csv(path, rows, "\t")


def write_jsonl(path: Path, rows: Rows) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_json(path: Path, rows: Rows) -> None:
    path.write_text(json.dumps(rows), encoding="utf-8")


def write_parquet(path: Path, rows: Rows) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), path)


def write_xlsx(path: Path, rows: Rows) -> None:
    book = pytest.importorskip("openpyxl").Workbook()
    for cells in [list(rows[0]), *(list(row.values()) for row in rows)]:
        book.active.append(cells)
    book.save(path)
    book.close()


def write_documents(path: Path, rows: Rows) -> None:
    path.mkdir()
    for number, row in enumerate(rows):
        (path / f"{number} – ä.txt").write_text(str(row), encoding="utf-8")


WRITERS: dict[str, Callable[[Path, Rows], None]] = {
    "data.csv": write_csv,
    "data.tsv": write_tsv,
    "data.jsonl": write_jsonl,
    "data.json": write_json,
    "data.parquet": write_parquet,
    "data.xlsx": write_xlsx,
    "documents": write_documents,
}


def ready(result: InitResult) -> Job:
    """The written job, in which `check --all` finds nothing."""
    job = load_job(result.path)
    assert list(check(job, every_item=True)) == []
    return job


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def last_line(result: InitResult) -> str:
    return result.text.splitlines()[-1]
