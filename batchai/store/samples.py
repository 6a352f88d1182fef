"""What single items took in their last run, over all steps, to learn from it. Read-only."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from batchai.store.groups import LENT_OF_ATTEMPTS, LENT_OF_STEPS
from batchai.store.queries import Reader
from batchai.store.rows import StoredItem
from batchai.store.values import from_json

_NEWEST = 2000  # attempts
_AT_ONCE = 500
_TAKEN = (
    "SELECT s.item_id, i.row, max(CASE WHEN s.step = :first THEN s.fingerprint END), count(*), "
    "sum(a.cost_pico), sum(a.latency_ms), "
    "sum(a.uncached_input + a.cache_read + a.cache_write_5m + a.cache_write_1h), sum(a.output) "
    "FROM item_steps AS s JOIN items AS i ON i.id = s.item_id JOIN attempts AS a "
    "ON a.item_id = s.item_id AND a.step = s.step AND a.run_id = s.run_id WHERE s.part = 0 "
    "AND s.step IN :steps "
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


def newest_taken(reader: Reader, *steps: str) -> list[TakenItem]:
    """The items of the newest attempts, whose rows are kept."""
    newest = "(SELECT item_id FROM attempts ORDER BY id DESC LIMIT :limit)"
    statement = f"{_TAKEN}{newest} GROUP BY s.item_id"
    return _taken(reader, statement, {**_of(steps), "limit": _NEWEST})


def taken(reader: Reader, *steps: str, item_ids: Collection[int]) -> list[TakenItem]:
    """Of these items, those that are settled and whose rows are kept."""
    ids, found = sorted(item_ids), []
    for start in range(0, len(ids), _AT_ONCE):
        listed = ", ".join(str(int(item)) for item in ids[start : start + _AT_ONCE])
        found += _taken(reader, f"{_TAKEN}({listed}) GROUP BY s.item_id", _of(steps))
    return found


def _of(steps: tuple[str, ...]) -> dict[str, Any]:
    return {"steps": steps, "first": steps[0]}


def _taken(reader: Reader, statement: str, values: dict[str, Any]) -> list[TakenItem]:
    return [
        TakenItem(item, from_json(row), fingerprint, number, cost, latency or 0, given, written)
        for item, row, fingerprint, number, cost, latency, given, written in reader.query(
            statement, values
        )
    ]


@dataclass(frozen=True, slots=True)
class ResultAttempt:
    """An attempt of the run that settled its item. unconfirmed: an open one's worst."""

    outcome: str
    cost_pico: int
    unconfirmed_pico: int
    latency_ms: int | None


def attempts_at_results(reader: Reader, step: str) -> list[ResultAttempt]:
    """All that led to what selected items are settled with now."""
    rows = reader.query(
        "SELECT coalesce(a.outcome, 'open'), a.cost_pico, "
        "CASE WHEN a.outcome IS NULL THEN a.worst_pico ELSE a.unconfirmed_pico END, a.latency_ms "
        "FROM item_steps AS s JOIN items AS i ON i.id = s.item_id JOIN attempts AS a "
        "ON a.item_id = s.item_id AND a.step = s.step AND a.run_id = s.run_id "
        "WHERE s.step = :step AND s.part = 0 AND i.selected = 1 "
        "AND s.state IN ('succeeded', 'failed')",
        {"step": step},
    )
    return [ResultAttempt(*row) for row in rows]


def steps_to_lend(reader: Reader, item: StoredItem, step: str) -> list[tuple[Any, ...]]:
    """Where the item is in the step and in its parts."""
    return _lent(reader, "item_steps", LENT_OF_STEPS, item, step)


def attempts_to_lend(reader: Reader, item: StoredItem, step: str) -> list[tuple[Any, ...]]:
    """The closed attempts of the run that settled it."""
    latest = "AND outcome IS NOT NULL AND run_id = (SELECT run_id FROM item_steps "
    latest += "WHERE item_id = :item AND step = :step AND part = 0) ORDER BY id"
    return _lent(reader, "attempts", LENT_OF_ATTEMPTS, item, step, latest)


def _lent(
    reader: Reader, table: str, columns: str, item: StoredItem, step: str, more: str = ""
) -> list[tuple[Any, ...]]:
    statement = f"SELECT {columns} FROM {table} WHERE item_id = :item AND step = :step {more}"  # noqa: S608 words of ours
    return [tuple(row) for row in reader.query(statement, {"item": item.item_id, "step": step})]
