"""What a process did to the files of a folder: strace's log as a list of events.

Calls count at their end. Where two threads overlap, a write is taken for synced only when it ended
before the sync did; SQLite's one writer never syncs a file that another thread is writing.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CALLS = (
    "openat",
    "write",
    "pwrite64",
    "ftruncate",
    "fsync",
    "fdatasync",
    "mkdir",
    "rename",
    "unlink",
    # no event is made of these: a recording that has them cannot be replayed, and says so
    "writev",
    "pwritev",
    "pwritev2",
    "fallocate",
    "copy_file_range",
    "sendfile",
    "link",
    "renameat2",
    "unlinkat",
    "rmdir",
)


@dataclass(frozen=True, slots=True)
class Created:
    """A file has a name from now on."""

    path: Path


@dataclass(frozen=True, slots=True)
class FolderMade:
    """So has a folder."""

    path: Path


@dataclass(frozen=True, slots=True)
class Wrote:
    """Bytes at an offset."""

    path: Path
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncated:
    """Cut, or grown, to a size."""

    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class Synced:
    """A file's content, or the names in a folder, are on the disk now."""

    path: Path


@dataclass(frozen=True, slots=True)
class Renamed:
    """Another name, which may replace a file."""

    path: Path
    to: Path


@dataclass(frozen=True, slots=True)
class Removed:
    """A name is gone."""

    path: Path


@dataclass(frozen=True, slots=True)
class Said:
    """A line that the process wrote to the file where it says what it was told is durable."""

    words: tuple[str, ...]


Event = Created | FolderMade | Wrote | Truncated | Synced | Renamed | Removed | Said

_TEXT = r"((?:\\x[0-9a-f]{2})*)"
_FILE = rf"\d+<{_TEXT}>"
_CALL = re.compile(r"(\w+)\((.*)\) += (\d+).*", re.DOTALL)
_ON_FILE = re.compile(rf"{_FILE}(?:, (\d+))?")
_WRITE = re.compile(rf'{_FILE}, "{_TEXT}", \d+(?:, (\d+))?')
_OPEN = re.compile(rf'AT_FDCWD<{_TEXT}>, "{_TEXT}", ([A-Z_|]+)(?:, \d+)?')
_NAMES = re.compile(rf'"{_TEXT}"')


def read_recording(log: Path, *, folder: Path, says: Path) -> list[Event]:
    """The events in and below `folder`, in order; `says` is the file of the Said."""
    reader = _Reader(folder, says)
    return [
        event
        for name, arguments, result in _calls(log)
        for event in reader.events(name, arguments, result)
    ]


def _calls(log: Path) -> Iterator[tuple[str, str, int]]:
    """Name, arguments and result of each call that succeeded."""
    begun: dict[str, str] = {}
    with log.open(encoding="ascii") as lines:
        for line in lines:
            thread, _, text = line.rstrip("\n").partition(" ")
            text = text.lstrip()
            if text.endswith(" <unfinished ...>"):
                begun[thread] = text.removesuffix(" <unfinished ...>")
                continue
            if text.startswith("<... "):
                text = begun.pop(thread) + text.partition(" resumed>")[2]
            if match := _CALL.fullmatch(text):
                yield match[1], match[2], int(match[3])


class _Reader:
    def __init__(self, folder: Path, says: Path) -> None:
        self._folder = folder
        self._says = says
        self._files: set[Path] = set()
        self._position: dict[Path, int] = {}  # of the files that are written without an offset

    def events(self, name: str, arguments: str, result: int) -> Iterator[Event]:
        found = self._events(name, arguments, result)
        return (event for event in found if isinstance(event, Said) or self._is_ours(event.path))

    def _is_ours(self, path: Path) -> bool:
        return path.is_relative_to(self._folder) and path != self._says

    def _events(self, name: str, arguments: str, result: int) -> Iterator[Event]:
        match name:
            case "openat":
                yield from self._open(arguments)
            case "write" | "pwrite64":
                yield from self._write(arguments, result)
            case "fsync" | "fdatasync":
                yield Synced(_on_file(arguments)[0])
            case "ftruncate":
                yield Truncated(*_on_file(arguments))
            case "mkdir":
                yield FolderMade(_names(arguments)[0])
            case "rename":
                old, new = _names(arguments)
                self._files.discard(old)
                self._files.add(new)
                yield Renamed(old, new)
            case "unlink":
                path = _names(arguments)[0]
                self._files.discard(path)
                yield Removed(path)
            case _ if any(map(self._is_ours, _paths(arguments))):
                raise ValueError(f"{name}({arguments[:200]}): this call cannot be replayed")

    def _open(self, arguments: str) -> Iterator[Event]:
        match = _OPEN.fullmatch(arguments)
        if match is None or "O_RDONLY" in match[3]:
            return
        path = Path(_text(match[1])) / _text(match[2])
        self._position[path] = 0
        if path not in self._files and "O_CREAT" in match[3]:
            self._files.add(path)
            yield Created(path)
        if "O_TRUNC" in match[3]:
            yield Truncated(path, 0)

    def _write(self, arguments: str, written: int) -> Iterator[Event]:
        match = _WRITE.fullmatch(arguments)
        if match is None:  # to a pipe or a socket
            return
        path, data = Path(_text(match[1])), _bytes(match[2])[:written]
        if path == self._says:
            yield from (Said(tuple(line.split())) for line in data.decode().splitlines())
        elif match[3] is not None:
            yield Wrote(path, int(match[3]), data)
        else:
            offset = self._position.get(path, 0)
            self._position[path] = offset + written
            yield Wrote(path, offset, data)


def _on_file(arguments: str) -> tuple[Path, int]:
    match = _ON_FILE.fullmatch(arguments)
    assert match is not None, arguments
    return Path(_text(match[1])), int(match[2] or 0)


def _names(arguments: str) -> list[Path]:
    return [Path(_text(name)) for name in _NAMES.findall(arguments)]


def _paths(arguments: str) -> Iterator[Path]:
    return (Path(_text(text)) for text in re.findall(_TEXT, arguments) if text)


def _bytes(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))


def _text(escaped: str) -> str:
    return _bytes(escaped).decode("utf-8", "replace")
