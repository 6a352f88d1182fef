"""A disk whose power can be cut: what was synced is there, what was not is there in part.

Stricter than most file systems: the sectors of what was written since a file's last sync land in
any combination; names created, moved and removed in a folder land in their order, as far as they
get, until the folder itself is synced.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

from tests.drills.recording import (
    Created,
    Event,
    FolderMade,
    Removed,
    Renamed,
    Said,
    Synced,
    Truncated,
    Wrote,
)

_SECTOR = 512


@dataclass(slots=True, eq=False)
class _File:
    is_folder: bool = False
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Wrote | Truncated] = field(default_factory=list)

    def sync(self) -> None:
        for change in self.pending:
            _apply(self.durable, change)
        self.pending.clear()

    def after_a_cut(self, chance: random.Random) -> bytes:
        """The content when the power goes now; how much of it lands differs from cut to cut."""
        content = self.durable[:]
        share = chance.choice([0.0, 0.1, 0.5, 0.9, 1.0])
        for change in self.pending:
            for part in _sectors(change):
                if chance.random() < share:
                    _apply(content, part)
        return bytes(content)


_Names = dict[Path, _File | None]  # None: the name is gone


class Disk:
    """Follows a recording; `cut` writes down what a power cut would leave."""

    def __init__(self) -> None:
        self._files: dict[Path, _File] = {}  # as the process sees them
        self._durable: dict[Path, _File] = {}
        self._pending: dict[Path, list[_Names]] = {}  # by folder, in order

    def take(self, event: Event) -> None:
        """What the process did next."""
        match event:
            case Created(path=path):
                self._rename(path.parent, {path: _File()})
            case FolderMade(path=path):
                self._rename(path.parent, {path: _File(is_folder=True)})
            case Wrote(path=path) | Truncated(path=path):
                self._files[path].pending.append(event)
            case Synced(path=path):
                self._sync(path)
            case Renamed(path=path, to=to):
                self._rename(path.parent, {path: None, to: self._files[path]})
            case Removed(path=path):
                self._rename(path.parent, {path: None})
            case Said():
                pass
            case _:
                assert_never(event)

    def cut(self, folder: Path, chance: random.Random) -> None:
        """Make `folder`, which is not there, with what would be left in it now."""
        left = dict(self._durable)
        for changes in self._pending.values():
            for names in changes[: chance.randint(0, len(changes))]:
                _change(left, names)
        folder.mkdir()
        for path in sorted(left):  # a folder comes before what is in it
            if not path.parent.is_dir():
                continue
            if left[path].is_folder:
                path.mkdir()
            else:
                path.write_bytes(left[path].after_a_cut(chance))

    def _rename(self, folder: Path, names: _Names) -> None:
        _change(self._files, names)
        self._pending.setdefault(folder, []).append(names)

    def _sync(self, path: Path) -> None:
        file = self._files.get(path)
        if file is not None and not file.is_folder:
            file.sync()
            return
        for names in self._pending.pop(path, []):
            _change(self._durable, names)


def _change(files: dict[Path, _File], names: _Names) -> None:
    for path, file in names.items():
        if file is None:
            files.pop(path, None)
        else:
            files[path] = file


def _apply(content: bytearray, change: Wrote | Truncated) -> None:
    if isinstance(change, Truncated):
        del content[change.size :]
        content.extend(bytes(change.size - len(content)))
        return
    content.extend(bytes(max(0, change.offset - len(content))))
    content[change.offset : change.offset + len(change.data)] = change.data


def _sectors(change: Wrote | Truncated) -> Iterator[Wrote | Truncated]:
    """A write in the pieces that land or do not; a new size does so whole."""
    if isinstance(change, Truncated):
        yield change
        return
    start, end = change.offset, change.offset + len(change.data)
    while start < end:
        stop = min(end, (start // _SECTOR + 1) * _SECTOR)
        data = change.data[start - change.offset : stop - change.offset]
        yield Wrote(change.path, start, data)
        start = stop
