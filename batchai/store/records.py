"""Single items in full, and short lists of them. Read-only; call within `Reader.snapshot()`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from batchai.domain import Outcome, Purpose, State, Usage
from batchai.pricing import from_pico
from batchai.store.queries import Reader
from batchai.store.rows import DatabaseRow
from batchai.store.values import from_json, from_ms

_ITEM = (
    "SELECT s.step, i.id, i.key, i.position, i.row, i.selected, s.state, s.fingerprint, s.outcome, "
    "s.error, s.result, s.model, s.attempts, s.cost_pico, s.settled_at, "
    "(SELECT sum(CASE WHEN a.outcome IS NULL THEN a.worst_pico ELSE a.unconfirmed_pico END) "
    "FROM attempts AS a WHERE a.item_id = i.id AND a.step = s.step) AS unconfirmed_pico "
    "FROM items AS i JOIN item_steps AS s ON s.item_id = i.id AND s.step IN :steps AND s.part = 0 "
)
_FROM = (
    "FROM item_steps AS s JOIN items AS i ON i.id = s.item_id "
    "WHERE s.step = :step AND s.part = 0 AND i.selected = :selected"
)
_CONDITIONS = {
    "all": "",
    "failed": " AND s.state IN ('failed', 'unknown')",
    "kind": " AND s.state IN ('failed', 'unknown') AND s.outcome = :name",
    "attempted": " AND s.item_id IN (SELECT item_id FROM attempts WHERE outcome = :name)",
    "state": " AND s.state = :name",
    "succeeded": " AND s.state IN ('succeeded', 'skipped') AND EXISTS (SELECT 1 "
    "FROM item_steps AS o WHERE o.item_id = s.item_id AND o.part = 0 AND o.step IN :steps "
    "AND o.state = 'succeeded')",
    "skipped": " AND s.state = 'skipped' AND NOT EXISTS (SELECT 1 FROM item_steps AS o "
    "WHERE o.item_id = s.item_id AND o.part = 0 AND o.step IN :steps AND o.state <> 'skipped')",
    "unknown": " AND s.item_id IN (SELECT item_id FROM attempts "
    "WHERE outcome = 'unknown' OR outcome IS NULL)",
}


@dataclass(frozen=True, slots=True)
class ItemRecord:
    """An item and what became of it in a step. fields None: its row is not kept. Costs in USD.

    result: of succeeded items. unconfirmed: what its attempts may have cost beside, open ones at
    their worst.
    """

    step: str
    id: int
    key: str
    position: int
    is_selected: bool
    fields: dict[str, Any] | None
    state: State
    fingerprint: bytes | None
    outcome: str | None
    error: str
    result: Any
    model: str | None
    attempts: int
    cost: Decimal
    unconfirmed: Decimal
    settled_at: datetime | None


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """An attempt in full; outcome None: it is open. model: as asked for; resolved: who answered."""

    step: str
    part: int
    number: int
    run: int
    model: str
    resolved: str | None
    outcome: Outcome | None
    sent_at: datetime
    latency_seconds: float | None
    max_tokens: int
    tokens: Usage
    cost: Decimal
    unconfirmed: Decimal
    worst: Decimal
    status: int | None
    request_id: str | None
    detail: str
    answer: str | None
    purpose: Purpose | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which items: all, failed, of a `kind` (an outcome), in a `state`, succeeded or skipped over
    all steps, attempted, or unknown.

    attempted: those with an attempt of an outcome, whatever came after it. unknown: those with an
    attempt that was sent and never recorded.
    """

    what: str
    name: str = ""

    @property
    def is_of_one_step(self) -> bool:
        """Whether an item is so in one of its steps only; else the last step's rows tell."""
        return self.what in {"failed", "kind"} or self.name == State.PENDING


def item_record(reader: Reader, names: tuple[str, ...], key: str) -> list[ItemRecord]:
    """The item of a key in these steps, in their order, also one that left the input; none where
    there is no such item."""
    return _in_order(
        reader.query(_ITEM + "WHERE i.key = :key", {"steps": names, "key": key}), names
    )


