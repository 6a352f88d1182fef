"""What `batchai init` wants to know of a data file: columns, number of records, key, text."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from batchai.sources.records import BadRow
from batchai.sources.source import open_source
from batchai.spec.models import Input

_UNIQUE_WITHIN = 100_000  # records over which a key must be unique: bounds the memory
_KEY_NAMES = {"id": 0, "key": 1, "uuid": 1, "guid": 1, "path": 2, "url": 3, "sku": 3, "email": 4}
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")


@dataclass(frozen=True, slots=True)
class DataSketch:
    """What a data file looks like.

    rows: usable records. bad_rows: the others. key_candidate: the column with a name like an id
    that is never empty and unique (over the first 100,000 records), None where there is none.
    text_column: the one with the longest texts on average, None without text.
    """

    format: str
    columns: tuple[str, ...]
    rows: int
    bad_rows: int
    key_candidate: str | None
    text_column: str | None


@dataclass(slots=True)
class _Column:
    name: str
    rank: int | None  # how much the name looks like a key's, 0 is most
    chars: int = 0
    seen: set[int] = field(default_factory=set)

    def add(self, value: Any, number: int) -> None:
        if isinstance(value, str):
            self.chars += len(value)
        if self.rank is None or number >= _UNIQUE_WITHIN:
            return
        mark = hash(str(value))
        if (
            value is None
            or isinstance(value, list | dict)
            or not str(value).strip()
            or mark in self.seen
        ):
            self.rank = None
            self.seen.clear()
        else:
            self.seen.add(mark)


def inspect_data(path: str) -> DataSketch:
    """Read the whole input (file, folder or glob) once, as a stream; raises SourceError."""
    source = open_source(Input(path=path))
    columns = [_Column(name, _rank(name)) for name in source.columns()]
    rows = bad_rows = 0
    for entry in source.records():
        if isinstance(entry, BadRow):
            bad_rows += 1
            continue
        for column in columns:
            column.add(entry.fields.get(column.name), rows)
        rows += 1
    key = _best_key(columns) if rows else None
    return DataSketch(
        format=source.format,
        columns=tuple(column.name for column in columns),
        rows=rows,
        bad_rows=bad_rows,
        key_candidate=key,
        text_column=_longest(column for column in columns if column.name != key),
    )


def _rank(name: str) -> int | None:
    """`id`, then `customer_id`, `customerId`, `Customer ID`, then path, url …"""
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words or words[-1] not in _KEY_NAMES:
        return None
    return _KEY_NAMES[words[-1]] * 2 + (len(words) > 1)


def _best_key(columns: list[_Column]) -> str | None:
    ranked = [
        (column.rank, number) for number, column in enumerate(columns) if column.rank is not None
    ]
    return columns[min(ranked)[1]].name if ranked else None


def _longest(columns: Iterable[_Column]) -> str | None:
    best = max(columns, key=lambda column: column.chars, default=None)
    return best.name if best and best.chars else None
