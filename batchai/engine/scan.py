"""The scan: source → items, each compared with what the store knows of its key.

It runs ahead of the pool in a thread of its own. The same decisions serve `plan`, which only adds
them up, and `run`, which writes them to the store; from there the pool takes its work.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from batchai.domain import Item, State
from batchai.errors import BadRowError, TemplateError
from batchai.prompts import Asked, Asking, Kind, is_kept, is_same_request, kept
from batchai.schemas import AnswerSchema, Checks
from batchai.sources import BAD_ROW_REMEDY, BadRow, Record, Source, content_key, key_of
from batchai.store.queries import Reader
from batchai.store.rows import StoredItem, StoredStep
from batchai.store.seen import SeenKeys
from batchai.store.values import from_json, to_json

_T = TypeVar("_T")

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


_NOT_YET = frozenset({State.PENDING, State.WAITING})
_ENDS = frozenset({State.FAILED, State.UNKNOWN})  # an item goes no further
SENT = frozenset({Change.NEW, Change.PENDING, Change.EDITED, Change.CHANGED})


@dataclass(frozen=True, slots=True)
class Finding:
    """One item of the input beside what the store has.

    begins: the step that is to be sent, None where none is. asked: what it asks, None where the
    scan does not render, or cannot. adopted: steps that keep their results, with what today's
    fingerprints are; restored: likewise, of steps that were to be sent again and need not be.
    """

    item: Item
    row: str
    change: Change
    stored: StoredItem | None
    begins: str | None = None
    asked: Asked | None = None
    adopted: tuple[tuple[str, bytes], ...] = ()
    restored: tuple[tuple[str, bytes], ...] = ()


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
class StepComparison:
    """How the settled items of one step are compared with today's requests.

    spec_changed: stored results were made under another spec. before, answers, checks: only schema
    or checks changed; `before` fingerprints as then, and results that the others accept stay.
    """

    asking: Asking
    spec_changed: bool = False
    before: Asking | None = None
    answers: AnswerSchema | None = None
    checks: Checks | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The comparison of each step. keep: results of another spec stay, where the row has not
    changed what is sent. reruns_kept: those that stayed so far are to be sent after all."""

    steps: Mapping[str, StepComparison]
    keep: bool = False
    reruns_kept: bool = False

    @property
    def spec_changed(self) -> bool:
        """Whether some stored results were made under another spec."""
        return any(step.spec_changed for step in self.steps.values())


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
        steps: Sequence[str],
        comparison: Comparison | None = None,
        skip: int = 0,
        skip_bad_rows: bool = False,
    ) -> None:
        self._source = source
        self._columns = tuple(key_columns)
        self._reader = reader
        self._steps = tuple(steps)
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
            raise BadRowError(f"{bad[0].place}: {bad[0].problem}; {BAD_ROW_REMEDY}")
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
        return self._reader.stored(keys, *self._steps)

    def _finding(self, item: Item, stored: StoredItem | None) -> Finding:
        row = to_json(dict(item.fields))
        comparison = self._comparison
        if stored is None:
            first = self._steps[0]
            asked = None
            if comparison is not None:
                asked, _ = _ask(comparison.steps[first].asking, item.fields, {})
            return Finding(item, row, Change.NEW, None, first, asked)
        if comparison is None:
            begins = self._pending_in(stored)
            change = Change.SAME if begins is None else Change.PENDING
            return Finding(item, row, change, stored, begins)
        if stored.row == row and self._is_as_it_was(comparison, stored):
            return Finding(item, row, Change.SAME, stored)  # half the time of a scan saved
        return self._compared(comparison, item, row, stored)

    def _pending_in(self, stored: StoredItem) -> str | None:
        for name in self._steps:
            step = stored.steps.get(name)
            if step is None or step.state in _NOT_YET:
                return name
            if step.state in _ENDS:
                return None
        return None

    def _is_as_it_was(self, comparison: Comparison, stored: StoredItem) -> bool:
        """Whether it is settled, by just the steps of now, so that an equal row asks the same."""
        for name in self._steps:
            step = stored.steps.get(name)
            if step is None or step.state in _NOT_YET:
                return False
            if not comparison.steps[name].asking.have_made(step.fingerprint):
                return False
            if step.state in _ENDS:
                return True
        return True

    def _compared(
        self, comparison: Comparison, item: Item, row: str, stored: StoredItem
    ) -> Finding:
        """Go through the steps with the results that there are, up to the first to be sent."""
        change = Change.SAME
        adopted: list[tuple[str, bytes]] = []
        restored: list[tuple[str, bytes]] = []
        known: dict[str, Any] | None = None
        results: dict[str, Any] = {}
        for name in self._steps:
            step = stored.steps.get(name)
            asked, fingerprint = _ask(comparison.steps[name].asking, item.fields, results)
            found = self._change(comparison, name, item, stored, fingerprint, results)
            if found in SENT:
                stays = tuple(adopted), tuple(restored)
                return Finding(item, row, found, stored, name, asked, *stays)
            assert step is not None  # else it is pending
            if found is Change.KEPT:
                fingerprint = kept(fingerprint)
            if step.state in _NOT_YET:
                restored.append((name, fingerprint))
            elif found is not Change.SAME:
                adopted.append((name, fingerprint))
            if found is not Change.SAME:
                change = found
            if step.state in _ENDS:
                break
            if name != self._steps[-1]:
                known = self._results(stored) if known is None else known
                results[name] = known.get(name)
        return Finding(item, row, change, stored, None, None, tuple(adopted), tuple(restored))

    def _change(
        self,
        comparison: Comparison,
        name: str,
        item: Item,
        stored: StoredItem,
        fingerprint: bytes,
        results: Mapping[str, Any],
    ) -> Change:
        """What a step's request of today is beside what the store has of it.

        A step that was to be sent again is pending only if its old result does not stand today.
        """
        step = stored.steps.get(name)
        if step is None:
            return Change.PENDING
        is_open = step.state in _NOT_YET
        if is_open and (step.fingerprint is None or not step.has_result):
            return Change.PENDING
        if not _is_same(comparison.steps[name].asking, stored, step, fingerprint, results):
            found = self._difference(comparison, name, item, stored, fingerprint, results)
        elif comparison.reruns_kept and is_kept(step.fingerprint):
            found = Change.CHANGED
        else:
            found = Change.SAME
        return Change.PENDING if is_open and found in SENT else found

    def _difference(
        self,
        comparison: Comparison,
        name: str,
        item: Item,
        stored: StoredItem,
        fingerprint: bytes,
        results: Mapping[str, Any],
    ) -> Change:
        """Why a settled step's request is another now, and what follows."""
        step, settled = comparison.steps[name], stored.steps[name]
        if not step.spec_changed:
            return Change.EDITED
        if comparison.keep:
            is_kept = _is_same_row(step.asking, stored, fingerprint, results)
            return Change.KEPT if is_kept else Change.EDITED
        if step.before is not None and settled.has_result and settled.state not in _ENDS:
            was = _ask(step.before, item.fields, results)[1]
            if is_same_request(was, settled.fingerprint):
                result = self._results(stored)[name]
                variables = step.asking.prompts.variables(item.fields, results)
                if _still_valid(step, result, variables):
                    return Change.REVALIDATED
        return Change.CHANGED

    def _results(self, stored: StoredItem) -> dict[str, Any]:
        assert self._reader is not None  # it gave us `stored`
        return self._reader.results_of(stored.item_id, self._steps)


