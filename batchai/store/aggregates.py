"""Sums and samples over a whole store, for reports. Read-only; money in pico-dollars, as stored.

What grows with the store is read in ranges of ids: sorting a range at a time stays in memory and
takes half the time that one GROUP BY over everything does. Call within `Reader.snapshot()`.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batchai.domain import Outcome
from batchai.store.queries import Reader
from batchai.store.rows import Run
from batchai.store.values import from_json

_RANGE = 5_000  # ids
_MOST_SAMPLED = 100_000
_DAY_MS = 86_400_000

_CELLS = f"""
SELECT a.launch_id, a.run_id, a.step, a.model, a.resolved_model, a.outcome,
    a.sent_at / {_DAY_MS} AS day,
    CASE WHEN a.number = 1 THEN 0 WHEN a.run_id = :first_run THEN 1 ELSE EXISTS (
        SELECT 1 FROM attempts AS p WHERE p.item_id = a.item_id AND p.step = a.step
        AND p.part = a.part AND p.run_id = a.run_id AND p.number < a.number) END AS is_retry,
    count(*), sum(a.cost_pico), sum(a.unconfirmed_pico), sum(a.uncached_input), sum(a.cache_read),
    sum(a.cache_write_5m), sum(a.cache_write_1h), sum(a.output), sum(a.reasoning),
    sum(a.saved_pico), min(a.sent_at), max(a.sent_at), max(a.sent_at + coalesce(a.latency_ms, 0))
FROM attempts AS a WHERE a.id > :after AND a.id <= :upto AND a.outcome IS NOT NULL
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
"""  # noqa: S608 a number of ours

_PAIRS = """
SELECT i.row -> :column, CASE WHEN s.result LIKE '{%' THEN s.result -> :field ELSE s.result END,
    count(*)
FROM items AS i JOIN item_steps AS s ON s.item_id = i.id AND s.step = :step
AND s.part = 0 WHERE i.id > :after AND i.id <= :upto AND i.selected = 1 AND i.row IS NOT NULL
AND s.state = 'succeeded' GROUP BY 1, 2
"""
_FIXED = (  # in the words of a partial index
    "SELECT count(*) FROM item_steps WHERE step IN :steps AND part = 0 AND state = 'succeeded' "
    "AND outcome NOT IN ('doubted', 'too_long') AND outcome NOT IN ('succeeded', '')"
)
_FIXED_UNSELECTED = (
    "SELECT count(*) FROM items AS i CROSS JOIN item_steps AS s WHERE i.selected = 0 "
    "AND s.item_id = i.id AND s.step IN :steps AND s.part = 0 AND s.state = 'succeeded' "
    "AND s.outcome NOT IN ('doubted', 'too_long', 'succeeded', '')"
)
_PLAIN_NAME = re.compile(r"[ !#-\[\]-~]+")  # ASCII but for the quote and the backslash


@dataclass(frozen=True, slots=True)
class Cell:
    """Closed attempts that agree in all of the first eight; sums over them, and their times in ms.

    `is_retry`: their items had an earlier attempt in the same run. `day`: since 1970, UTC.
    """

    launch_id: int
    run_id: int
    step: str
    model: str
    resolved: str | None
    outcome: Outcome
    day: int
    is_retry: bool
    attempts: int
    cost_pico: int
    unconfirmed_pico: int
    uncached_input: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    output: int
    reasoning: int
    saved_pico: int
    first_sent: int
    last_sent: int
    last_ended: int


@dataclass(frozen=True, slots=True)
class Answered:
    """One attempt that the model answered; input tokens cached or not."""

    model: str
    latency_ms: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class FailedItem:
    """A failed item in short; `at` in ms, None where it was never settled."""

    key: str
    kind: str
    error: str
    at: int | None


def attempt_cells(reader: Reader) -> Iterator[Cell]:
    """Every closed attempt counts in exactly one cell; several cells may agree in all eight."""
    first_run = _number(reader, "SELECT min(id) FROM runs")
    for values in ranges(reader, "attempts"):
        for row in reader.query(_CELLS, {**values, "first_run": first_run}):
            launch, run, step, model, resolved, outcome, day, is_retry, *sums = row
            names = (step, model, resolved, Outcome(outcome))
            yield Cell(launch, run, *names, day, bool(is_retry), *sums)


def answered_sample(reader: Reader) -> tuple[list[Answered], bool]:
    """Answered attempts, and whether they are all; beyond 100,000 an even sample of them."""
    share = min(1.0, _MOST_SAMPLED / max(1, _last_id(reader, "attempts")))
    rows = reader.query(
        # the low bits of a multiple by an odd number: each once, in no order that attempts have
        "SELECT model, latency_ms, uncached_input + cache_read + cache_write_5m + cache_write_1h, "
        "output FROM attempts WHERE (id * 40503) % 65536 < :below AND latency_ms IS NOT NULL "
        "AND outcome IN ('succeeded', 'invalid', 'truncated', 'refused', 'empty')",
        {"below": share * 65536},
    )
    return [Answered(*row) for row in rows], share == 1


def fixed_count(reader: Reader, *names: str) -> int:
    """Succeeded items whose result is the job's fixed values, not an answer."""
    values = {"steps": names}
    return _number(reader, _FIXED, values) - _number(reader, _FIXED_UNSELECTED, values)


