"""What can still be read of a store that is damaged.

The rows that can be read go into a scratch database, and the results come out of that. Rows are
read by their ids alone: no damaged index hides them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter

from sqlalchemy import Table, bindparam, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DatabaseError

from batchai.domain import ResultRow
from batchai.store import tables
from batchai.store.dialect import pragma
from batchai.store.results import RESULTS, item_result

_AT_ONCE = 500
_ROW_BYTES = 32  # a row takes more, with what its indexes hold of it
_LAST = {  # by whichever query tells it: id + 0 is looked for in an index
    tables.items: (
        "SELECT max(id) FROM items",
        "SELECT max(id + 0) FROM items",
        "SELECT max(item_id) FROM item_steps",
        "SELECT max(item_id) FROM attempts",
    ),
    tables.item_steps: (
        "SELECT max(id) FROM item_steps",
        "SELECT max(id + 0) FROM item_steps",
    ),
}
# an item of which the row is gone: no key, and about its place
_NAMELESS = "INSERT INTO items SELECT id, NULL, id, 1, NULL FROM "
_WITHOUT_ITEM = (
    "(SELECT DISTINCT item_id AS id FROM item_steps WHERE part = 0 "
    "AND typeof(item_id) = 'integer' AND item_id NOT IN (SELECT id FROM items))"
)
_NOT_WHOLE = text(
    "SELECT count(*) FROM (SELECT i.key, count(s.id) AS steps, sum(s.step IN :steps) AS ours "
    "FROM items AS i LEFT JOIN item_steps AS s ON s.item_id = i.id AND s.part = 0 "
    "WHERE i.selected > 0 GROUP BY i.id) "
    "WHERE key IS NULL OR steps = 0 OR (:some_unread AND ours BETWEEN 1 AND :all - 1)"
).bindparams(bindparam("steps", expanding=True))
_RESULTS = text(f"{RESULTS} WHERE i.selected > 0 ORDER BY i.position, i.id").bindparams(
    bindparam("steps", expanding=True)
)
# what a damaged value makes of the code that takes it for a sound one
_UNREADABLE = (ValueError, LookupError, TypeError, ArithmeticError, AttributeError)


class Salvage:
    """The results that can be read, in about the input's order, as often as wanted.

    lost: items of the last reading that could not be read, or not whole.
    """

    def __init__(self, source: Connection, scratch: Connection, names: Sequence[str]) -> None:
        """Raises DatabaseError where nothing tells how many rows a table has."""
        self.lost = 0
        self._source = source
        self._scratch = scratch
        self._names = tuple(names)
        nameless = self._copy(tables.items)
        unread = self._copy(tables.item_steps)
        scratch.exec_driver_sql("CREATE INDEX of_items ON items (id)")
        scratch.exec_driver_sql("CREATE INDEX of_steps ON item_steps (item_id)")
        for item_id in nameless:
            scratch.exec_driver_sql(f"{_NAMELESS}(SELECT ? AS id)", (item_id,))
        scratch.exec_driver_sql(_NAMELESS + _WITHOUT_ITEM)
        values = {"steps": self._names, "some_unread": bool(unread), "all": len(self._names)}
        self._not_whole = int(scratch.execute(_NOT_WHOLE, values).scalar_one())

    def __call__(self) -> Iterator[ResultRow]:
        self.lost = self._not_whole
        streaming = self._scratch.execution_options(yield_per=500)
        rows = streaming.execute(_RESULTS, {"steps": self._names})
        for item_id, found in groupby(rows, key=itemgetter(0)):
            try:
                result = item_result(list(found), self._names)
                result.fields.items()  # a map, or what is written later would trip over it
            except _UNREADABLE:
                self.lost += 1
                continue
            if result.key is None:  # of _NAMELESS
                result = replace(result, key="", error=f"item {item_id}: its row cannot be read")
            yield result

    def _copy(self, table: Table) -> list[int]:
        """Into the scratch database. Returns the ids of rows that cannot be read."""
        columns = ", ".join(table.c.keys())
        places = ", ".join("?" * len(table.c))
        self._scratch.exec_driver_sql(f"CREATE TABLE {table.name} ({columns})")
        read = f"SELECT {columns} FROM {table.name} NOT INDEXED WHERE id BETWEEN ? AND ?"  # noqa: S608
        write = f"INSERT INTO {table.name} VALUES ({places})"  # noqa: S608
        last = self._last_id(table)
        waiting = [(first, first + _AT_ONCE - 1) for first in range(1, last + 1, _AT_ONCE)]
        unread = []
        while waiting:  # halved where it cannot be read, until it is one row
            first, end = waiting.pop()
            try:
                rows = self._source.exec_driver_sql(read, (first, end)).all()
            except DatabaseError:
                middle = (first + end) // 2
                if first == end:
                    unread.append(first)
                else:
                    waiting += [(first, middle), (middle + 1, end)]
            else:
                if rows:
                    self._scratch.exec_driver_sql(write, [tuple(row) for row in rows])
        return [row_id for row_id in unread if row_id <= last]

    def _last_id(self, table: Table) -> int:
        """A damaged id may be any number: never more than rows fit into the file."""
        most = pragma(self._source, "page_count") * pragma(self._source, "page_size") // _ROW_BYTES
        problem: DatabaseError | None = None
        for query in _LAST[table]:
            try:
                found = self._source.exec_driver_sql(query).scalar() or 0
            except DatabaseError as error:
                problem = error
            else:
                return min(int(found), int(most))
        assert problem is not None
        raise problem
