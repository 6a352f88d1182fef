"""Folders and globs of documents: one item a file."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from batchai.documents import READABLE, text_of
from batchai.errors import SourceError
from batchai.sources.files import MAX_RECORD_BYTES, PICTURES, show
from batchai.sources.records import BadRow, Entry
from batchai.sources.text import undecodable


@dataclass(frozen=True, slots=True)
class DocumentsReader:
    """Fields: `path` (relative to the folder, with slashes), `name`, `text`.

    Text files are read as they stand. The text of PDF, Word and web documents is taken out of them
    where `extracts` says so: it takes time, and a prompt may attach the file instead. Pictures have
    none.
    """

    name: str
    root: Path
    paths: Callable[[], Iterator[Path]]
    encoding: str
    extracts: bool = True
    reopens: bool = True

    def columns(self) -> tuple[str, ...]:
        return ("path", "name", "text")

    def entries(self) -> Iterator[Entry]:
        yield from map(self._read, self.paths())

    def _read(self, path: Path) -> Entry:
        place = show(path)
        kind = path.suffix.lower()
        if kind in PICTURES or (kind in READABLE and not self.extracts):
            return self._entry(path, "")
        try:
            with path.open("rb") as stream:
                data = stream.read(MAX_RECORD_BYTES + 1)
        except OSError as error:
            return BadRow(place, f"cannot be read: {error.strerror}")
        if len(data) > MAX_RECORD_BYTES:
            return BadRow(place, f"is larger than {MAX_RECORD_BYTES >> 20} MiB")
        if kind in READABLE:
            try:
                return self._entry(path, text_of(data, suffix=kind, place=path.name))
            except SourceError as error:
                return BadRow(place, str(error))
        try:
            text = data.decode(self.encoding, "surrogateescape").removeprefix("\ufeff")
        except UnicodeError as error:
            return BadRow(place, f"is not valid {self.encoding} ({error})")
        problem = undecodable(text, self.encoding)
        if problem:
            return BadRow(place, problem)
        return self._entry(path, text)

    def _entry(self, path: Path, text: str) -> Entry:
        relative = _utf8(path.relative_to(self.root).as_posix())
        return show(path), {"path": relative, "name": _utf8(path.name), "text": text}, len(text)


def _utf8(name: str) -> str:
    """A name; bytes of it that are no UTF-8 become escapes, so that names stay apart."""
    return name.encode("utf-8", "backslashreplace").decode()