def example_error(reader: Reader, *names: str, outcome: str) -> str:
    """Why one of the items failed that ended so."""
    rows = reader.query(
        "SELECT s.error FROM item_steps AS s JOIN items AS i ON i.id = s.item_id "
        "WHERE s.state IN ('failed', 'unknown') AND s.step IN :steps AND s.part = 0 "
        "AND s.outcome = :outcome AND i.selected > 0 LIMIT 1",
        {"steps": names, "outcome": outcome},
    )
    return rows[0][0] or "" if rows else ""


def bad_rows(reader: Reader, *, limit: int) -> tuple[int, list[tuple[str, str]]]:
    """How many rows of the input could not be used, and the first of them: place and problem."""
    rows = reader.query("SELECT place, problem FROM bad_rows LIMIT :limit", {"limit": limit})
    return _number(reader, "SELECT count(*) FROM bad_rows"), [tuple(row) for row in rows]


def rows_with_results(reader: Reader, step: str) -> Iterator[tuple[Mapping[str, Any], Any]]:
    """Row and result of every succeeded item whose row is kept, a range at a time."""
    for values in ranges(reader, "items"):
        rows = reader.query(
            "SELECT i.row, s.result FROM items AS i JOIN item_steps AS s ON s.item_id = i.id "
            "AND s.step = :step AND s.part = 0 WHERE i.id > :after AND i.id <= :upto "
            "AND i.selected = 1 AND i.row IS NOT NULL AND s.state = 'succeeded'",
            {**values, "step": step},
        )
        yield from ((from_json(row), from_json(result)) for row, result in rows)


def can_extract(name: str) -> bool:
    """Whether a field's name can stand in a JSON path of SQLite, which knows no escapes."""
    return _PLAIN_NAME.fullmatch(name) is not None


def value_pairs(
    reader: Reader, step: str, *, column: str, field: str
) -> Counter[tuple[str | None, str | None]]:
    """How often the input's `column` and the result's `field` hold which values, as JSON text.

    Of succeeded items whose row is kept; a result that is no object counts whole. Both names must
    be extractable. A fraction of the time that parsing the rows takes.
    """
    pairs: Counter[tuple[str | None, str | None]] = Counter()
    paths = {"column": f'$."{column}"', "field": f'$."{field}"', "step": step}
    for values in ranges(reader, "items"):
        for expected, given, number in reader.query(_PAIRS, {**values, **paths}):
            pairs[expected, given] += number
    return pairs


def item_steps(runs: Sequence[Run]) -> list[str]:
    """The steps that items go through, in order, as the newest run knows them."""
    spec = runs[-1].spec if runs else {}
    return [name for name, step in spec.items() if "reduce" not in step]


