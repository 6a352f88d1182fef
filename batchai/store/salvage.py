"""What can still be read of a store that is damaged."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter

from sqlalchemy import bindparam, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DatabaseError

from batchai.domain import ResultRow
from batchai.store.results import RESULTS, item_result

_AT_ONCE = 500
_RANGE = text(
    f"{RESULTS} WHERE i.selected > 0 AND i.id BETWEEN :first AND :last ORDER BY i.id"
).bindparams(bindparam("steps", expanding=True))
_LAST = (
    "SELECT max(id) FROM items",
    "SELECT max(item_id) FROM item_steps",
    "SELECT max(item_id) FROM attempts",
)
_UNREADABLE = (DatabaseError, ValueError, LookupError, TypeError)  # a page, or what stands on it


class Salvage:
    """The results that can be read, in the order in which their items were taken in.

    Each call reads them once more. lost: items of the last reading that could not be read.
    """

    def __init__(self, connection: Connection, names: Sequence[str]) -> None:
        self.lost = 0
        self._connection = connection
        self._names = tuple(names)

    def __call__(self) -> Iterator[ResultRow]:
        """Raises DatabaseError where not even the number of items can be told."""
        self.lost = 0
        last = self._last_id()
        for first in range(1, last + 1, _AT_ONCE):
            yield from self._between(first, min(last, first + _AT_ONCE - 1))

    def _between(self, first: int, last: int) -> Iterator[ResultRow]:
        """Halved where it cannot be read, until it is one item."""
        try:
            found = self._read(first, last)
        except _UNREADABLE:
            if first == last:
                self.lost += 1
                return
            middle = (first + last) // 2
            yield from self._between(first, middle)
            yield from self._between(middle + 1, last)
        else:
            yield from found

    def _read(self, first: int, last: int) -> list[ResultRow]:
        values = {"steps": self._names, "first": first, "last": last}
        rows = self._connection.execute(_RANGE, values)
        by_item = groupby(rows, key=itemgetter(0))
        return [item_result(list(found), self._names) for _, found in by_item]

    def _last_id(self) -> int:
        """By whichever table tells it."""
        found: list[int] = []
        problem: DatabaseError | None = None
        for query in _LAST:
            try:
                found.append(self._connection.exec_driver_sql(query).scalar() or 0)
            except DatabaseError as error:
                problem = error
        if not found and problem is not None:
            raise problem
        return max(found)
