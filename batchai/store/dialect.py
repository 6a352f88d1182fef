"""What is SQLite's own: connections, pragmas, file modes, and where a store must not live.

The rest of the room is portable SQLAlchemy Core.
"""

import os
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from batchai.errors import StoreError

APPLICATION_ID = 0x62617463  # "batc"

# WAL needs shared memory between processes: over these it can corrupt without an error
# (https://www.sqlite.org/wal.html, "all processes must be on the same host computer").
_NETWORK = r"9p|afs|beegfs|ceph|cifs|davfs|gluster|lustre|nfs|prl_fs|smb|vboxsf|virtiofs"
_UNSAFE = re.compile(rf"{_NETWORK}|fuse\.(davfs|gcsfuse|gluster|rclone|s3fs|sshfs|vmhgfs)")
_MOUNTS = Path("/proc/self/mounts")
_OF_THE_DISK = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
}
_OCTAL = re.compile(r"\\([0-7]{3})")  # how the table of mounts writes a space


def writer_engine(path: Path) -> Engine:
    """The engine of the one writing connection: WAL, synchronous FULL, immediate transactions."""
    _create_private(path)
    engine = create_engine(f"sqlite:///{path}", pool_size=1, max_overflow=0)

    @event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # BEGIN is ours: the driver's is deferred
        pragmas = ["journal_mode=wal", "synchronous=full", "busy_timeout=10000", "foreign_keys=on"]
        if sys.platform == "darwin":
            pragmas.append("fullfsync=on")  # else FULL does not reach the platter on macOS
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def unusable(path: Path, error: DBAPIError) -> StoreError:
    """Why a store cannot be opened: it is damaged, or the disk under a sound one fails."""
    if getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in _OF_THE_DISK:
        return StoreError(
            f"{path}: cannot be opened ({error.orig}); free space or mend the disk, then run again"
        )
    return StoreError(
        f"{path}: is damaged or no batchai store ({error.orig}); restore it with a copy made by "
        "`batchai backup`, or move it away to begin anew"
    )


@contextmanager
def rebuilding(engine: Engine, place: str) -> Iterator[Connection]:
    """One transaction in which tables may be rebuilt: foreign keys are checked at its end only.

    Raises StoreError, and changes nothing, where they do not hold then.
    """
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute("PRAGMA foreign_keys=off")  # has no effect within a transaction
        try:
            with connection.begin():
                yield connection
                if connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
                    raise StoreError(
                        f"{place}: cannot be brought up to date: an attempt or a state belongs to "
                        "no item; it is as it was, please report it"
                    )
        finally:
            driver.execute("PRAGMA foreign_keys=on")


def overwrite_deleted(engine: Engine) -> None:
    """From now on, overwrite with zeros what is deleted or replaced."""
    engine.dispose()  # so that each connection is a new one

    @event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA secure_delete=on")


def reader_engine(path: Path) -> Engine:
    """An engine whose connections cannot write, and never checkpoint."""

    def connect() -> sqlite3.Connection:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
        connection.execute("PRAGMA busy_timeout=10000")
        connection.execute("PRAGMA query_only=on")
        return connection

    return create_engine("sqlite://", creator=connect, poolclass=NullPool)


def refuse_unsafe_folder(folder: Path, *, mounts: Path = _MOUNTS) -> None:
    """Raise StoreError where SQLite's write-ahead log cannot be trusted: network file systems.

    mounts: the system's table of them.
    """
    kind = _file_system(folder.resolve(), mounts)
    if _UNSAFE.match(kind):
        raise StoreError(
            f"{folder}: is on a network file system ({kind}), where a store can corrupt without an "
            "error; keep the job file on a local disk"
        )


def _file_system(folder: Path, mounts: Path) -> str:
    """The type of the mount that holds `folder`; empty where the system does not tell."""
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return ""
    best, kind = -1, ""
    for line in lines:
        _, mount, found, *_ = line.split(" ")
        point = Path(_OCTAL.sub(lambda octal: chr(int(octal[1], 8)), mount))
        # of two at one place, the later one lies over the other
        if len(point.parts) >= best and folder.is_relative_to(point):
            best, kind = len(point.parts), found
    return kind


def _create_private(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written ({error.strerror}); check the folder"
        ) from error


def pragma(connection: Connection, name: str) -> Any:
    """The value of a pragma."""
    return connection.exec_driver_sql(f"PRAGMA {name}").scalar()
