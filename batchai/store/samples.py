"""What single items took in their last run, to learn from what was done. Read-only."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from batchai.store.queries import Reader
from batchai.store.values import from_json

_NEWEST = 2000  # attempts
_AT_ONCE = 500
_TAKEN = (
    "SELECT s.item_id, i.row, s.fingerprint, count(*), sum(a.cost_pico), sum(a.latency_ms), "
    "sum(a.uncached_input + a.cache_read + a.cache_write_5m + a.cache_write_1h), sum(a.output) "
    "FROM item_steps AS s JOIN items AS i ON i.id = s.item_id JOIN attempts AS a "
    "ON a.item_id = s.item_id AND a.step = s.step AND a.run_id = s.run_id WHERE s.step = :step "
    "AND s.state IN ('succeeded', 'failed') AND i.row IS NOT NULL AND s.item_id IN "
)


@dataclass(frozen=True, slots=True)
class TakenItem:
    """All attempts at a settled item in its last run. latency: the sum of theirs."""

    item_id: int
    fields: dict[str, Any]
    fingerprint: bytes | None
    attempts: int
    cost_pico: int
    latency_ms: int
    input_tokens: int
    output_tokens: int


def newest_taken(reader: Reader, step: str) -> list[TakenItem]:
    """The items of the newest attempts, whose rows are kept."""
    newest = "(SELECT item_id FROM attempts ORDER BY id DESC LIMIT :limit)"
    statement = f"{_TAKEN}{newest} GROUP BY s.item_id"
    return _taken(reader, statement, {"step": step, "limit": _NEWEST})


def taken(reader: Reader, step: str, item_ids: Collection[int]) -> list[TakenItem]:
    """Of these items, those that are settled and whose rows are kept."""
    ids, found = sorted(item_ids), []
    for start in range(0, len(ids), _AT_ONCE):
        listed = ", ".join(str(int(item)) for item in ids[start : start + _AT_ONCE])
        found += _taken(reader, f"{_TAKEN}({listed}) GROUP BY s.item_id", {"step": step})
    return found


def _taken(reader: Reader, statement: str, values: dict[str, Any]) -> list[TakenItem]:
    return [
        TakenItem(item, from_json(row), fingerprint, number, cost, latency or 0, given, written)
        for item, row, fingerprint, number, cost, latency, given, written in reader.query(
            statement, values
        )
    ]
