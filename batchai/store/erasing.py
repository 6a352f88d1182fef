"""Real removal: of a whole store with its copies, or of the rows that left the input.

What is removed whole is overwritten before its name goes; what is removed within a store is
overwritten by SQLite (`secure_delete`), and the file rewritten. No program can promise more: a
file system that copies on write, a flash drive or a backup of yours may keep older blocks.
"""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from batchai.errors import StoreError
from batchai.store.dialect import overwrite_deleted
from batchai.store.files import BACKUPS, sync_folder

_PIECE = bytes(1 << 20)
_OWN = r"\.db(-wal|-shm)?|\.sock|\.spool|\.exports\.json(\.\d+)?"
COMPARISONS = ".compare"  # of the folder that holds a job's comparisons
_COPIES = r"(-\d{8}T\d{6}Z|\.v\d+)\.db(-wal|-shm|-journal)?"
_FORGET = (
    "UPDATE attempts SET answer = NULL, detail = NULL, request_id = NULL "
    "WHERE item_id IN (SELECT id FROM items WHERE selected = 0) AND outcome IS NOT NULL",
    "UPDATE item_steps SET state = 'skipped', outcome = NULL, error = NULL, result = NULL, "
    "fingerprint = NULL WHERE item_id IN (SELECT id FROM items WHERE selected = 0)",
    "UPDATE items SET key = 'removed-' || id, row = NULL WHERE selected = 0",
)


def everything_of(path: Path, *, job_file: str) -> list[Path]:
    """Everything of the store at `path` that is there: its files, stores that `--fresh` set aside,
    rehearsals, comparisons with their locks and page, and copies in `backups/`; the lock last.

    job_file: the job's; a store that belongs to another's, by a name like one of these, is none.
    """
    name = re.escape(path.stem)
    stems = [path.stem, *_relatives(path, job_file)]
    own = re.compile("|".join(rf"{re.escape(stem)}({_OWN})" for stem in stems))
    found = list(_matching(path.parent, own))
    if f"{path.stem}.rehearsal" in stems:  # with its result file
        results = re.compile(rf"{name}\.rehearsal\.\w+")
        found += [file for file in _matching(path.parent, results) if file not in found]
    copies = re.compile(rf"\.?{name}{_COPIES}(\.[0-9a-f]+)?(\.tmp)?")
    found += _matching(path.parent / BACKUPS, copies)
    found += _matching(path.with_suffix(COMPARISONS), re.compile(rf".+({_OWN}|\.lock|\.html)"))
    lock = path.with_suffix(".lock")
    return [*(file for file in found if file != lock), *([lock] if lock.exists() else [])]


def _relatives(path: Path, job_file: str) -> Iterator[str]:
    pattern = re.compile(rf"({re.escape(path.stem)}\.(old\d+|rehearsal))\.db")
    for file in _matching(path.parent, pattern):
        if _job_file(file) in (job_file, None):
            yield file.stem


def _job_file(path: Path) -> str | None:
    """Whose a store is; None where it does not say."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            row = connection.execute("SELECT value FROM meta WHERE key = 'job_file'").fetchone()
    except sqlite3.Error:
        return None
    return row and str(row[0])


def overwrite(path: Path) -> None:
    """Fill the file with zeros, durably, and remove its name. Raises StoreError.

    A link is removed, and what it leads to is not touched; a socket holds nothing.
    """
    try:
        if not path.is_symlink() and path.is_file():
            _fill_with_zeros(path)
        path.unlink()
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be removed ({error.strerror}); mend that, then purge again"
        ) from error


def remove_empty(path: Path) -> None:
    """Remove the folder of the store at `path`, when no other job has anything in it."""
    folder = path.parent
    for place in (path.with_suffix(COMPARISONS), folder / BACKUPS, folder):
        if not place.is_dir():
            continue
        names = {entry.name for entry in place.iterdir()}
        if names <= {".gitignore"}:
            (place / ".gitignore").unlink(missing_ok=True)
            place.rmdir()
    if folder.is_dir():
        sync_folder(folder)


def forget_removed(engine: Engine) -> int:
    """Forget keys, rows, answers and errors of items that left the input; returns how many.

    Their attempts and costs stay. The file is rewritten without a trace. Raises StoreError.
    """
    overwrite_deleted(engine)
    try:
        with engine.begin() as connection:
            for statement in _FORGET:
                forgotten = connection.exec_driver_sql(statement).rowcount
        _rewrite(engine)
    except SQLAlchemyError as error:
        raise StoreError(
            f"{engine.url.database}: cannot be purged ({getattr(error, 'orig', error)}); free "
            "space, then purge again"
        ) from error
    return forgotten


def _rewrite(engine: Engine) -> None:
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute("VACUUM")  # has to stand outside of any transaction
        driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _fill_with_zeros(path: Path) -> None:
    with path.open("r+b", buffering=0) as file:
        left = os.fstat(file.fileno()).st_size
        while left > 0:
            left -= file.write(_PIECE[:left])
        os.fsync(file.fileno())


def _matching(folder: Path, pattern: re.Pattern[str]) -> Iterator[Path]:
    if folder.is_dir():
        yield from (p for p in sorted(folder.iterdir()) if pattern.fullmatch(p.name))
