"""Which shape a store has, and how an older one becomes today's.

`PRAGMA user_version` is the shape's number, `application_id` says that the file is ours.
"""

from sqlalchemy import Engine
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DatabaseError

from batchai.errors import StoreError
from batchai.store.dialect import APPLICATION_ID, pragma
from batchai.store.tables import metadata

VERSION = 1


def ensure_current(engine: Engine, place: str) -> None:
    """Create the tables of an empty store; refuse a newer or foreign one with StoreError."""
    try:
        with engine.begin() as connection:
            if pragma(connection, "user_version") == 0 and _is_empty(connection):
                metadata.create_all(connection)
                connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")
                connection.exec_driver_sql(f"PRAGMA user_version={VERSION}")
            refuse_foreign(connection, place)
    except DatabaseError as error:
        raise StoreError(
            f"{place}: is damaged or no batchai store ({error.orig}); restore it with a copy "
            "made by "
            "`batchai backup`, or move it away to begin anew"
        ) from error


def refuse_foreign(connection: Connection, place: str) -> None:
    """Raise StoreError unless the store has today's shape."""
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


def _is_empty(connection: Connection) -> bool:
    return connection.exec_driver_sql("SELECT count(*) FROM sqlite_schema").scalar() == 0
