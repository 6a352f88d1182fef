"""Folders and globs of text files: one item a file."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from batchai.sources.files import MAX_RECORD_BYTES, show
from batchai.sources.records import BadRow, Entry
from batchai.sources.text import undecodable


@dataclass(frozen=True, slots=True)
class DocumentsReader:
    """Fields: `path` (relative to the folder, with slashes), `name`, `text` (as it stands)."""

    name: str
    root: Path
    paths: Callable[[], Iterator[Path]]
    encoding: str
    reopens: bool = True

    def columns(self) -> tuple[str, ...]:
        return ("path", "name", "text")

    def entries(self) -> Iterator[Entry]:
        yield from map(self._read, self.paths())

    def _read(self, path: Path) -> Entry:
        place = show(path)
        try:
            with path.open("rb") as stream:
                data = stream.read(MAX_RECORD_BYTES + 1)
        except OSError as error:
            return BadRow(place, f"cannot be read: {error.strerror}")
        if len(data) > MAX_RECORD_BYTES:
            return BadRow(place, f"is larger than {MAX_RECORD_BYTES >> 20} MiB")
        try:
            text = data.decode(self.encoding, "surrogateescape").removeprefix("\ufeff")
        except UnicodeError as error:
            return BadRow(place, f"is not valid {self.encoding} ({error})")
        problem = undecodable(text, self.encoding)
        if problem:
            return BadRow(place, problem)
        relative = path.relative_to(self.root).as_posix()
        return place, {"path": relative, "name": path.name, "text": text}, len(text)
