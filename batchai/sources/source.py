"""The one door to inputs: `open_source`, and the stream of records that it gives."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, count, islice
from typing import Any

from batchai.errors import SourceError
from batchai.sources.csv_files import open_csv
from batchai.sources.documents import DocumentsReader
from batchai.sources.files import DataFile, Found, data_file, find, inside
from batchai.sources.json_files import JsonlReader, JsonReader, StdinReader
from batchai.sources.records import FIRST_RECORDS, BadRow, Entry, Reader, Record, columns_of
from batchai.sources.selection import Selection, selection_of
from batchai.sources.sql import open_sql
from batchai.sources.tables import open_parquet, open_xlsx
from batchai.sources.values import plain
from batchai.spec.models import Input

CHUNK_SIZE = 500
FIRST_DOCUMENTS = 20
CHUNK_BYTES = 1 << 24  # a chunk of large records ends early, so that memory stays bounded


class Source:
    """An opened input. Each call reads anew, but for stdin and iterators: those are read once."""

    def __init__(
        self, reader: Reader, selection: Selection, found: Found | None, identity: str
    ) -> None:
        self._reader = reader
        self._selection = selection
        self._found = found
        self._identity = identity
        self._rest: Iterator[Entry] | None = None  # of an input that can be read only once
        self._peeked: list[Entry] = []

    @property
    def name(self) -> str:
        """What is read, for messages."""
        return self._reader.name

    @property
    def format(self) -> str:
        """csv, tsv, jsonl, json, parquet, xlsx, files; or stdin, sql, items without a file."""
        return self._found.format if self._found else self._identity

    @property
    def reopens(self) -> bool:
        """Whether it can be read more than once: not stdin, nor an iterator."""
        return self._reader.reopens

    def stamp(self) -> str | None:
        """A cheap identity: equal stamps mean the same records.

        It covers format, encoding, selection, and path, size and mtime of each file (of data files
        as they were at opening). None for stdin, SQL and items in memory: compare always.
        """
        if self._found is None:
            return None
        digest = hashlib.sha256(self._identity.encode())
        files = getattr(self._reader, "files", None) or map(data_file, self._found.paths())
        for file in files:
            digest.update(f"\0{file.path}\0{file.size}\0{file.mtime_ns}".encode(errors="replace"))
        return digest.hexdigest()

    def columns(self) -> tuple[str, ...]:
        """Column names in order: of the header, or those that the first 1,000 records use."""
        names = self._reader.columns()
        if names:
            return names
        return columns_of(iter(self._peek(FIRST_RECORDS)))

    def head(self, size: int | None = None) -> list[Record | BadRow]:
        """The first entries; `records` and `chunks` give them again, stdin too.

        size: 1,000 without one, of documents 20, for taking the text out of one takes its time.
        """
        if size is None:
            size = FIRST_DOCUMENTS if self.format == "files" else FIRST_RECORDS
        numbers = count()
        return [
            entry if isinstance(entry, BadRow) else Record(next(numbers), entry[1], entry[0])
            for entry in self._peek(size)
        ]

    def records(self) -> Iterator[Record | BadRow]:
        """All selected records and the bad rows among them, in input order, as a stream."""
        return chain.from_iterable(self.chunks())

    def chunks(self, size: int = CHUNK_SIZE, *, skip: int = 0) -> Iterator[list[Record | BadRow]]:
        """The same in lists of at most `size` (fewer of large records), for a reading thread.

        skip: begin after this many selected records; bad rows before that are passed over too.
        Raises SourceError where reading cannot go on. One chunk may be read by one thread, the next
        by another, but never two at a time.
        """
        chunk: list[Record | BadRow] = []
        number = weight = 0
        for entry in self._entries():
            if isinstance(entry, BadRow):
                if number >= skip:
                    chunk.append(entry)
            else:
                if number >= skip:
                    chunk.append(Record(number, entry[1], entry[0]))
                    weight += entry[2]
                number += 1
            if len(chunk) >= size or weight >= CHUNK_BYTES:
                yield chunk
                chunk, weight = [], 0
        if chunk:
            yield chunk

    def _entries(self) -> Iterator[Entry]:
        if self._reader.reopens:
            return self._selection.of(self._reader.entries())
        peeked, self._peeked = self._peeked, []
        return chain(peeked, self._once())

    def _peek(self, count: int) -> list[Entry]:
        if self._reader.reopens:
            return list(islice(self._entries(), count))
        self._peeked += islice(self._once(), max(count - len(self._peeked), 0))
        return self._peeked[:count]

    def _once(self) -> Iterator[Entry]:
        if self._rest is None:
            self._rest = self._selection.of(self._reader.entries())
        return self._rest


def open_source(
    spec: Input, variables: Mapping[str, Any] | None = None, *, extracts: bool = True
) -> Source:
    """The input of a job, opened: files found, headers read, one record seen.

    variables: `vars` of the job, for `where`. extracts: whether the text of PDF, Word and web
    documents is taken out of them. Raises SourceError where there is nothing to read,
    and TemplateError where `where` does not compile.
    """
    selection = selection_of(spec, variables or {})
    if spec.sql is not None:
        return Source(open_sql(spec.sql.url, spec.sql.query), selection, None, "sql")
    if spec.path is None:
        raise SourceError("input: needs `path` or `sql`")
    if spec.path == "-":
        if spec.format not in (None, "jsonl"):
            raise SourceError(
                f"input.format: stdin is read as jsonl, not {spec.format}; write it to a file"
            )
        return Source(StdinReader(), selection, None, "stdin")
    found = inside(find(spec.path, spec.format), spec.roots)
    reader = _reader(found, spec.encoding, extracts=extracts)
    if next(reader.entries(), None) is None:
        raise SourceError(f"{reader.name}: holds no records; an input needs at least one")
    return Source(reader, selection, found, _identity(found, spec, variables or {}))


def open_items(
    items: Iterable[Mapping[str, Any]], spec: Input, variables: Mapping[str, Any] | None = None
) -> Source:
    """A source over mappings (dicts, the records of a data frame); an iterator is read once."""
    return Source(_ItemsReader(items), selection_of(spec, variables or {}), None, "items")


@dataclass(frozen=True, slots=True)
class _ItemsReader:
    items: Iterable[Mapping[str, Any]]
    name: str = "items"

    @property
    def reopens(self) -> bool:
        return iter(self.items) is not self.items

    def columns(self) -> tuple[str, ...]:
        return ()

    def entries(self) -> Iterator[Entry]:
        for number, item in enumerate(self.items, 1):
            place = f"item {number}"
            if not isinstance(item, Mapping):
                yield BadRow(place, f"is a {type(item).__name__}, not a mapping with named fields")
                continue
            try:
                yield place, plain(item), 0
            except ValueError as error:
                yield BadRow(place, str(error))


def _reader(found: Found, encoding: str, *, extracts: bool) -> Reader:
    if found.format == "files":
        return DocumentsReader(found.place, found.root, found.paths, encoding, extracts)
    files: tuple[DataFile, ...] = tuple(map(data_file, found.paths()))
    match found.format:
        case "jsonl":
            return JsonlReader(found.place, files, encoding)
        case "json":
            return JsonReader(found.place, files, encoding)
        case "parquet":
            return open_parquet(found.place, files)
        case "xlsx":
            return open_xlsx(found.place, files)
        case _:
            return open_csv(found.place, files, encoding, tabs=found.format == "tsv")


def _identity(found: Found, spec: Input, variables: Mapping[str, Any]) -> str:
    sample = (spec.sample.n, spec.sample.seed) if spec.sample else None
    used = variables if spec.where else {}
    parts = [found.format, spec.encoding, spec.where, used, sample, spec.limit]
    return json.dumps(parts, sort_keys=True, default=str)
