"""What is SQLite's own: connections, pragmas, file modes, and what its errors mean.

The rest of the room is portable SQLAlchemy Core.
"""

import os
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

_WAL_BYTES = 16 * 2**20  # what is kept of a log that grew under a long reader
APPLICATION_ID = 0x62617463  # "batc"

_OF_THE_DISK = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
}


def writer_engine(path: Path) -> Engine:
    """The engine of the one writing connection: WAL, synchronous FULL, immediate transactions."""
    _create_private(path)
    engine = create_engine(f"sqlite:///{path}", pool_size=1, max_overflow=0)

    @event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # BEGIN is ours: the driver's is deferred
        pragmas = [
            "journal_mode=wal",
            "synchronous=full",
            "busy_timeout=10000",
            "foreign_keys=on",
            f"journal_size_limit={_WAL_BYTES}",
        ]
        if sys.platform == "darwin":
            pragmas.append("fullfsync=on")  # else FULL does not reach the platter on macOS
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def unusable(path: Path, error: DBAPIError, *, salvaging: bool = False) -> StoreError:
    """Why a store cannot be opened: it is locked, damaged, or the disk under a sound one fails.

    salvaging: one who tries to salvage is not told to.
    """
    code = _code(error)
    if code in _OF_THE_DISK or code == sqlite3.SQLITE_BUSY:
        return StoreError(f"{path}: cannot be opened ({error.orig}); {remedy(error)}")
    first = "" if salvaging else "what can be read: batchai export --salvage; then "
    return StoreError(
        f"{path}: is damaged or no batchai store ({error.orig}); {first}restore a copy made by "
        "`batchai backup`, or begin anew with --fresh, which keeps it"
    )


def remedy(error: BaseException) -> str:
    """What helps against an error of the database while it is written."""
    if isinstance(error, MemoryError | RuntimeError):  # of which threads are made too
        return "lower limits.concurrency or give the process more memory, then run again"
    match _code(error):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return "another program has it open and writes: close that, then run again"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return (
                "it is damaged: save what can be read with batchai export --salvage, then restore "
                "a copy made by `batchai backup`, or begin anew with --fresh, which keeps it"
            )
        case code if code in _OF_THE_DISK or isinstance(error, OSError):
            return "free space or mend the disk, then run again"
        case _:
            return (
                "the disk is not at fault: the store refuses what batchai writes; please report it"
            )


def _code(error: BaseException) -> int:
    """SQLite's primary error code, 0 for what is no error of SQLite's."""
    return getattr(getattr(error, "orig", error), "sqlite_errorcode", 0) & 0xFF


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


def scratch_engine() -> Engine:
    """Each connection of it is a database of its own, in a nameless file that only it can read."""
    return create_engine("sqlite://", creator=lambda: sqlite3.connect(""), poolclass=NullPool)


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
