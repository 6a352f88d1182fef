"""Which shape a store has, and how an older one becomes today's.

`PRAGMA user_version` is the shape's number, `application_id` says that the file is ours. An older
store is copied to `backups/NAME.vN.db`, then brought up to date in one transaction: killed in
between, it is what it was.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from sqlalchemy import Engine, Table
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DatabaseError
from sqlalchemy.schema import CreateTable

from batchai.errors import StoreError
from batchai.store.copying import copy_store
from batchai.store.dialect import APPLICATION_ID, pragma, rebuilding, unusable
from batchai.store.files import BACKUPS, make_durable, sync_folder
from batchai.store.tables import metadata

VERSION = 2

Steps = Mapping[int, Callable[[Connection], None]]


def _give_parts(connection: Connection) -> None:
    """1 → 2: a step may have parts, a run's spec is one of several steps.

    Tables whose shape is not today's are rebuilt with the columns that they share with it.
    """
    for table in metadata.sorted_tables:
        kept = [row[1] for row in connection.exec_driver_sql(f"PRAGMA table_info({table.name})")]
        if not kept:
            table.create(connection)
        elif kept != [column.name for column in table.columns]:
            _rebuild(connection, table, kept)
    connection.exec_driver_sql(
        "UPDATE runs SET spec = json_object('main', json(spec)) WHERE json_type(spec, '$.prompt') "
        "IS NOT NULL"
    )
    connection.exec_driver_sql(
        "UPDATE meta SET value = json_set(value, '$.before', json_object('main', "
        "json_extract(value, '$.before'))) WHERE key = 'scan' "
        "AND json_type(value, '$.before') = 'object'"
    )


def _rebuild(connection: Connection, table: Table, kept: list[str]) -> None:
    names = ", ".join(f'"{c.name}"' for c in table.columns if c.name in kept)
    created = str(CreateTable(table).compile(connection))
    connection.exec_driver_sql(created.replace(table.name, f"new_{table.name}", 1))
    connection.exec_driver_sql(
        f"INSERT INTO new_{table.name} ({names}) SELECT {names} FROM {table.name}"  # noqa: S608
    )
    connection.exec_driver_sql(f"DROP TABLE {table.name}")
    connection.exec_driver_sql(f"ALTER TABLE new_{table.name} RENAME TO {table.name}")
    for index in table.indexes:
        index.create(connection)


STEPS: Steps = MappingProxyType({1: _give_parts})  # from a version to the next; none before 1


def ensure_current(engine: Engine, path: Path, *, steps: Steps = STEPS) -> None:
    """Create the tables of an empty store, bring an older one up to date.

    Raises StoreError: newer, foreign, damaged, too old, no room for the copy.
    """
    try:
        with engine.begin() as connection:
            if pragma(connection, "user_version") == 0 and _is_empty(connection):
                _create(connection)
            _refuse_unknown(connection, str(path))
            version = int(pragma(connection, "user_version"))
        if version < VERSION:
            _migrate(engine, path, version=version, steps=steps)
    except DatabaseError as error:
        raise unusable(path, error) from error


def refuse_foreign(connection: Connection, place: str) -> None:
    """Raise StoreError unless the store has today's shape."""
    _refuse_unknown(connection, place)
    version = pragma(connection, "user_version")
    if version < VERSION:
        raise StoreError(
            f"{place}: was written by an older batchai (store version {version}, this one reads "
            f"{VERSION}); the next `batchai run` of the job brings it up to date"
        )


def _refuse_unknown(connection: Connection, place: str) -> None:
    if pragma(connection, "application_id") != APPLICATION_ID:
        raise StoreError(
            f"{place}: is no batchai store; move it away, or give the job another `name:`"
        )
    version = pragma(connection, "user_version")
    if version > VERSION:
        raise StoreError(
            f"{place}: was written by a newer batchai (store version {version}, this one knows "
            f"{VERSION}); upgrade with: pip install -U batchai"
        )


def _migrate(engine: Engine, path: Path, *, version: int, steps: Steps) -> None:
    missing = [number for number in range(version, VERSION) if number not in steps]
    if missing:
        raise StoreError(
            f"{path}: was written by a batchai that is too old (store version {version}, this one "
            f"knows {missing[-1] + 1} and later); export it with that one, or begin anew: --fresh"
        )
    _keep_copy(path, version)
    with rebuilding(engine, str(path)) as connection:
        for number in range(version, VERSION):
            steps[number](connection)
        connection.exec_driver_sql(f"PRAGMA user_version={VERSION}")


def _keep_copy(path: Path, version: int) -> None:
    """Replace the copy that an attempt of before has left: this one is newer."""
    folder = path.parent / BACKUPS
    temporary = folder / f".{path.stem}.v{version}.db.tmp"
    try:
        make_durable(folder)
        temporary.unlink(missing_ok=True)
        copy_store(path, temporary)
        temporary.replace(folder / f"{path.stem}.v{version}.db")
        sync_folder(folder)
    except OSError as error:
        raise StoreError(
            f"{folder}: cannot be written ({error.strerror}); an older store is copied there "
            "before it is brought up to date"
        ) from error


def _create(connection: Connection) -> None:
    metadata.create_all(connection)
    connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")
    connection.exec_driver_sql(f"PRAGMA user_version={VERSION}")


def _is_empty(connection: Connection) -> bool:
    return connection.exec_driver_sql("SELECT count(*) FROM sqlite_schema").scalar() == 0