class _Daemons(Executor):
    """Runs each call in a daemon thread of its own; a pool's threads are waited for at the end."""

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
        """Its result, at once to be had; it cannot be cancelled."""
        future: Future[_T] = Future()

        def run() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 whoever awaits it is told
                future.set_exception(error)

        future.set_running_or_notify_cancel()
        threading.Thread(target=run, name="scan", daemon=True).start()
        return future


class Reading:
    """A scan that is read by one thread after another, and can be left while one is at it.

    The threads are daemons: one that waits for a pipe which says nothing ends with the process.
    Never is a generator closed that runs in another thread: that takes Python 3.11 down.
    """

    def __init__(self, scan: Scan) -> None:
        self._chunks = scan.chunks()
        self._is_free = threading.Lock()

    async def next(self) -> ScanChunk | None:
        """The next chunk; None at the end, and after `close`. Cancelled, it leaves its thread."""
        return await asyncio.get_running_loop().run_in_executor(_Daemons(), self._read)

    def _read(self) -> ScanChunk | None:
        with self._is_free:
            return next(self._chunks, None)

    def close(self) -> None:
        """End the scan; one that the thread of a cancelled reader still is at ends by itself."""
        if self._is_free.acquire(blocking=False):
            try:
                self._chunks.close()
            finally:
                self._is_free.release()


def _still_valid(step: StepComparison, result: Any, variables: Mapping[str, Any]) -> bool:
    """Whether a stored result is one today; of a step with elements, each of them."""
    assert step.answers is not None
    kind = step.asking.kind
    for one in result if kind is Kind.EACH else [result]:
        text = one if isinstance(one, str) and step.answers.is_text else to_json(one)
        if step.answers.read(text).problem:
            return False
        if step.checks is not None and step.checks.problem(one, variables):
            return False
    return kind is not Kind.TURNS  # of a conversation, turns are judged


def _is_same(
    asking: Asking,
    stored: StoredItem,
    step: StoredStep,
    fingerprint: bytes,
    results: Mapping[str, Any],
) -> bool:
    """Whether today's request is the one that settled the step, or is held: a held one was never
    settled, so that only its row tells."""
    if step.state is State.UNKNOWN:
        return _is_same_row(asking, stored, fingerprint, results)
    return is_same_request(step.fingerprint, fingerprint)


def _is_same_row(
    asking: Asking, stored: StoredItem, fingerprint: bytes, results: Mapping[str, Any]
) -> bool:
    """Whether the stored row, under today's spec, makes the request of today's row."""
    if stored.row is None:
        return True  # not retained: nothing says otherwise
    return is_same_request(_ask(asking, from_json(stored.row), results)[1], fingerprint)


def _ask(asking: Asking, fields: Any, results: Mapping[str, Any]) -> tuple[Asked | None, bytes]:
    try:
        asked = asking.of(fields, results)
    except TemplateError:
        return None, UNRENDERABLE
    return asked, asked.fingerprint


def duplicate_key(key: str, columns: tuple[str, ...]) -> str:
    """What is wrong with a row whose key came before."""
    return (
        f"the key {', '.join(columns)} = {key!r} was there before; make it unique, or take several "
        "columns as `input.key`"
    )
