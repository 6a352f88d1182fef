"""CSV and TSV: one header line, values stay the strings that they are."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from io import TextIOWrapper
from typing import Any

from batchai.errors import SourceError
from batchai.sources.files import MAX_RECORD_BYTES, DataFile
from batchai.sources.records import BadRow, Entry
from batchai.sources.text import open_text, undecodable

MAX_FIELD_CHARS = MAX_RECORD_BYTES
_HEADER_CHARS = 1 << 20


@dataclass(frozen=True, slots=True)
class CsvReader:
    """Quoted fields may hold newlines; a line with another number of fields is a bad row.

    A `.csv` whose header has semicolons or tabs and no comma is separated by those.
    """

    name: str
    files: tuple[DataFile, ...]
    encoding: str
    delimiter: str
    header: tuple[str, ...]
    reopens: bool = True

    def columns(self) -> tuple[str, ...]:
        return self.header

    def entries(self) -> Iterator[Entry]:
        for file in self.files:
            try:
                yield from self._rows(file)
            except UnicodeError as error:
                raise _not_decodable(file, self.encoding, error) from error

    def _rows(self, file: DataFile) -> Iterator[Entry]:
        with open_text(file, self.encoding) as stream:
            reader, header = _open(file, stream, self.delimiter)
            width, prefix, line = len(header), f"{file.place}:", 0
            while True:
                line = reader.line_num + 1
                try:
                    row = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield BadRow(f"{prefix}{line}", _csv_problem(error))
                    continue
                text = "".join(row)
                if len(row) == width and text.isascii():
                    yield f"{prefix}{line}", dict(zip(header, row, strict=True)), len(text)
                elif row:
                    yield self._unusual(f"{prefix}{line}", header, row)

    def _unusual(self, place: str, header: list[str], row: list[str]) -> Entry:
        text = "".join(row)
        problem = undecodable(text, self.encoding)
        if problem is None and len(row) != len(header):
            problem = (
                f"has {len(row)} fields, the header has {len(header)}; check quotes and separators"
            )
        if problem is not None:
            return BadRow(place, problem)
        return place, dict(zip(header, row, strict=True)), len(text)


def open_csv(name: str, files: tuple[DataFile, ...], encoding: str, *, tabs: bool) -> CsvReader:
    """A reader over one or more files with the same columns; raises SourceError."""
    # Raised for the whole process (the module has no other way) and never lowered: nothing that
    # another user of csv could read before becomes unreadable.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_FIELD_CHARS))
    filled = tuple(file for file in files if file.size)
    if not filled:
        raise SourceError(f"{name}: is empty; it needs a header line and at least one record")
    delimiter = "\t" if tabs else _delimiter(filled[0], encoding)
    headers = [_header(file, encoding, delimiter) for file in filled]
    for file, header in zip(filled, headers, strict=True):
        same_columns(filled[0].place, headers[0], file.place, header)
    return CsvReader(name, filled, encoding, delimiter, tuple(headers[0]))


def same_columns(first: str, expected: list[str], other: str, columns: list[str]) -> None:
    """Raise SourceError unless both name the same columns, in whatever order."""
    if set(expected) == set(columns):
        return
    missing = [name for name in expected if name not in columns]
    extra = [name for name in columns if name not in expected]
    problems = [f"lacks {missing}"] if missing else []
    problems += [f"adds {extra}"] if extra else []
    raise SourceError(
        f"{other}: has other columns than {first} ({', '.join(problems)}); "
        "make the headers equal, or use a job per kind of file"
    )


def check_names(place: str, names: list[str]) -> None:
    """Raise SourceError where two columns have the same name."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        named = ", ".join(repr(name) for name in twice)
        raise SourceError(f"{place}: more than one column is named {named}; rename all but one")


def _header(file: DataFile, encoding: str, delimiter: str) -> list[str]:
    try:
        with open_text(file, encoding) as stream:
            header = _open(file, stream, delimiter)[1]
    except UnicodeError as error:
        raise _not_decodable(file, encoding, error) from error
    problem = undecodable("".join(header), encoding)
    if problem:
        raise SourceError(f"{file.place}:1: {problem}")
    check_names(f"{file.place}:1", header)
    return header


def _open(file: DataFile, stream: TextIOWrapper, delimiter: str) -> tuple[Any, list[str]]:
    reader = csv.reader(stream, delimiter=delimiter, strict=True)
    try:
        header = next((row for row in reader if row), None)
    except csv.Error as error:
        raise SourceError(f"{file.place}:1: the header: {_csv_problem(error)}") from error
    if header is None:
        raise SourceError(f"{file.place}: is empty; it needs a header line and at least one record")
    return reader, header


def _delimiter(file: DataFile, encoding: str) -> str:
    try:
        with open_text(file, encoding) as stream:
            line = stream.read(_HEADER_CHARS).lstrip("\r\n").partition("\n")[0]
    except UnicodeError as error:
        raise _not_decodable(file, encoding, error) from error
    return next((mark for mark in ",;\t" if mark in line), ",")


def _csv_problem(error: csv.Error) -> str:
    message = str(error)
    if "unexpected end of data" in message or "field larger" in message:
        return "a quote that opens here is never closed; close it, or double quotes within a field"
    if "expected after" in message:
        return "text follows a closing quote; write a quote within a field twice"
    return message


def _not_decodable(file: DataFile, encoding: str, error: UnicodeError) -> SourceError:
    return SourceError(
        f"{file.place}: is not valid {encoding} ({error}); correct `input: {{encoding: …}}`"
    )
