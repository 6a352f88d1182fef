"""What is SQLite's own: connections, pragmas, file modes, and where a store must not live.

The rest of the room is portable SQLAlchemy Core.
"""

import os
import sqlite3
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import Connection
from sqlalchemy.pool import NullPool

from batchai.errors import StoreError

APPLICATION_ID = 0x62617463  # "batc"

# WAL needs shared memory between processes: over these it can corrupt without an error
# (https://www.sqlite.org/wal.html, "all processes must be on the same host computer").
_UNSAFE_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "fuse.sshfs", "afs", "ceph"}
)


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


def reader_engine(path: Path) -> Engine:
    """An engine whose connections cannot write, and never checkpoint."""

    def connect() -> sqlite3.Connection:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
        connection.execute("PRAGMA busy_timeout=10000")
        connection.execute("PRAGMA query_only=on")
        return connection

    return create_engine("sqlite://", creator=connect, poolclass=NullPool)


def refuse_unsafe_folder(folder: Path) -> None:
    """Raise StoreError where SQLite's write-ahead log cannot be trusted: network file systems."""
    kind = _file_system(folder.resolve())
    if kind in _UNSAFE_FILE_SYSTEMS:
        raise StoreError(
            f"{folder}: is on a network file system ({kind}), where a store can corrupt without an "
            "error; keep the job file on a local disk"
        )


def _file_system(folder: Path) -> str:
    """The type of the mount that holds `folder`; empty where the system does not tell."""
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return ""
    best, kind = -1, ""
    for line in lines:
        _, mount, found, *_ = line.split(" ")
        point = Path(mount.replace("\\040", " "))
        if len(point.parts) > best and folder.is_relative_to(point):
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
