"""CSV, TSV, JSONL and JSON, row by row, in UTF-8."""

import csv
import io
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, BinaryIO

from batchai.domain import ResultRow
from batchai.exports.columns import Plan
from batchai.exports.values import json_bytes, json_text, money_text
from batchai.sources.values import clean_text

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # OWASP, "CSV Injection"


def write_csv(stream: BinaryIO, plan: Plan, rows: Iterator[ResultRow]) -> int:
    """Comma-separated; a line ends in a newline only."""
    return _write_separated(stream, plan, rows, ",")


def write_tsv(stream: BinaryIO, plan: Plan, rows: Iterator[ResultRow]) -> int:
    """The same with tabs."""
    return _write_separated(stream, plan, rows, "\t")


def write_jsonl(stream: BinaryIO, plan: Plan, rows: Iterator[ResultRow]) -> int:
    """One object a line, values as they are."""
    for row in rows:
        stream.write(json_bytes(plan.record(row)) + b"\n")
    return 0


def write_json(stream: BinaryIO, plan: Plan, rows: Iterator[ResultRow]) -> int:
    """One array, an element a line."""
    mark = b"[\n"
    for row in rows:
        stream.write(mark + json_bytes(plan.record(row)))
        mark = b",\n"
    stream.write(b"[]\n" if mark == b"[\n" else b"\n]\n")
    return 0


def separated_cells(plan: Plan, row: ResultRow, guarded: tuple[int, ...]) -> list[Any]:
    """The row's cells as text or numbers. guarded: which of them a model wrote."""
    cells = [
        value if type(value) is str and value.isascii() else _cell(value)
        for value in plan.cells(row)
    ]
    for index in guarded:
        cells[index] = _harmless(cells[index])
    return cells


class _Lines:
    """Takes the writer's lines and ends them in a newline only.

    The writer itself must believe in CR LF: it quotes those characters in a cell only if they
    are part of its line end.
    """

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text

    def write(self, line: str) -> None:
        self._text.write(line[:-2] + "\n")


def _write_separated(
    stream: BinaryIO, plan: Plan, rows: Iterator[ResultRow], separator: str
) -> int:
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
    try:
        writer = csv.writer(_Lines(text), delimiter=separator, lineterminator="\r\n")
        writer.writerow([clean_text(name) for name in plan.columns])
        guarded = plan.written_by_model
        for row in rows:
            writer.writerow(separated_cells(plan, row, guarded))
        text.flush()
    finally:
        text.detach()
    return 0


def _cell(value: Any) -> Any:
    match value:
        case str():
            return clean_text(value)
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Decimal():
            return money_text(value)
        case dict() | list():
            return json_text(value)
        case _:
            return value


def _harmless(cell: Any) -> Any:
    """Text that a spreadsheet would run as a formula begins with an apostrophe; numbers stay."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
