"""Rows of a query on a database that SQLAlchemy knows; it can only read."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchai.errors import SourceError
from batchai.sources.csv_files import check_names
from batchai.sources.files import show
from batchai.sources.records import BadRow, Entry
from batchai.sources.values import plain

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

_ROWS = 500
_READ_ONLY = {  # databases that refuse writes in a transaction that says so
    "postgresql": "SET TRANSACTION READ ONLY",
    "mysql": "SET SESSION TRANSACTION READ ONLY",
    "mariadb": "SET SESSION TRANSACTION READ ONLY",
    "oracle": "SET TRANSACTION READ ONLY",
}
_NOT_CODE = re.compile(
    r"'(?:[^']|'')*'" r'|"(?:[^"]|"")*"' r"|`[^`]*`|--[^\n]*|/\*.*?\*/", re.DOTALL
)
_WRITES = re.compile(
    r"\b(insert|update|delete|merge|into|drop|alter|create|truncate|grant|call|exec|execute)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class SqlReader:
    """Streams the rows of one SELECT. Without ORDER BY the database chooses their order."""

    name: str
    url: str
    query: str
    names: tuple[str, ...] = ()
    reopens: bool = True

    def opened(self) -> "SqlReader":
        """The same once the database took the query, with the names of its columns."""
        with self._errors(), _engine(self.url, self.name).connect() as connection:
            names, _ = _execute(connection, self.query, self.name)
        return replace(self, names=tuple(names))

    def columns(self) -> tuple[str, ...]:
        return self.names

    def entries(self) -> Iterator[Entry]:
        with self._errors(), _engine(self.url, self.name).connect() as connection:
            names, rows = _execute(connection, self.query, self.name)
            for number, row in enumerate(rows, 1):
                yield _entry(f"row {number} of the query", names, row)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from sqlalchemy.exc import DBAPIError, SQLAlchemyError

        try:
            yield
        except (SQLAlchemyError, sqlite3.Error) as error:
            reason = " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split())
            raise SourceError(f"{self.name}: {reason}") from error


def open_sql(url: str, query: str) -> SqlReader:
    """A reader of the query.

    Raises SourceError where the database does not open or does not take the query, and for anything
    but one SELECT (or WITH … SELECT).
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        shown = make_url(url).render_as_string(hide_password=True)
    except ArgumentError as error:
        raise SourceError(
            "url: is no database URL; write `sqlite:///FILE` or `postgresql+psycopg://…`"
        ) from error
    return SqlReader(f"query on {shown}", url, _only_select(query)).opened()


def _only_select(query: str) -> str:
    """A first check with a clear message; the connection itself is read-only where it can be."""
    code = _NOT_CODE.sub(" ", query).strip().rstrip(";").strip()
    if not re.match(r"(select|with|values)\b", code, re.IGNORECASE):
        raise SourceError("query: must be a SELECT (or WITH … SELECT): inputs are only read")
    if ";" in code:
        raise SourceError("query: must be one statement; remove what follows the `;`")
    writes = _WRITES.search(code)
    if writes:
        raise SourceError(
            f"query: {writes[0].upper()} is refused: inputs are only read "
            "(quote it where it is a column's name)"
        )
    return query.strip().rstrip(";")


def _engine(url: str, name: str) -> "Engine":
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import NoSuchModuleError
    from sqlalchemy.pool import NullPool

    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            database = parsed.database
            return create_engine(
                "sqlite://", creator=lambda: _sqlite(database, name), poolclass=NullPool
            )
        return create_engine(parsed, poolclass=NullPool)
    except (NoSuchModuleError, ImportError) as error:
        raise SourceError(f"{name}: the database driver is not installed ({error})") from error


def _sqlite(database: str | None, name: str) -> sqlite3.Connection:
    if not database or database == ":memory:":
        raise SourceError(f"{name}: names no file; write `sqlite:///FILE`")
    path = Path(database)
    if not path.is_file():
        raise SourceError(f"{name}: no such file: {show(path)}")
    # chunks may be read by one thread after another, never by two at a time
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False
    )
    connection.execute("PRAGMA query_only = ON")
    return connection


def _execute(connection: "Connection", query: str, name: str) -> tuple[list[str], Any]:
    statement = _READ_ONLY.get(connection.dialect.name)
    if statement:
        connection.exec_driver_sql(statement)
    result = connection.execution_options(
        stream_results=True, yield_per=_ROWS, no_parameters=True
    ).exec_driver_sql(query)
    names = [str(column) for column in result.keys()]  # noqa: SIM118 (a result, not a dict)
    check_names(name, names)
    return names, result


def _entry(place: str, names: list[str], row: Any) -> Entry:
    try:
        fields = {column: plain(value) for column, value in zip(names, row, strict=True)}
    except ValueError as error:
        return BadRow(place, str(error))
    return place, fields, sum(len(value) for value in fields.values() if isinstance(value, str))
