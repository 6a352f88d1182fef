"""Excel workbooks: one sheet, written row by row, the same bytes for the same results."""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from batchai.domain import ResultRow
from batchai.errors import ExportError
from batchai.exports.columns import Plan
from batchai.exports.values import json_text
from batchai.sources.values import clean_text

# Read when openpyxl is first imported: a full disk is an OSError only without lxml.
os.environ.setdefault("OPENPYXL_LXML", "False")

MAX_ROWS = 1_048_576
MAX_COLUMNS = 16_384
MAX_CELL = 32_767  # in UTF-16 code units, as Excel counts
CUT_MARK = "… [cut: longer than a cell of Excel holds]"
_DIGITS = 10**15  # Excel keeps 15 digits of a number
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_EPOCH = (1980, 1, 1, 0, 0, 0)


def write_xlsx(stream: BinaryIO, plan: Plan, rows: Iterator[ResultRow]) -> int:
    """Text is text, also where it begins like a formula. Returns how many cells were too long."""
    from openpyxl import Workbook
    from openpyxl.writer.excel import ExcelWriter

    if plan.rows >= MAX_ROWS or len(plan.columns) > MAX_COLUMNS:
        raise ExportError(
            f"a sheet of Excel holds {MAX_ROWS:,} rows and {MAX_COLUMNS:,} columns; "
            "name an output that ends in .csv or .parquet"
        )
    workbook = Workbook(write_only=True)
    workbook.properties.created = workbook.properties.modified = datetime(1980, 1, 1)  # noqa: DTZ001 (openpyxl takes naive ones)
    cells = _Cells(workbook.create_sheet("results"))
    cells.append(plan.columns)
    for row in rows:
        cells.append(plan.cells(row))
    with _TimelessZip(stream, "w", ZIP_DEFLATED) as archive:
        ExcelWriter(workbook, archive).save()
    return cells.cut


class _Cells:
    def __init__(self, sheet: Any) -> None:
        self.cut = 0
        self._sheet = sheet

    def append(self, values: Any) -> None:
        self._sheet.append([self._cell(value) for value in values])

    def _cell(self, value: Any) -> Any:
        from openpyxl.cell import WriteOnlyCell

        value, was_cut = _fitting(value)
        self.cut += was_cut
        if not (isinstance(value, str) and value.startswith(("=", "#"))):
            return value
        cell = WriteOnlyCell(self._sheet, value)
        cell.data_type = "s"  # not a formula, nor an error such as #N/A
        return cell


def sheet_cells(values: Sequence[Any]) -> list[Any]:
    """Values as a reader of the sheet gives them; None where a cell is empty."""
    cells = (_fitting(value)[0] for value in values)
    return [
        None if cell == "" else float(cell) if isinstance(cell, Decimal) else cell for cell in cells
    ]


def read_xlsx(path: Path) -> Iterator[list[Any]]:
    """The rows of the first sheet, a row at a time."""
    from openpyxl import load_workbook

    workbook = load_workbook(path, read_only=True)
    try:
        width = 0
        for row in workbook.worksheets[0].iter_rows(values_only=True):
            width = width or len(row)
            cells = [None if cell == "" else cell for cell in row]
            yield cells + [None] * (width - len(cells))
    finally:
        workbook.close()


def _fitting(value: Any) -> tuple[Any, bool]:
    """The value as a cell can hold it, and whether it had to be cut."""
    if isinstance(value, int) and abs(value) >= _DIGITS:
        value = str(value)
    if isinstance(value, dict | list):
        value = json_text(value)
    if not isinstance(value, str):
        return value, False
    # every reader of XML takes a carriage return for a line feed
    text = clean_text(value).replace("\r\n", "\n").replace("\r", "\n")
    text = _NOT_IN_XML.sub("\ufffd", text)
    if len(text) > MAX_CELL // 2 and _units(text) > MAX_CELL:
        return _cut(text), True
    return text, False


class _TimelessZip(ZipFile):
    """Members bear a fixed time instead of that of writing."""

    def writestr(self, zinfo_or_arcname: Any, data: Any, *_args: Any, **_kwargs: Any) -> None:
        with self.open(_member(zinfo_or_arcname), "w") as member:
            member.write(data.encode() if isinstance(data, str) else data)

    def write(self, filename: Any, arcname: Any = None, *_args: Any, **_kwargs: Any) -> None:
        name = _member(arcname or filename)
        with (
            Path(filename).open("rb") as source,
            self.open(name, "w", force_zip64=True) as member,
        ):
            shutil.copyfileobj(source, member)


def _member(name: Any) -> ZipInfo:
    member = ZipInfo(str(name), _EPOCH)
    member.compress_type = ZIP_DEFLATED
    return member


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _cut(text: str) -> str:
    room = (MAX_CELL - len(CUT_MARK)) * 2
    return text.encode("utf-16-le")[:room].decode("utf-16-le", "ignore") + CUT_MARK
