"""The scan: source → items, each compared with what the store knows of its key.

It runs ahead of the pool in a thread of its own. The same decisions serve `plan`, which only adds
them up, and `run`, which writes them to the store; from there the pool takes its work.
"""

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from batchai.domain import Item, State
from batchai.errors import BadRowError, TemplateError
from batchai.prompts import Prompts, Rendered, is_same_request
from batchai.schemas import AnswerSchema
from batchai.sources import BadRow, Record, Source, content_key, key_of
from batchai.store.queries import Reader, StoredItem
from batchai.store.seen import SeenKeys
from batchai.store.values import from_json, to_json

CHUNK = 500
_FIRST_CHUNK = 50  # small, so that the first request leaves early
UNRENDERABLE = b"unrenderable"  # stands for the fingerprint of an item that cannot be rendered


class Change(StrEnum):
    """What a scan finds about an item."""

    NEW = "new"
    PENDING = "pending"  # known, not settled yet
    SAME = "same"  # the same request, settled
    EDITED = "edited"  # its row changed, and its request with it
    CHANGED = "changed"  # the job's prompt, model, parameters or schema changed
    KEPT = "kept"  # changed, and its result is kept as the user said
    REVALIDATED = "revalidated"  # only the schema changed, and its answer fits the new one


SENT = frozenset({Change.NEW, Change.PENDING, Change.EDITED, Change.CHANGED})


@dataclass(frozen=True, slots=True)
class Finding:
    """One item of the input beside what the store has."""

    item: Item
    row: str
    change: Change
    stored: StoredItem | None
    rendered: Rendered | None  # None where the scan does not render, or cannot
    fingerprint: bytes | None


@dataclass(frozen=True, slots=True)
class ScanChunk:
    """Findings of consecutive records, and rows that cannot be used."""

    findings: list[Finding]
    bad_rows: list[BadRow]
    records: int  # of the source, those with a bad key among them


class SeenItems:
    """Ids that a scan has met, one bit each: a million items are 125 kB."""

    def __init__(self) -> None:
        self.bits = bytearray()

    def add(self, item_id: int) -> None:
        """Meet one."""
        byte = item_id >> 3
        if byte >= len(self.bits):
            self.bits.extend(bytes(byte + 1024 - len(self.bits)))
        self.bits[byte] |= 1 << (item_id & 7)


@dataclass(frozen=True, slots=True)
class Comparison:
    """How settled items are compared with today's requests.

    spec_changed: stored results were made under another spec. keep: they stay, where the row has
    not changed what is sent. before, answers: only the schema changed; `before` fingerprints as
    then, and answers that `answers` accepts stay.
    """

    prompts: Prompts
    spec_changed: bool = False
    keep: bool = False
    before: Prompts | None = None
    answers: AnswerSchema | None = None


