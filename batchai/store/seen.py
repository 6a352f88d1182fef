"""Which keys a scan has seen, on a scratch database: memory stays flat however many there are."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from batchai.errors import StoreError


class SeenKeys:
    """Counts keys; SQLite keeps them in a temporary file of its own that vanishes on close.

    Raises StoreError when that file cannot be written.
    """

    def __init__(self) -> None:
        self._scratch = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._scratch.execute("PRAGMA journal_mode=off")
        self._scratch.execute("PRAGMA synchronous=off")
        self._scratch.execute("CREATE TABLE seen (key TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID")

    def close(self) -> None:
        """Drop the scratch database."""
        self._scratch.close()

    def counts(self, keys: Sequence[str]) -> Counter[str]:
        """How often each of these was seen before."""
        marks = ",".join("?" * len(keys))
        query = f"SELECT key, n FROM seen WHERE key IN ({marks})"  # noqa: S608 only marks
        with _translated():
            return Counter(dict(self._scratch.execute(query, keys)))

    def add(self, keys: Iterable[str]) -> None:
        """See these once more."""
        with _translated(), self._scratch:
            self._scratch.execute("BEGIN")
            self._scratch.executemany(
                "INSERT INTO seen VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET n = n + excluded.n",
                Counter(keys).items(),
            )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(
            f"the scan's temporary file cannot be written ({error}); free space in the folder for "
            "temporary files, or name another one in TMPDIR"
        ) from error
