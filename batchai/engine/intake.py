"""The intake: what a scan finds is written to the store, from where the pool takes its work."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batchai.domain import State
from batchai.engine.progress import Progress
from batchai.engine.scan import SENT, Change, Finding, Reading, Scan, ScanChunk, SeenItems
from batchai.prompts import is_kept
from batchai.store import Store
from batchai.store.rows import StoredItem
from batchai.store.values import to_json

_AT_ONCE = 5000  # removed items in a group: settlements wait for it
SCAN_MARK = "scan"  # the fact in the store that says how far which selection was taken in

_Operation = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Selection:
    """What is scanned.

    stamp: identifies source and selection; None where it cannot be told unchanged. is_first:
    nothing but this scan has put items into the store. before, keep: the spec that settled items
    were made under, and whether they stay, so that an interrupted comparison goes on as it began.
    """

    stamp: str | None
    is_first: bool
    before: Mapping[str, Any] | None = None
    keep: bool = False
    retain_rows: bool = True

    def mark(self, *, records: int, done: bool) -> str:
        """The fact that is kept with each chunk."""
        return to_json(
            {
                "stamp": self.stamp,
                "first": self.is_first,
                "before": None if done else self.before,
                "keep": self.keep,
                "records": records,
                "done": done,
            }
        )


class Intake:
    """Writes one scan. Raises SourceError and BadRowError, StoreError."""

    def __init__(
        self,
        scan: Scan,
        selection: Selection,
        *,
        store: Store,
        steps: Sequence[str],
        progress: Progress,
        skip: int = 0,
    ) -> None:
        self._scan = scan
        self._selection = selection
        self._store = store
        self._steps = tuple(steps)
        self._progress = progress
        self._records = skip
        self._seen = SeenItems()

    async def run(self, *, refresh: Callable[[], None], is_over: Callable[[], bool]) -> None:
        """Take in the whole selection, or as much as there is before `is_over`."""
        reading = Reading(self._scan)
        try:
            while not is_over():
                chunk = await reading.next()
                if chunk is None:
                    await self._finish()
                    return
                if await self._take(chunk):  # else the feed would look in vain, at some cost
                    refresh()
        finally:
            await asyncio.to_thread(reading.close)

    async def pick(self, findings: list[Finding]) -> None:
        """Write just these, and leave no mark: the next scan sees them as known."""
        operations = [row for finding in findings for row in self._operations(finding)]
        await self._store.ledger.absorb(operations)

    async def _take(self, chunk: ScanChunk) -> bool:
        """Write a chunk; returns whether it holds anything to send."""
        self._records += chunk.records
        operations: list[_Operation] = [
            ("bad_row", (bad.place, bad.problem)) for bad in chunk.bad_rows
        ]
        for finding in chunk.findings:
            operations += self._operations(finding)
        mark = self._selection.mark(records=self._records, done=False)
        operations.append(("set_meta", (SCAN_MARK, mark)))
        await self._store.ledger.absorb(operations)
        return self._count(chunk) > 0

    def _operations(self, finding: Finding) -> list[_Operation]:
        stored, item = finding.stored, finding.item
        if stored is None:
            item_id = self._store.ledger.new_item_id()
            self._seen.add(item_id)
            return [
                ("add_item", (item_id, item.key, item.position, finding.row)),
                ("add_step", (item_id, self._steps[0])),
                *(("add_later_step", (item_id, step)) for step in self._steps[1:]),
            ]
        self._seen.add(stored.item_id)
        operations: list[_Operation] = []
        row = finding.row if self._selection.retain_rows or finding.change in SENT else None
        if not (stored.position == item.position and stored.selected and stored.row == row):
            operations.append(("place_item", (item.position, row, stored.item_id)))
        if finding.change is Change.SAME and not finding.restored:  # nearly all of them, as a rule
            return operations
        if len(stored.steps) < len(self._steps):
            new = (step for step in self._steps if step not in stored.steps)
            operations += [("add_later_step", (stored.item_id, step)) for step in new]
        if finding.begins is not None:
            operations += self._beginning(finding, stored, finding.begins)
        for step, fingerprint in finding.adopted:
            operations.append(("adopt_step", (fingerprint, stored.item_id, step)))
        for step, fingerprint in finding.restored:
            operations.append(("reuse_step", (fingerprint, stored.item_id, step, 0)))
        return operations

    def _beginning(self, finding: Finding, stored: StoredItem, begins: str) -> Iterator[_Operation]:
        """The item goes on from this step: the later ones wait, with the results that they have."""
        where = (stored.item_id, begins)
        if finding.change is not Change.PENDING:
            known = stored.steps.get(begins)
            is_refused = known is not None and is_kept(known.fingerprint)  # it stays no longer
            yield "reset_step" if is_refused else "reopen_step", where
            for step in self._steps[self._steps.index(begins) + 1 :]:
                if step not in stored.steps:
                    continue
                if finding.change is Change.CHANGED and is_kept(stored.steps[step].fingerprint):
                    yield "reset_step", (stored.item_id, step)  # which a group runs first
                yield "wait_step", (stored.item_id, step)
            return
        if begins not in stored.steps or stored.steps[begins].state is State.WAITING:
            yield "release_step", where
        if self._begins_anew(finding):
            yield "renew_step", where

    def _begins_anew(self, finding: Finding) -> bool:
        """Whether the attempts of a pending item were at another request, as far as one can tell:
        their answers are no feedback for this one."""
        if finding.stored is None or finding.change is not Change.PENDING:
            return False
        is_edited = finding.stored.row not in (None, finding.row)
        return is_edited or self._selection.before is not None

    async def _finish(self) -> None:
        if not self._selection.is_first:
            gone = await asyncio.to_thread(self._store.reader.selected_but, self._seen.bits)
            for start in range(0, len(gone), _AT_ONCE):
                removed = gone[start : start + _AT_ONCE]
                await self._store.ledger.absorb(
                    ("deselect_item", (item_id,)) for item_id in removed
                )
            self._progress.changes["removed"] = len(gone)
        mark = self._selection.mark(records=self._records, done=True)
        await self._store.ledger.set_meta(SCAN_MARK, mark)
        self._progress.is_counted = True

    def _count(self, chunk: ScanChunk) -> int:
        """Count a chunk's findings; returns how many are to be sent."""
        counts = Counter(finding.change for finding in chunk.findings)
        for change, number in counts.items():
            self._progress.changes[change.value] += number
        self._progress.bad_rows += len(chunk.bad_rows)
        sent = sum(counts[change] for change in SENT)
        self._progress.to_send += sent
        return sent