class Scan:
    """Reads a source once. Every method runs in one thread, off the loop.

    comparison None: nothing is compared, as in the first scan of a job. skip: records of the
    selection that an earlier launch has taken in. reader None: there is no store yet. Raises
    SourceError; BadRowError unless `skip_bad_rows`.
    """

    def __init__(
        self,
        source: Source,
        *,
        key_columns: Sequence[str],
        reader: Reader | None,
        step: str,
        comparison: Comparison | None = None,
        skip: int = 0,
        skip_bad_rows: bool = False,
    ) -> None:
        self._source = source
        self._columns = tuple(key_columns)
        self._reader = reader
        self._step = step
        self._comparison = comparison
        self._skip = skip
        self._skip_bad_rows = skip_bad_rows
        self._position = skip

    def chunks(self) -> Generator[ScanChunk]:
        """The whole selection, in the input's order."""
        seen = SeenKeys()
        try:
            for records in self._records():
                yield self._chunk(records, seen)
        finally:
            seen.close()

    def _records(self) -> Iterator[list[Record | BadRow]]:
        first = True
        for records in self._source.chunks(CHUNK, skip=self._skip):
            if first and len(records) > _FIRST_CHUNK:
                yield records[:_FIRST_CHUNK]
                records = records[_FIRST_CHUNK:]
            first = False
            yield records

    def _chunk(self, records: list[Record | BadRow], seen: SeenKeys) -> ScanChunk:
        bad: list[BadRow] = []
        keyed: list[tuple[str, Record]] = []
        for record in records:
            if isinstance(record, BadRow):
                bad.append(record)
                continue
            try:
                keyed.append((self._key(record), record))
            except BadRowError as error:
                bad.append(BadRow(record.place, str(error)))
        items = self._items(keyed, seen, bad)
        if bad and not self._skip_bad_rows:
            raise BadRowError(f"{bad[0].place}: {bad[0].problem}")
        stored = self._stored([item.key for item in items])
        findings = [self._finding(item, stored.get(item.key)) for item in items]
        return ScanChunk(findings, bad, sum(isinstance(record, Record) for record in records))

    def _key(self, record: Record) -> str:
        return key_of(record.fields, self._columns) if self._columns else content_key(record.fields)

    def _items(
        self, keyed: list[tuple[str, Record]], seen: SeenKeys, bad: list[BadRow]
    ) -> list[Item]:
        """Items with keys that are unique: a content hash gets its occurrence number, a user's key
        that comes twice is a bad row."""
        bases = [key for key, _ in keyed]
        before = self._seen_before(bases, seen) if bases else Counter()
        items = []
        for base, record in keyed:
            before[base] += 1
            if before[base] > 1 and self._columns:
                bad.append(BadRow(record.place, duplicate_key(base, self._columns)))
                continue
            key = base if before[base] == 1 else f"{base}-{before[base]}"
            items.append(Item(key, self._position, record.fields, record.place))
            self._position += 1
        seen.add(bases)
        return items

    def _seen_before(self, keys: list[str], seen: SeenKeys) -> Counter[str]:
        counts = seen.counts(keys)
        if self._skip:  # records that an earlier launch took in are in the store, not in `seen`
            for key in self._taken_in(keys):
                counts[key] += 1 if self._columns else self._occurrences(key)
        return counts

    def _occurrences(self, key: str) -> int:
        """How many records of this content were taken in: their numbers have no gaps."""
        low, high = 1, 2
        while self._taken_in([f"{key}-{high}"]):
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            if self._taken_in([f"{key}-{middle}"]):
                low = middle
            else:
                high = middle
        return low

    def _taken_in(self, keys: list[str]) -> list[str]:
        stored = self._stored(keys)
        return [key for key, item in stored.items() if item.position < self._skip]

    def _stored(self, keys: list[str]) -> dict[str, StoredItem]:
        if self._reader is None or not keys:
            return {}
        return self._reader.stored(self._step, keys)

    def _finding(self, item: Item, stored: StoredItem | None) -> Finding:
        row = to_json(dict(item.fields))
        change = _uncompared(stored)
        comparison = self._comparison
        if comparison is None:
            return Finding(item, row, change, stored, None, None)
        settled = stored if change is Change.SAME else None
        if settled and settled.row == row and comparison.prompts.have_made(settled.fingerprint):
            return Finding(item, row, change, stored, None, None)  # half the time of a scan saved
        rendered, fingerprint = _render(comparison.prompts, item.fields)
        if settled and not _is_same(comparison.prompts, settled, fingerprint):
            change = self._difference(comparison, item, settled, fingerprint)
        return Finding(item, row, change, stored, rendered, fingerprint)

    def _difference(
        self, comparison: Comparison, item: Item, stored: StoredItem, fingerprint: bytes
    ) -> Change:
        """Why a settled item's request is another now, and what follows."""
        if not comparison.spec_changed:
            return Change.EDITED
        if comparison.keep:
            is_kept = _is_same_row(comparison.prompts, stored, fingerprint)
            return Change.KEPT if is_kept else Change.EDITED
        if comparison.before is not None and comparison.answers is not None:
            was = _render(comparison.before, item.fields)[1]
            if is_same_request(was, stored.fingerprint) and self._still_valid(
                stored, comparison.answers
            ):
                return Change.REVALIDATED
        return Change.CHANGED

    def _still_valid(self, stored: StoredItem, answers: AnswerSchema) -> bool:
        assert self._reader is not None  # it gave us `stored`
        _, result = self._reader.stored_rows(self._step, [stored.item_id])[stored.item_id]
        return stored.state is State.SUCCEEDED and answers.read(to_json(result)).problem is None


def close_scan(chunks: Generator[ScanChunk]) -> None:
    """End a scan; one that the thread of a cancelled reader still is at ends by itself."""
    with suppress(ValueError):
        chunks.close()


def _uncompared(stored: StoredItem | None) -> Change:
    if stored is None:
        return Change.NEW
    return Change.PENDING if stored.state is State.PENDING else Change.SAME


def _is_same(prompts: Prompts, stored: StoredItem, fingerprint: bytes) -> bool:
    """Whether today's request is the one that settled the item, or is held: a held one was never
    settled, so that only its row tells."""
    if stored.state is State.UNKNOWN:
        return _is_same_row(prompts, stored, fingerprint)
    return is_same_request(stored.fingerprint, fingerprint)


def _is_same_row(prompts: Prompts, stored: StoredItem, fingerprint: bytes) -> bool:
    """Whether the stored row, under today's spec, makes the request of today's row."""
    if stored.row is None:
        return True  # not retained: nothing says otherwise
    return is_same_request(_render(prompts, from_json(stored.row))[1], fingerprint)


def _render(prompts: Prompts, fields: Any) -> tuple[Rendered | None, bytes]:
    try:
        rendered = prompts.render(fields)
    except TemplateError:
        return None, UNRENDERABLE
    return rendered, prompts.fingerprint(rendered)


def duplicate_key(key: str, columns: tuple[str, ...]) -> str:
    """What is wrong with a row whose key came before."""
    return (
        f"the key {', '.join(columns)} = {key!r} was there before; make it unique, or take several "
        "columns as `input.key`"
    )
