"""What a source hands out, and what every kind of reader offers to `Source`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

FIRST_RECORDS = 1000  # how many are looked at where a file names no columns


@dataclass(frozen=True, slots=True)
class Record:
    """One selected record.

    number: 0-based among the selected records; bad rows do not count. fields: column name → plain
    JSON value. place: where it stands, for messages (`data/a.csv:12`).
    """

    number: int
    fields: dict[str, Any]
    place: str


BAD_ROW_REMEDY = "mend it, or pass such rows over with `on_bad_row: skip`"


@dataclass(frozen=True, slots=True)
class BadRow:
    """One row that cannot be used; `on_bad_row` decides what follows."""

    place: str
    problem: str


# What readers yield in the hot loop: place, fields, size in bytes or characters (a rough weight).
Entry = tuple[str, dict[str, Any], int] | BadRow


class Reader(Protocol):
    """One kind of input."""

    @property
    def name(self) -> str:
        """What is read, for messages; never holds a password."""

    @property
    def reopens(self) -> bool:
        """Whether `entries` may be called more than once, cheaply."""

    def columns(self) -> tuple[str, ...]:
        """Column names in order; empty where only the records tell."""

    def entries(self) -> Iterator[Entry]:
        """All rows from the start, in order. Raises SourceError where reading cannot go on."""


def columns_of(entries: Iterator[Entry]) -> tuple[str, ...]:
    """The names that the first records use, in order of appearance."""
    names: dict[str, None] = {}
    for _, entry in zip(range(FIRST_RECORDS), entries, strict=False):
        if not isinstance(entry, BadRow):
            names.update(dict.fromkeys(entry[1]))
    return tuple(names)
