"""Single items in full, and short lists of them. Read-only; call within `Reader.snapshot()`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from batchai.domain import Outcome, State, Usage
from batchai.pricing import from_pico
from batchai.store.queries import DatabaseRow, Reader
from batchai.store.values import from_json, from_ms

_ITEM = (
    "SELECT s.step, i.id, i.key, i.position, i.row, i.selected, s.state, s.fingerprint, s.outcome, "
    "s.error, s.result, s.model, s.attempts, s.cost_pico, s.settled_at, "
    "(SELECT sum(CASE WHEN a.outcome IS NULL THEN a.worst_pico ELSE a.unconfirmed_pico END) "
    "FROM attempts AS a WHERE a.item_id = i.id AND a.step = s.step) AS unconfirmed_pico "
    "FROM items AS i JOIN item_steps AS s ON s.item_id = i.id AND s.step = :step AND s.part = 0 "
)
_FROM = (
    "FROM item_steps AS s JOIN items AS i ON i.id = s.item_id "
    "WHERE s.step = :step AND s.part = 0 AND i.selected = 1"
)
_CONDITIONS = {
    "all": "",
    "failed": " AND s.state IN ('failed', 'unknown')",
    "kind": " AND s.state IN ('failed', 'unknown') AND s.outcome = :name",
    "state": " AND s.state = :name",
    "unknown": " AND s.item_id IN (SELECT item_id FROM attempts "
    "WHERE outcome = 'unknown' OR outcome IS NULL)",
}


@dataclass(frozen=True, slots=True)
class ItemRecord:
    """An item and what became of it. fields None: its row is not kept. Costs in USD.

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


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which items: all, failed, of a `kind` (an outcome), in a `state`, or unknown.

    unknown: those with an attempt that was sent and never recorded.
    """

    what: str
    name: str = ""


def item_record(reader: Reader, step: str, key: str) -> ItemRecord | None:
    """The item of a key, also one that left the input; None where there is none."""
    rows = reader.query(_ITEM + "WHERE i.key = :key", {"step": step, "key": key})
    return _item(rows[0]) if rows else None


def attempt_records(reader: Reader, step: str, item_id: int) -> list[AttemptRecord]:
    """All attempts of an item, oldest first."""
    rows = reader.query(
        "SELECT * FROM attempts WHERE item_id = :id AND step = :step ORDER BY part, number, id",
        {"id": item_id, "step": step},
    )
    return [_attempt(row) for row in rows]


def item_records(
    reader: Reader, step: str, wanted: Wanted, *, limit: int
) -> tuple[int, list[ItemRecord]]:
    """How many selected items are wanted, and the first of them in the input's order."""
    where = _FROM + _CONDITIONS[wanted.what]
    values = {"step": step, "name": wanted.name}
    total = reader.query(f"SELECT count(*) {where}", values)[0][0]
    ids = reader.query(
        f"SELECT i.id {where} ORDER BY i.position, i.id LIMIT :limit", {**values, "limit": limit}
    )
    return int(total), list(records_of(reader, step, [row[0] for row in ids]))


def records_of(reader: Reader, step: str, ids: Iterable[int]) -> Iterator[ItemRecord]:
    """Items by their ids, one at a time."""
    for item_id in ids:
        rows = reader.query(_ITEM + "WHERE i.id = :id", {"step": step, "id": item_id})
        yield from map(_item, rows)


def failed_ids(reader: Reader, step: str, *, limit: int) -> list[int]:
    """The first selected items that failed or are held."""
    where = _FROM + _CONDITIONS["failed"]
    rows = reader.query(
        f"SELECT i.id {where} ORDER BY i.id LIMIT :limit", {"step": step, "limit": limit}
    )
    return [row[0] for row in rows]


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
    )
