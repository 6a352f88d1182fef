import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from batchai.errors import SourceError
from batchai.sources import BadRow, Record, Source, open_source
from batchai.spec.models import Input, SqlInput


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "shop's.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER, name TEXT, price REAL, raw BLOB)")
        connection.executemany(
            "INSERT INTO t VALUES (?, ?, ?, ?)",
            [(n, f"name {n}", n / 2, b"\xff") for n in range(1200)],
        )
        connection.commit()
    return path


def source(path: Path, query: str) -> Source:
    return open_source(Input(sql=SqlInput(url=f"sqlite:///{path}", query=query)))


def test_rows_of_a_query_are_read_with_their_types(database: Path) -> None:
    opened = source(database, "SELECT id, name, price, raw, NULL AS missing FROM t ORDER BY id;")

    first = next(opened.records())

    assert first == Record(
        0,
        {"id": 0, "name": "name 0", "price": 0.0, "raw": "/w==", "missing": None},
        "row 1 of the query",
    )
    assert opened.columns() == ("id", "name", "price", "raw", "missing")
    assert opened.stamp() is None
    assert sum(1 for _ in opened.records()) == 1200


def test_colons_and_percent_signs_in_a_query_are_no_parameters(database: Path) -> None:
    (row,) = source(
        database, "SELECT ':x 10%' AS a FROM t WHERE name LIKE 'name 1' -- it's :y"
    ).records()

    assert isinstance(row, Record)
    assert row.fields == {"a": ":x 10%"}


def test_chunks_may_be_read_by_one_thread_after_another(database: Path) -> None:
    chunks = source(database, "SELECT id FROM t").chunks(100)
    sizes: list[int] = []

    for _ in range(12):
        thread = threading.Thread(target=lambda: sizes.append(len(next(chunks))))
        thread.start()
        thread.join()

    assert sizes == [100] * 12


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("DELETE FROM t", "must be a SELECT"),
        ("PRAGMA user_version = 3", "must be a SELECT"),
        ("/* SELECT */ DROP TABLE t", "must be a SELECT"),
        ("SELECT 1; DELETE FROM t", "must be one statement"),
        ("WITH x AS (DELETE FROM t RETURNING id) SELECT * FROM x", "DELETE is refused"),
        ("SELECT * INTO u FROM t", "INTO is refused"),
        ("SELECT id, id FROM t", "more than one column is named 'id'"),
        ("SELECT nope FROM t", "no such column: nope"),
    ],
)
def test_a_query_that_is_not_one_good_select_is_refused(
    database: Path, query: str, message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        list(source(database, query).records())


def test_words_in_texts_and_quoted_names_are_no_statements(database: Path) -> None:
    query = """SELECT 'it''s; delete' AS "update" FROM t LIMIT 1"""

    (row,) = source(database, query).records()

    assert isinstance(row, Record)
    assert row.fields == {"update": "it's; delete"}


def test_the_connection_itself_cannot_write(database: Path) -> None:
    from batchai.sources.sql import _sqlite

    with (
        closing(_sqlite(str(database), "x")) as connection,
        pytest.raises(sqlite3.OperationalError),
    ):
        connection.execute("DELETE FROM t")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:///nowhere/x.db", "no such file"),
        ("sqlite://", "names no file"),
        ("not a url", "is no database URL"),
        ("nosuch://user:geheim@host/db", "driver is not installed"),
    ],
)
def test_a_database_that_is_not_there_is_refused_without_showing_a_password(
    url: str, message: str
) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        list(open_source(Input(sql=SqlInput(url=url, query="SELECT 1"))).records())
    assert "geheim" not in str(caught.value)


def test_an_infinite_number_of_a_query_is_a_bad_row(database: Path) -> None:
    (row,) = source(database, "SELECT 9e999 AS x").records()

    assert isinstance(row, BadRow)
    assert row.place == "row 1 of the query"
