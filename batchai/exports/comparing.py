"""Whether a result file says what the store says: read again and compared row by row."""

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from batchai.domain import ResultRow
from batchai.errors import ExportError, StoreError
from batchai.exports.columns import Plan, plan_columns
from batchai.exports.parquet import parquet_record, read_parquet
from batchai.exports.text_files import separated_cells
from batchai.exports.values import json_bytes
from batchai.exports.writing import Rows, kept_rows
from batchai.exports.xlsx import read_xlsx, sheet_cells
from batchai.sources.values import clean_text
from batchai.spec.models import Output

_MOST_EXAMPLES = 10
_MOST_CHARS = 2**31 - 1

Line = dict[str, Any] | list[Any]  # by column, or in the order of the columns
Read = Callable[[Path], Iterator[Line]]
Expect = Callable[[Plan, Iterator[ResultRow]], Iterator[tuple[str, Line]]]  # with the item's key


@dataclass(frozen=True, slots=True)
class Comparison:
    """A result file beside the store: rows of the store, lines that differ, the first in words."""

    rows: int
    different: int
    examples: tuple[str, ...]


def compare_export(
    rows: Rows, path: Path, *, output: Output, result_fields: tuple[str, ...]
) -> Comparison:
    """Compare the file with what an export would write now; streamed.

    Arguments as of `write_export`. Raises ExportError where file or rows cannot be read.
    """
    kept = kept_rows(rows, drop_failed=output.failed == "drop")
    is_parquet = path.suffix.lower() == ".parquet"
    try:
        plan = plan_columns(kept(), result_fields, lineage=output.lineage, kinds=is_parquet)
        return _compared(path, plan, kept())
    except StoreError:
        raise
    except Exception as error:  # of any library, by what stands in a damaged file
        raise ExportError(f"{path}: cannot be compared ({error!r})") from error


def _compared(path: Path, plan: Plan, rows: Iterator[ResultRow]) -> Comparison:
    read, expect = _FORMATS[path.suffix.lower()]
    names = [clean_text(name) for name in plan.columns]
    different = 0
    examples: list[str] = []
    for number, (found, expected) in enumerate(zip_longest(read(path), expect(plan, rows)), 1):
        problem = _difference(found, expected, names)
        if problem is not None:
            different += 1
            if len(examples) < _MOST_EXAMPLES:
                examples.append(f"line {number:,}{problem}")
    return Comparison(plan.rows, different, tuple(examples))


def _difference(
    found: Line | None, expected: tuple[str, Line] | None, names: list[str]
) -> str | None:
    if expected is None:
        return " is in the file, but not in the store"
    key, line = expected
    if found == line:
        return None
    place = f" ({key})" if key else ""
    if found is None:
        return f"{place} is in the store, but not in the file"
    here, there = _by_column(found, names), _by_column(line, names)
    for name in [*there, *(here.keys() - there.keys())]:
        if here.get(name) != there.get(name):
            return f"{place}: {name} is {_shown(here, name)}, in the store {_shown(there, name)}"
    return f"{place} has other columns than the store"


def _by_column(line: Line, names: list[str]) -> dict[str, Any]:
    if isinstance(line, dict):
        return line
    names = [*names, *(f"column {n + 1}" for n in range(len(names), len(line)))]
    return dict(zip(names, line, strict=False))


def _shown(line: dict[str, Any], name: str) -> str:
    if name not in line:
        return "missing"
    text = repr(line[name])
    return text if len(text) <= 60 else f"{text[:59]}…"


def _separated(separator: str) -> Read:
    def read(path: Path) -> Iterator[Line]:
        csv.field_size_limit(_MOST_CHARS)
        with path.open(newline="", encoding="utf-8") as stream:
            yield from csv.reader(stream, delimiter=separator)

    return read


def _read_lines(path: Path) -> Iterator[Line]:
    with path.open("rb") as stream:
        for line in stream:
            yield json.loads(line)


def _read_array(path: Path) -> Iterator[Line]:
    """As we write it: an element a line, the brackets on lines of their own."""
    with path.open("rb") as stream:
        for line in stream:
            if line.strip() not in (b"[", b"]", b"[]"):
                yield json.loads(line.rstrip(b",\n"))


def _expect_cells(plan: Plan, rows: Iterator[ResultRow]) -> Iterator[tuple[str, Line]]:
    yield "columns", [clean_text(name) for name in plan.columns]
    guarded = plan.written_by_model
    for row in rows:
        yield row.key, [str(cell) for cell in separated_cells(plan, row, guarded)]


def _expect_objects(plan: Plan, rows: Iterator[ResultRow]) -> Iterator[tuple[str, Line]]:
    for row in rows:
        yield row.key, json.loads(json_bytes(plan.record(row)))


def _expect_records(plan: Plan, rows: Iterator[ResultRow]) -> Iterator[tuple[str, Line]]:
    for row in rows:
        yield row.key, parquet_record(plan, row)


def _expect_sheet(plan: Plan, rows: Iterator[ResultRow]) -> Iterator[tuple[str, Line]]:
    yield "columns", sheet_cells(plan.columns)
    for row in rows:
        yield row.key, sheet_cells(plan.cells(row))


_FORMATS: dict[str, tuple[Read, Expect]] = {
    ".csv": (_separated(","), _expect_cells),
    ".tsv": (_separated("\t"), _expect_cells),
    ".jsonl": (_read_lines, _expect_objects),
    ".ndjson": (_read_lines, _expect_objects),
    ".json": (_read_array, _expect_objects),
    ".parquet": (read_parquet, _expect_records),
    ".xlsx": (read_xlsx, _expect_sheet),
}