def settled_since(reader: Reader, *, launch_id: int, since_ms: int, most: int) -> tuple[int, int]:
    """(items settled, ms since when) over the launch's newest attempts, at most so many of them."""
    rows = reader.query(
        "SELECT count(*), coalesce(sum(s.settled_at = a.closed_at), 0), min(a.closed_at) FROM "
        "(SELECT * FROM attempts ORDER BY id DESC LIMIT :most) AS a JOIN item_steps AS s "
        "ON s.item_id = a.item_id AND s.step = a.step AND s.part = a.part "
        "WHERE a.launch_id = :launch AND a.closed_at > :since",
        {"most": most, "launch": launch_id, "since": since_ms},
    )
    attempts, settled, oldest = rows[0]
    return int(settled), int(oldest) if attempts >= most else since_ms


def recent_outcomes(reader: Reader, *, since_ms: int, most: int) -> dict[str, int]:
    """Outcomes of attempts closed since then, the commonest first; of the newest so many."""
    rows = reader.query(
        "SELECT outcome, count(*) FROM (SELECT * FROM attempts ORDER BY id DESC LIMIT :most) "
        "WHERE closed_at > :since GROUP BY outcome ORDER BY 2 DESC, 1",
        {"most": most, "since": since_ms},
    )
    return {outcome: int(number) for outcome, number in rows}


def last_failures(reader: Reader, *names: str, limit: int, most: int) -> list[FailedItem]:
    """Items that failed last, the newest first, as far as the newest attempts show them.

    Where they show none (what failed was never sent), the last failed items of the input.
    """
    newest = reader.query(
        "SELECT i.key, s.outcome, s.error, s.settled_at FROM (SELECT item_id, step, part, "
        "closed_at FROM attempts ORDER BY id DESC LIMIT :most) AS a JOIN item_steps AS s "
        "ON s.item_id = a.item_id AND s.step = a.step AND s.part = a.part "
        "AND s.settled_at = a.closed_at JOIN items AS i ON i.id = s.item_id "
        "WHERE s.state = 'failed' AND s.step IN :steps "
        "AND i.selected > 0 ORDER BY s.settled_at DESC LIMIT :limit",
        {"most": most, "limit": limit, "steps": names},
    )
    rows = newest or reader.query(
        "SELECT i.key, s.outcome, s.error, s.settled_at FROM item_steps AS s "
        "JOIN items AS i ON i.id = s.item_id WHERE s.state = 'failed' "
        "AND s.step IN :steps AND s.part = 0 AND i.selected > 0 "
        "ORDER BY s.item_id DESC LIMIT :limit",
        {"limit": limit, "steps": names},
    )
    return [FailedItem(key, kind or "", error or "", at) for key, kind, error, at in rows]


def ranges(reader: Reader, table: str) -> Iterator[dict[str, int]]:
    """A table in parts, for statements with `id > :after AND id <= :upto`."""
    for after in range(0, _last_id(reader, table), _RANGE):
        yield {"after": after, "upto": after + _RANGE}


def keys_near(reader: Reader, key: str, *, most: int) -> list[str]:
    """Keys to compare a mistyped one with: all of a small store, else its neighbours in order."""
    if _last_id(reader, "items") <= most:
        return [row[0] for row in reader.query("SELECT key FROM items")]
    values = {"key": key, "limit": most // 20}
    after = reader.query("SELECT key FROM items WHERE key > :key ORDER BY key LIMIT :limit", values)
    before = reader.query(
        "SELECT key FROM items WHERE key < :key ORDER BY key DESC LIMIT :limit", values
    )
    return [row[0] for row in (*after, *before)]


def _last_id(reader: Reader, table: str) -> int:
    return _number(reader, f"SELECT max(id) FROM {table}")  # noqa: S608 a name of ours


def _number(reader: Reader, statement: str, values: dict[str, Any] | None = None) -> int:
    return int(reader.query(statement, values)[0][0] or 0)
