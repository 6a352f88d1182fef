"""JSON files of both kinds, and standard input."""

import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from batchai.errors import SourceError
from batchai.sources.files import MAX_RECORD_BYTES, DataFile, open_bytes
from batchai.sources.json_array import JsonArray
from batchai.sources.json_values import parse_object
from batchai.sources.records import BadRow, Entry, columns_of
from batchai.sources.text import open_text, text_codec, undecodable


@dataclass(frozen=True, slots=True)
class JsonlReader:
    """One object a line; blank lines are passed over, anything else is a bad row."""

    name: str
    files: tuple[DataFile, ...]
    encoding: str
    reopens: bool = True

    def columns(self) -> tuple[str, ...]:
        return columns_of(self.entries())

    def entries(self) -> Iterator[Entry]:
        for file in self.files:
            codec = text_codec(file, self.encoding)
            if codec in ("utf-8", "utf-8-sig"):
                with open_bytes(file) as stream:
                    yield from lines_to_entries(stream, file.place)
            else:
                yield from self._decoded(file)

    def _decoded(self, file: DataFile) -> Iterator[Entry]:
        with open_text(file, self.encoding) as stream:
            number = 0
            try:
                for number, line in enumerate(stream, 1):
                    problem = undecodable(line, self.encoding)
                    if problem:
                        yield BadRow(f"{file.place}:{number}", problem)
                    elif line.strip():
                        yield _entry(line, f"{file.place}:{number}")
            except UnicodeError as error:
                raise SourceError(
                    f"{file.place}:{number + 1}: is not valid {self.encoding}; "
                    "correct `input: {encoding: …}`"
                ) from error


@dataclass(frozen=True, slots=True)
class StdinReader:
    """JSONL in UTF-8 on standard input; it can be read once."""

    name: str = "stdin"
    reopens: bool = False

    def columns(self) -> tuple[str, ...]:
        return ()

    def entries(self) -> Iterator[Entry]:
        yield from lines_to_entries(_stdin(), self.name)


@dataclass(frozen=True, slots=True)
class JsonReader:
    """An array of objects, read piece by piece."""

    name: str
    files: tuple[DataFile, ...]
    encoding: str
    reopens: bool = True

    def columns(self) -> tuple[str, ...]:
        return columns_of(self.entries())

    def entries(self) -> Iterator[Entry]:
        for file in self.files:
            with open_text(file, self.encoding) as stream:
                yield from JsonArray(stream, file.place, self.encoding).entries()


def _stdin() -> BinaryIO:
    """A buffer of our own: at its end Python takes hold of its own one, and fails where a thread
    that was left still waits for a line."""
    try:
        return open(sys.stdin.fileno(), "rb", closefd=False)
    except io.UnsupportedOperation:
        return sys.stdin.buffer


def lines_to_entries(stream: BinaryIO, place: str) -> Iterator[Entry]:
    """Records of a binary stream of lines."""
    number, prefix, read = 0, f"{place}:", stream.readline
    while line := read(MAX_RECORD_BYTES):
        number += 1
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
            _refuse_array(line, place)
        if len(line) >= MAX_RECORD_BYTES and not line.endswith(b"\n"):
            _skip_line(read)
            yield BadRow(f"{prefix}{number}", f"is longer than {MAX_RECORD_BYTES >> 20} MiB")
            continue
        try:
            yield f"{prefix}{number}", parse_object(line), len(line)
        except ValueError as error:
            if line.strip():
                yield BadRow(f"{prefix}{number}", str(error))


def _entry(line: str, place: str) -> Entry:
    try:
        return place, parse_object(line), len(line)
    except ValueError as error:
        return BadRow(place, str(error))


def _skip_line(read: Callable[[int], bytes]) -> None:
    while (piece := read(MAX_RECORD_BYTES)) and not piece.endswith(b"\n"):
        pass


def _refuse_array(line: bytes, place: str) -> None:
    if line.lstrip()[:1] == b"[":
        raise SourceError(f"{place}: holds a JSON array, not one object a line; say `format: json`")
