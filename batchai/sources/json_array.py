"""One JSON array, element by element, however large the file is."""

import json
import math
from collections.abc import Iterator
from io import TextIOWrapper
from typing import Any

from batchai.errors import SourceError
from batchai.sources.files import MAX_RECORD_BYTES
from batchai.sources.json_values import object_of
from batchai.sources.records import BadRow, Entry
from batchai.sources.text import undecodable
from batchai.sources.values import plain

_PIECE_CHARS = 1 << 18
_SPACE = " \t\r\n"


class JsonArray:
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
            try:
                value, end = self._decode(self._buffer, self._at)
            except RecursionError as error:
                raise self._broken(number, "it is nested too deeply") from error
            except json.JSONDecodeError as error:
                reason = error.msg  # not the error itself: it would keep the whole buffer alive
            except ValueError as error:
                reason = str(error)
            else:
                # a number or word at the end of the buffer may go on in the next piece
                if end < len(self._buffer) or not self._more():
                    text = self._buffer[self._at : end]
                    self._at = end
                    self._piece_chars = _PIECE_CHARS
                    return value, text
                continue
            self._grow(number, reason)

    def _grow(self, number: int, reason: str) -> None:
        if len(self._buffer) - self._at > MAX_RECORD_BYTES:
            raise self._broken(
                number, f"not valid JSON, or larger than {MAX_RECORD_BYTES >> 20} MiB"
            )
        if not self._more():
            raise self._broken(number, f"not valid JSON: {reason}")
        self._piece_chars *= 2  # so that a large element is decoded only a few times

    def _more(self) -> bool:
        try:
            piece = self._stream.read(self._piece_chars)
        except UnicodeError as error:
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


def _infinite(_name: str) -> float:
    return math.inf  # NaN too: an element is judged when its end is known
