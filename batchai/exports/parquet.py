"""Parquet, in row groups of bounded size."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from batchai.domain import ResultRow
from batchai.errors import ExportError
from batchai.exports.columns import Plan
from batchai.exports.values import json_text
from batchai.sources.values import clean_text

_GROUP_ROWS = 10_000
_GROUP_CHARS = 1 << 25


def write_parquet(stream: BinaryIO, plan: Plan, rows: Iterator[ResultRow]) -> int:
    """A column has the one type of its values; values of several types, and maps, are JSON text."""
    import pyarrow as pa
    from pyarrow import parquet

    names = [clean_text(name) for name in plan.columns]
    schema = pa.schema(list(zip(names, map(_arrow_type, plan.kinds), strict=True)))
    with parquet.ParquetWriter(stream, schema, compression="zstd") as writer:
        for group in _groups(plan, rows):
            columns = [
                [_value(kind, value) for value in values]
                for kind, values in zip(plan.kinds, zip(*group, strict=True), strict=True)
            ]
            try:
                table = pa.table(dict(zip(names, columns, strict=True)), schema=schema)
            except (pa.ArrowException, TypeError, ValueError) as error:
                raise ExportError(f"results changed while they were exported: {error}") from error
            writer.write_table(table)
    return 0


def parquet_record(plan: Plan, row: ResultRow) -> dict[str, Any]:
    """The row as it stands in the file."""
    cells = zip(plan.columns, plan.kinds, plan.cells(row), strict=True)
    return {clean_text(name): _value(kind, value) for name, kind, value in cells}


def read_parquet(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file, a group at a time."""
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(_GROUP_ROWS):
            yield from batch.to_pylist()


def _groups(plan: Plan, rows: Iterator[ResultRow]) -> Iterator[list[list[Any]]]:
    group: list[list[Any]] = []
    chars = 0
    for row in rows:
        cells = plan.cells(row)
        group.append(cells)
        chars += sum(len(cell) for cell in cells if isinstance(cell, str))
        if len(group) >= _GROUP_ROWS or chars >= _GROUP_CHARS:
            yield group
            group, chars = [], 0
    if group:
        yield group


def _value(kind: str, value: Any) -> Any:
    if value is None:
        return None
    match kind:
        case "json":
            return json_text(value)
        case "str":
            return clean_text(value)
        case "[str]":
            return [clean_text(item) for item in value]
        case "float":
            return float(value)
        case "[float]":
            return [float(item) for item in value]
        case _:
            return value


def _arrow_type(kind: str) -> Any:
    import pyarrow as pa

    if kind.startswith("["):
        return pa.list_(_arrow_type(kind[1:-1]))
    scalars = {
        "bool": pa.bool_(),
        "int": pa.int64(),
        "long": pa.int64(),
        "float": pa.float64(),
        "decimal": pa.decimal128(38, 12),
    }
    return scalars.get(kind, pa.string())
