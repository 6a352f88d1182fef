"""The files of a store: their folder, and how they are put aside."""

import os
from pathlib import Path
from typing import IO

from batchai.errors import StoreError
from batchai.store.lock import Lock

BACKUPS = "backups"  # the folder in it where copies of stores lie


def set_aside(path: Path) -> Path | None:
    """Rename a store, so that the job starts from nothing; returns its new path, None without one.

    Raises StoreBusyError while a launch works on it.
    """
    if not path.exists():
        return None
    lock = Lock(path.with_suffix(".lock"))
    try:
        number = 1
        while (old := path.with_name(f"{path.stem}.old{number}.db")).exists():
            number += 1
        for part, moved in zip(files_of(path), files_of(old), strict=True):
            if part.exists():
                part.rename(moved)
    finally:
        lock.release()
    return old


def put_back(old: Path, path: Path) -> None:
    """Undo `set_aside`: what stands in the store's place is removed.

    Raises StoreBusyError while a launch works on that.
    """
    lock = Lock(path.with_suffix(".lock"))
    try:
        for part, moved in zip(files_of(path), files_of(old), strict=True):
            part.unlink(missing_ok=True)
            if moved.exists():
                moved.rename(part)
    finally:
        lock.release()


def files_of(path: Path) -> list[Path]:
    """The files that a store may have, the database last."""
    logs = (path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", ""))
    return [path.with_suffix(".spool"), *logs]


def make_folder(folder: Path) -> None:
    """Make the folder, private and ignored by git. Raises StoreError."""
    try:
        make_durable(folder)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            write_private(ignore, "*\n")
    except OSError as error:
        raise StoreError(
            f"{folder}: cannot be made ({error.strerror}); the store lives beside the job file, "
            "so that folder must be writable"
        ) from error


def make_durable(folder: Path) -> None:
    """Make the folder, private; its name is durable then, new or not. Raises OSError.

    Else a power cut could take the folder, with all that was synced in it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    sync_folder(folder.parent)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read. Raises OSError."""
    with open_private(path) as file:
        file.write(text)


def open_private(path: Path) -> IO[str]:
    """A file to write that only its owner may read. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    return os.fdopen(descriptor, "w", encoding="utf-8")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    if os.name == "nt":  # has no such thing
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
