"""JSONL files, standard input, and files with one JSON array."""

import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import TextIOWrapper
from typing import Any, BinaryIO

from batchai.errors import SourceError
from batchai.sources.files import MAX_RECORD_BYTES, DataFile, open_bytes
from batchai.sources.json_values import object_of, parse_object
from batchai.sources.records import BadRow, Entry, columns_of
from batchai.sources.text import open_text, text_codec, undecodable
from batchai.sources.values import plain

_PIECE_CHARS = 1 << 18
_SPACE = " \t\r\n"


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
            except UnicodeDecodeError as error:
                raise SourceError(
                    f"{file.place}:{number + 1}: is not valid {error.encoding}; "
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
        yield from lines_to_entries(sys.stdin.buffer, self.name)


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
                yield from _Array(stream, file.place, self.encoding).entries()


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


def _infinite(_name: str) -> float:
    return math.inf  # NaN too: an element is judged when its end is known


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


class _Array:
    """Decodes the elements of one array over a buffer that grows only for a large element."""

    def __init__(self, stream: TextIOWrapper, place: str, encoding: str) -> None:
        self._stream = stream
        self._place = place
        self._encoding = encoding
        self._buffer = ""
        self._at = 0
        self._piece_chars = _PIECE_CHARS
        self._decode = json.JSONDecoder(parse_constant=_infinite).raw_decode

    def entries(self) -> Iterator[Entry]:
        if self._next_mark() != "[":
            raise SourceError(
                f"{self._place}: must hold an array of objects; "
                "for one object a line say `format: jsonl`"
            )
        self._at += 1
        number = 0
        if self._next_mark() == "]":
            return
        while True:
            number += 1
            yield self._entry(number, *self._element(number))
            mark = self._next_mark()
            if mark == "]":
                return
            if mark != ",":
                found = f"{mark!r} stands there" if mark else "the file ends there"
                raise self._broken(number, f"a comma or ] must follow it; {found}")
            self._at += 1

    def _entry(self, number: int, value: Any, text: str) -> Entry:
        place = f"{self._place}: element {number}"
        problem = undecodable(text, self._encoding)
        if problem:
            return BadRow(place, problem)
        try:
            return place, object_of(plain(object_of(value))), len(text)
        except ValueError as error:
            return BadRow(place, str(error))

    def _next_mark(self) -> str:
        """The next character that is no space, "" at the end."""
        while True:
            while self._at < len(self._buffer):
                if self._buffer[self._at] not in _SPACE:
                    return self._buffer[self._at]
                self._at += 1
            if not self._more():
                return ""

    def _element(self, number: int) -> tuple[Any, str]:
        if not self._next_mark():
            raise self._broken(number, "the file ends before it")
        while True:
            problem: Exception
            try:
                value, end = self._decode(self._buffer, self._at)
            except RecursionError as error:
                raise self._broken(number, "it is nested too deeply") from error
            except ValueError as error:
                problem = error
            else:
                # a number or word at the end of the buffer may go on in the next piece
                if end < len(self._buffer) or not self._more():
                    text = self._buffer[self._at : end]
                    self._at = end
                    self._piece_chars = _PIECE_CHARS
                    return value, text
                continue
            self._grow(number, problem)

    def _grow(self, number: int, problem: Exception) -> None:
        if len(self._buffer) - self._at > MAX_RECORD_BYTES:
            raise self._broken(
                number, f"not valid JSON, or larger than {MAX_RECORD_BYTES >> 20} MiB"
            )
        if not self._more():
            reason = problem.msg if isinstance(problem, json.JSONDecodeError) else str(problem)
            raise self._broken(number, f"not valid JSON: {reason}") from problem
        self._piece_chars *= 2  # so that a large element is decoded only a few times

    def _more(self) -> bool:
        try:
            piece = self._stream.read(self._piece_chars)
        except UnicodeDecodeError as error:
            raise SourceError(f"{self._place}: is not valid {self._encoding}") from error
        if piece:
            self._buffer = self._buffer[self._at :] + piece
            self._at = 0
        return bool(piece)

    def _broken(self, number: int, problem: str) -> SourceError:
        return SourceError(
            f"{self._place}: element {number}: {problem}; "
            "nothing after it can be read: repair the file"
        )
