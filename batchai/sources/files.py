"""From `input.path` to files: globs, folders, formats, and reading no further than a size."""

import glob
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from batchai.errors import SourceError

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".gif", ".webp"})
FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
    ".txt": "files",
    ".md": "files",
    ".markdown": "files",
    ".pdf": "files",
    ".docx": "files",
    ".html": "files",
    ".htm": "files",
    **dict.fromkeys(PICTURES, "files"),
}
BUFFER_BYTES = 1 << 18
MAX_RECORD_BYTES = 1 << 26  # one record beyond 64 MiB is a bad row, so that memory stays bounded
_LAST_LINE_BYTES = 1 << 20
_REMEDIES = {
    ".gz": "unpack it first",
    ".zip": "unpack it first",
    ".xls": "save it as .xlsx or .csv",
    ".ods": "save it as .xlsx or .csv",
    ".feather": "save it as .parquet",
    ".db": "use `input: {sql: {url: sqlite:///FILE, query: ...}}`",
    ".sqlite": "use `input: {sql: {url: sqlite:///FILE, query: ...}}`",
}


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file as it was when the source was opened; size in bytes."""

    path: Path
    place: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Found:
    """What a path stands for. root: what paths of documents are relative to."""

    format: str
    root: Path
    place: str
    paths: Callable[[], Iterator[Path]]


def find(path: str, wanted: str | None) -> Found:
    """The files that `path` (a file, folder or glob) means; raises SourceError without any."""
    target = Path(path)
    place = show(target)
    try:
        if target.is_dir():
            return _folder(target, place, wanted)
        if target.exists():
            return Found(
                wanted or _format(target, place), target.parent, place, lambda: iter((target,))
            )
    except OSError as error:
        raise SourceError(
            f"{place}: cannot be read: {error.strerror}; check its permissions"
        ) from error
    if glob.has_magic(path):
        return _matches(path, place, wanted)
    raise SourceError(f"{place}: no such file{_similar(target)}")


def inside(found: Found, roots: tuple[Path, ...]) -> Found:
    """The same files; a link that leads out of `roots` raises SourceError when it is reached."""

    def paths() -> Iterator[Path]:
        for path in found.paths():
            target = path.resolve()
            if not any(target.is_relative_to(root) for root in roots):
                raise SourceError(
                    f"{show(path)}: leads to {target}, which is outside of the job's folders; "
                    "allow it with --allow-path DIR"
                )
            yield path

    return replace(found, paths=paths) if roots else found


def show(path: Path) -> str:
    """The path for messages: relative where it lies under the current directory."""
    try:
        return path.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return str(path)


def data_file(path: Path) -> DataFile:
    """The file with its size now: what is added later belongs to the next run."""
    place = show(path)
    try:
        status = path.stat()
    except OSError as error:
        raise SourceError(f"{place}: cannot be read: {error.strerror}") from error
    if not path.is_file():
        raise SourceError(f"{place}: is not a regular file; pipe it in and say `path: -`")
    return DataFile(path, place, status.st_size, status.st_mtime_ns)


def open_bytes(file: DataFile, *, finish_line: bool = True) -> io.BufferedReader:
    """The file up to the size that it had when the source was opened.

    A last line that was being written then is read to its end. A file that became shorter in the
    meantime raises SourceError while it is read.
    """
    try:
        return io.BufferedReader(_Bounded(file, finish_line), BUFFER_BYTES)
    except OSError as error:
        raise SourceError(
            f"{file.place}: cannot be read: {error.strerror}; check that it is there and readable"
        ) from error


class _Bounded(io.RawIOBase):
    def __init__(self, file: DataFile, finish_line: bool) -> None:
        self._place = file.place
        self._left = file.size
        self._unfinished = finish_line
        self._last = b""
        self._file = file.path.open("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview[int] | bytearray") -> int:  # type: ignore[override]
        view = memoryview(buffer)
        try:
            if self._left:
                return self._read(view[: self._left])
            return self._finish(view[:_LAST_LINE_BYTES])
        except OSError as error:
            raise SourceError(f"{self._place}: reading failed: {error.strerror}") from error

    def _read(self, view: "memoryview[int]") -> int:
        count = self._file.readinto(view) or 0
        if not count:
            raise SourceError(
                f"{self._place}: became shorter while it was read; run again when it is complete"
            )
        self._left -= count
        self._last = bytes(view[count - 1 : count])
        return count

    def _finish(self, view: "memoryview[int]") -> int:
        if not self._unfinished or self._last in (b"", b"\n"):
            return 0
        self._unfinished = False
        line, newline, _ = self._file.read(len(view)).partition(b"\n")
        rest = line + newline
        view[: len(rest)] = rest
        return len(rest)

    def close(self) -> None:
        if not self.closed and hasattr(self, "_file"):
            self._file.close()
        super().close()


def _format(path: Path, place: str) -> str:
    suffix = path.suffix.lower()
    if suffix in FORMATS:
        return FORMATS[suffix]
    remedy = _REMEDIES.get(suffix, "say `format: csv` (or tsv, jsonl, json, parquet, xlsx, files)")
    what = f"the suffix {suffix}" if suffix else "a file without suffix"
    raise SourceError(f"{place}: {what} names no known format; {remedy}")


def _folder(folder: Path, place: str, wanted: str | None) -> Found:
    if wanted not in (None, "files"):
        raise SourceError(f"{place}: is a folder; name its files: `path: {place}/*.{wanted}`")
    found = Found("files", folder, place, lambda: _documents(folder))
    if next(found.paths(), None) is None:
        raise SourceError(
            f"{place}: holds no document (.txt, .md, .pdf, .docx, .html) and no picture; "
            f"for data files say `path: {place}/*.csv`"
        )
    return found


def _documents(folder: Path) -> Iterator[Path]:
    """Documents of the folder and those below, by name; one folder's names are in memory."""
    try:
        with os.scandir(folder) as entries:
            names = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    except OSError as error:
        raise SourceError(f"{show(folder)}: cannot be read: {error.strerror}") from error
    for name, is_folder in names:
        path = folder / name
        if name.startswith("."):
            continue
        if is_folder:
            yield from _documents(path)
        elif FORMATS.get(path.suffix.lower()) == "files" and path.is_file():
            yield path


def _matches(pattern: str, place: str, wanted: str | None) -> Found:
    paths = tuple(Path(name) for name in sorted(glob.glob(pattern, recursive=True)))  # noqa: PTH207 (absolute patterns)
    paths = tuple(path for path in paths if path.is_file())
    if not paths:
        raise SourceError(f"{place}: matches no file; check the pattern and the folder")
    formats = {wanted} if wanted else {_format(path, show(path)) for path in paths}
    if len(formats) > 1:
        names = ", ".join(sorted(str(name) for name in formats))
        raise SourceError(
            f"{place}: matches files of different formats ({names}); narrow the pattern"
        )
    return Found(str(formats.pop()), _root(pattern), place, lambda: iter(paths))


def _root(pattern: str) -> Path:
    parts = Path(pattern).parts
    literal = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:literal])


def _similar(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return f"; the folder {show(path.parent)} cannot be read either"
    close = get_close_matches(path.name, names, n=1)
    return f"; did you mean {close[0]}?" if close else "; check the path"
