"""A copy of a store, taken while a launch may write to it."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from batchai.errors import StoreError


def copy_store(path: Path, to: Path) -> None:
    """Copy the store `path`, as it is at one instant, to the new file `to`: checked, synced, 0600.

    A launch goes on writing meanwhile. The copy is one file without a write-ahead log beside it, so
    that it can be carried anywhere. Raises StoreError; what there is of `to` then is no store.
    """
    try:
        descriptor = os.open(to, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            _copy(path, to)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StoreError(
            f"{to}: cannot be written ({error.strerror}); name another place"
        ) from error
    except sqlite3.Error as error:
        raise StoreError(f"{path}: cannot be copied to {to.parent} ({error})") from error


def _copy(path: Path, to: Path) -> None:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(uri, uri=True)) as source,
        closing(sqlite3.connect(to, isolation_level=None)) as target,
    ):
        source.execute("PRAGMA busy_timeout=10000")
        # exclusive: the copy says that it has a write-ahead log, which would need shared memory
        target.execute("PRAGMA locking_mode=exclusive")
        target.execute("PRAGMA synchronous=off")  # synced as a whole when it is complete
        source.backup(target)  # in one step: one read transaction, so one instant
        target.execute("PRAGMA journal_mode=delete")
        damage = target.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if damage != "ok":
        raise StoreError(
            f"{path}: is damaged ({damage}), and so would be its copy; "
            "results may still be read: batchai export --salvage"
        )
