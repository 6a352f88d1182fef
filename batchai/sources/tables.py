"""Parquet and Excel files. Their packages are optional and imported when a file is opened."""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zipfile import BadZipFile

from batchai.errors import SourceError
from batchai.sources.csv_files import check_names, same_columns
from batchai.sources.files import DataFile
from batchai.sources.records import BadRow, Entry
from batchai.sources.values import plain

_BATCH_BYTES = 1 << 24
_BATCH_ROWS = 1000


@dataclass(frozen=True, slots=True)
class ParquetReader:
    """Rows in batches. Numbers and booleans stay; dates become ISO strings, decimals strings,
    bytes base64, NaN None (`values.plain`); nanoseconds are cut to microseconds."""

    name: str
    files: tuple[DataFile, ...]
    header: tuple[str, ...]
    reopens: bool = True

    def columns(self) -> tuple[str, ...]:
        return self.header

    def entries(self) -> Iterator[Entry]:
        for file in self.files:
            yield from _parquet_rows(file)


@dataclass(frozen=True, slots=True)
class XlsxReader:
    """The first sheet: a header row, then records; empty rows are passed over.

    Values are those that Excel stored (of a formula its last result). A date at midnight becomes
    `2026-03-01`, others `2026-03-01T14:30:00`. The file's shared strings are held in memory.
    """

    name: str
    files: tuple[DataFile, ...]
    header: tuple[str, ...]
    reopens: bool = True

    def columns(self) -> tuple[str, ...]:
        return self.header

    def entries(self) -> Iterator[Entry]:
        for file in self.files:
            yield from _xlsx_rows(file)


def open_parquet(name: str, files: tuple[DataFile, ...]) -> ParquetReader:
    """A reader over files with the same columns; raises SourceError."""
    headers = []
    for file in files:
        with _parquet_file(file) as parquet:
            headers.append(list(parquet.schema_arrow.names))
    return ParquetReader(name, files, _one_header(files, headers))


def open_xlsx(name: str, files: tuple[DataFile, ...]) -> XlsxReader:
    """A reader over workbooks with the same columns; raises SourceError."""
    headers = []
    for file in files:
        with closing(_sheet_rows(file)) as rows:
            headers.append(_xlsx_header(file, rows))
    return XlsxReader(name, files, _one_header(files, headers))


def _one_header(files: tuple[DataFile, ...], headers: list[list[str]]) -> tuple[str, ...]:
    for file, header in zip(files, headers, strict=True):
        check_names(file.place, header)
        same_columns(files[0].place, headers[0], file.place, header)
    return tuple(headers[0])


def _parquet_file(file: DataFile) -> Any:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise _missing(file, "parquet") from error
    try:
        return parquet.ParquetFile(file.path, buffer_size=1 << 20)
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{file.place}: is no readable Parquet file: {error}") from error


def _parquet_rows(file: DataFile) -> Iterator[Entry]:
    import pyarrow as pa

    number = 0
    with _parquet_file(file) as parquet:
        rows = _rows_a_batch(parquet.metadata)
        try:
            for batch in parquet.iter_batches(batch_size=rows):
                size = batch.nbytes // max(batch.num_rows, 1)
                for fields in _without_nanoseconds(batch).to_pylist():
                    number += 1
                    yield _plain_entry(f"{file.place}: row {number}", fields, size)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise SourceError(
                f"{file.place}: cannot be read after row {number}: {error}"
            ) from error


def _rows_a_batch(metadata: Any) -> int:
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    size: int = sum(group.total_byte_size for group in groups)
    average: int = size // max(metadata.num_rows, 1) + 1
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES // average))


def _without_nanoseconds(batch: Any) -> Any:
    """Python's datetime knows no nanoseconds, and pyarrow refuses to cut them by itself."""
    import pyarrow as pa

    fields = []
    for field in batch.schema:
        kind = field.type
        if pa.types.is_timestamp(kind) and kind.unit == "ns":
            kind = pa.timestamp("us", kind.tz)
        elif pa.types.is_time64(kind) and kind.unit == "ns":
            kind = pa.time64("us")
        elif pa.types.is_duration(kind) and kind.unit == "ns":
            kind = pa.duration("us")
        fields.append(field.with_type(kind))
    schema = pa.schema(fields)
    return batch if schema.equals(batch.schema) else batch.cast(schema, safe=False)


def _plain_entry(place: str, fields: dict[str, Any], size: int) -> Entry:
    try:
        return place, plain(fields), size
    except ValueError as error:
        return BadRow(place, str(error))


def _sheet_rows(file: DataFile) -> Generator[tuple[Any, ...]]:
    """Rows of values, from the first row of the sheet, empty ones too."""
    try:
        import openpyxl
        from openpyxl.utils.exceptions import InvalidFileException
    except ImportError as error:
        raise _missing(file, "xlsx") from error
    try:
        with file.path.open("rb") as stream:
            workbook = openpyxl.load_workbook(stream, read_only=True, data_only=True)
            try:
                sheet = workbook.worksheets[0]
                sheet.reset_dimensions()  # some programs write a wrong size, which cuts rows
                yield from sheet.iter_rows(values_only=True)
            finally:
                workbook.close()
    except (OSError, BadZipFile, KeyError, IndexError, ValueError, InvalidFileException) as error:
        raise SourceError(f"{file.place}: is no readable Excel workbook: {error}") from error


def _xlsx_header(file: DataFile, rows: Iterator[tuple[Any, ...]]) -> list[str]:
    header = next((_trimmed(row) for row in rows if _trimmed(row)), None)
    if header is None:
        raise SourceError(
            f"{file.place}: the first sheet is empty; it needs a header row and records"
        )
    if None in header:
        column = header.index(None) + 1
        raise SourceError(f"{file.place}: column {column} has no name in the header row; name it")
    return [str(_excel_value(value)) for value in header]


def _xlsx_rows(file: DataFile) -> Iterator[Entry]:
    number = 0

    def counted(rows: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        nonlocal number
        for row in rows:
            number += 1
            yield row

    with closing(_sheet_rows(file)) as sheet:
        rows = counted(sheet)
        header = _xlsx_header(file, rows)
        for row in rows:
            values = _trimmed(row)
            if values:
                yield _xlsx_entry(f"{file.place}: row {number}", header, values)


def _xlsx_entry(place: str, header: list[str], values: list[Any]) -> Entry:
    if len(values) > len(header):
        return BadRow(place, f"has {len(values)} cells, the header has {len(header)}")
    values = [_excel_value(value) for value in values] + [None] * (len(header) - len(values))
    size = sum(len(value) for value in values if isinstance(value, str))
    return _plain_entry(place, dict(zip(header, values, strict=True)), size)


def _trimmed(row: tuple[Any, ...]) -> list[Any]:
    values = list(row)
    while values and values[-1] is None:
        values.pop()
    return values


def _excel_value(value: Any) -> Any:
    """Excel has no dates without a time: midnight is what it shows as a date."""
    if isinstance(value, datetime) and not (value.hour or value.minute or value.second):
        return value.date()
    return value


def _missing(file: DataFile, extra: str) -> SourceError:
    return SourceError(f'{file.place}: reading it needs a package; pip install "batchai[{extra}]"')