def attempt_records(reader: Reader, names: tuple[str, ...], item_id: int) -> list[AttemptRecord]:
    """All attempts of an item, step by step and part by part, oldest first."""
    rows = reader.query(
        "SELECT * FROM attempts WHERE item_id = :id ORDER BY part, number, id", {"id": item_id}
    )
    order = {name: place for place, name in enumerate(names)}
    return sorted(map(_attempt, rows), key=lambda found: order.get(found.step, len(order)))


def item_records(
    reader: Reader, names: tuple[str, ...], wanted: Wanted, *, limit: int, are_groups: bool = False
) -> tuple[int, list[list[ItemRecord]]]:
    """How many selected items are wanted, and the first of them, in all of these steps.

    are_groups: of a reduction, which is the one step.
    """
    where = _FROM + _CONDITIONS[wanted.what]
    total = 0
    ids: list[int] = []
    for step in names if wanted.is_of_one_step else names[-1:]:
        values = {"step": step, "steps": names, "name": wanted.name, "selected": 1 + are_groups}
        total += int(reader.query(f"SELECT count(*) {where}", _needed(values, where))[0][0])
        page = f"SELECT i.id {where} ORDER BY i.position, i.id LIMIT :limit"
        rows = reader.query(page, {**_needed(values, where), "limit": limit - len(ids)})
        ids += [row[0] for row in rows]
    return total, list(records_of(reader, names, ids))


def records_of(
    reader: Reader, names: tuple[str, ...], ids: Iterable[int]
) -> Iterator[list[ItemRecord]]:
    """Items by their ids, one at a time, each in these steps."""
    for item_id in ids:
        rows = reader.query(_ITEM + "WHERE i.id = :id", {"steps": names, "id": item_id})
        yield _in_order(rows, names)


def failed_ids(reader: Reader, names: tuple[str, ...], *, limit: int) -> list[int]:
    """The first selected items that failed or are held in one of these steps."""
    rows = reader.query(
        "SELECT i.id FROM item_steps AS s JOIN items AS i ON i.id = s.item_id "
        "WHERE s.step IN :steps AND s.part = 0 AND i.selected = 1 "
        "AND s.state IN ('failed', 'unknown') ORDER BY i.id LIMIT :limit",
        {"steps": names, "limit": limit},
    )
    return [row[0] for row in rows]


def _in_order(rows: Iterable[DatabaseRow], names: tuple[str, ...]) -> list[ItemRecord]:
    return sorted(map(_item, rows), key=lambda record: names.index(record.step))


def _needed(values: dict[str, Any], statement: str) -> dict[str, Any]:
    """Those that a statement speaks of: the database refuses others."""
    return {name: value for name, value in values.items() if f":{name}" in statement}


def _item(row: DatabaseRow) -> ItemRecord:
    has_result = row.state == State.SUCCEEDED and row.result is not None  # else: of an earlier run
    return ItemRecord(
        step=row.step,
        id=row.id,
        key=row.key,
        position=row.position,
        is_selected=bool(row.selected),
        fields=None if row.row is None else from_json(row.row),
        state=State(row.state),
        fingerprint=row.fingerprint,
        outcome=row.outcome,
        error=row.error or "",
        result=from_json(row.result) if has_result else None,
        model=row.model,
        attempts=row.attempts,
        cost=from_pico(row.cost_pico),
        unconfirmed=from_pico(row.unconfirmed_pico or 0),
        settled_at=None if row.settled_at is None else from_ms(row.settled_at),
    )


def _attempt(row: DatabaseRow) -> AttemptRecord:
    return AttemptRecord(
        step=row.step,
        part=row.part,
        number=row.number,
        run=row.run_id,
        model=row.model,
        resolved=row.resolved_model,
        outcome=None if row.outcome is None else Outcome(row.outcome),
        sent_at=from_ms(row.sent_at),
        latency_seconds=None if row.latency_ms is None else row.latency_ms / 1000,
        max_tokens=row.max_tokens,
        tokens=Usage(
            row.uncached_input,
            row.cache_read,
            row.cache_write_5m,
            row.cache_write_1h,
            row.output,
            row.reasoning,
        ),
        cost=from_pico(row.cost_pico),
        unconfirmed=from_pico(row.unconfirmed_pico),
        worst=from_pico(row.worst_pico),
        status=row.status,
        request_id=row.request_id,
        detail=row.detail or "",
        answer=row.answer,
        purpose=None if row.purpose is None else Purpose(row.purpose),
    )
