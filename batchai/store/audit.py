"""Proofs over a whole store: what should be true of every item, attempt and counter, and is not.

Read-only SQL that shares nothing with the writer's. What grows with the store is read in ranges of
ids, so that memory does not. Call within `Reader.snapshot()`; money in pico-dollars, as stored.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from batchai.domain import Outcome
from batchai.store.queries import Reader

_RANGE = 5_000  # ids
_OUTCOMES = ", ".join(f"'{outcome}'" for outcome in Outcome)  # names of ours

_UNSTEPPED = """
SELECT i.key, 'is selected, but has no state in step ' || :step FROM items AS i
WHERE i.id > :after AND i.id <= :upto AND i.selected = 1
AND NOT EXISTS (SELECT 1 FROM item_steps AS s WHERE s.item_id = i.id AND s.step = :step
    AND s.part = 0)
"""
_DOUBLED = """
SELECT i.key, 'has ' || count(*) || ' states in step ' || s.step
FROM item_steps AS s NOT INDEXED JOIN items AS i ON i.id = s.item_id
WHERE s.item_id > :after AND s.item_id <= :upto GROUP BY s.item_id, s.step, s.part
HAVING count(*) > 1
"""
_STATES = """
SELECT i.key, CASE
    WHEN s.state NOT IN ('pending', 'waiting', 'succeeded', 'failed', 'skipped', 'unknown')
        THEN 'has the state ' || s.state || ', which is none'
    WHEN s.state = 'succeeded' AND s.result IS NULL THEN 'succeeded, but has no result'
    WHEN s.state = 'succeeded' AND NOT json_valid(s.result)
        THEN 'succeeded, but its result is no JSON'
    WHEN s.state = 'failed' AND s.outcome IS NULL THEN 'failed, but for no reason'
    WHEN s.state = 'failed' AND s.result IS NOT NULL THEN 'failed, but has a result'
END AS problem
FROM item_steps AS s JOIN items AS i ON i.id = s.item_id
WHERE s.item_id > :after AND s.item_id <= :upto AND problem IS NOT NULL
"""

_COUNTED = """
SELECT i.key, CASE
    WHEN s.attempts <> coalesce(a.number, 0) THEN 'counts ' || s.attempts
        || ' attempts, the ledger has ' || coalesce(a.number, 0)
    WHEN s.cost_pico <> coalesce(a.cost, 0) THEN 'counts ' || s.cost_pico
        || ' pico-dollars, its attempts cost ' || coalesce(a.cost, 0)
    WHEN a.numbers <> a.number THEN 'has two attempts of one number'
    WHEN s.state = 'succeeded' AND s.outcome = 'succeeded' AND NOT coalesce(a.answered, 0)
        AND s.copied_from IS NULL  -- else another item's was
        AND s.result <> '[]'  -- over an empty list
        THEN 'succeeded, but no attempt was answered'
END AS problem
FROM item_steps AS s JOIN items AS i ON i.id = s.item_id
LEFT JOIN (
    SELECT item_id, step, place, count(*) AS number, sum(cost_pico) AS cost,
        count(DISTINCT part || '.' || number) AS numbers,
        max(outcome IN ('succeeded', 'invalid')) AS answered
    FROM (  -- an attempt counts for its part, and for the step as a whole
        SELECT *, part AS place FROM attempts WHERE item_id > :after AND item_id <= :upto
        UNION ALL
        SELECT *, 0 FROM attempts WHERE item_id > :after AND item_id <= :upto AND part > 0
    ) WHERE outcome IS NOT NULL GROUP BY item_id, step, place
) AS a ON a.item_id = s.item_id AND a.step = s.step AND a.place = s.part
WHERE s.item_id > :after AND s.item_id <= :upto AND problem IS NOT NULL
"""
_CLOSED = f"""
SELECT 'attempt ' || a.id, CASE
    WHEN s.id IS NULL THEN 'belongs to no item and step'
    WHEN r.id IS NULL THEN 'belongs to no run'
    WHEN a.outcome NOT IN ({_OUTCOMES}) THEN 'ended as ' || a.outcome || ', which is none'
    WHEN a.closed_at IS NULL THEN 'has an outcome, but no time'
    WHEN a.cost_pico < 0 OR a.unconfirmed_pico < 0 THEN 'has a negative cost'
    WHEN a.outcome = 'unknown' AND a.unconfirmed_pico <> a.worst_pico THEN 'is unknown, but '
        || a.unconfirmed_pico || ' of its ' || a.worst_pico || ' pico-dollars are reserved'
END AS problem
FROM attempts AS a LEFT JOIN item_steps AS s ON s.item_id = a.item_id AND s.step = a.step
AND s.part = a.part
LEFT JOIN runs AS r ON r.id = a.run_id
WHERE a.id > :after AND a.id <= :upto AND a.outcome IS NOT NULL AND problem IS NOT NULL
"""  # noqa: S608 names of ours
_OF_RUN = """
SELECT coalesce(run_id, 0), count(*), sum(cost_pico), sum(unconfirmed_pico) FROM attempts
WHERE id > :after AND id <= :upto AND outcome IS NOT NULL GROUP BY run_id
"""


@dataclass(frozen=True, slots=True)
class Sums:
    """Closed attempts and what they cost."""

    attempts: int = 0
    cost_pico: int = 0
    unconfirmed_pico: int = 0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.attempts + other.attempts,
            self.cost_pico + other.cost_pico,
            self.unconfirmed_pico + other.unconfirmed_pico,
        )


def damage(reader: Reader, *, most: int = 20) -> Iterator[str]:
    """What SQLite finds wrong with the file: pages, indexes, rows that refer to none."""
    for row in reader.query(f"PRAGMA integrity_check({most})"):
        if row[0] != "ok":
            yield str(row[0])
    for table, rowid, parent, _ in reader.query("PRAGMA foreign_key_check")[:most]:
        yield f"row {rowid} of {table} refers to a row of {parent} that is not there"


def item_problems(reader: Reader, step: str) -> Iterator[str]:
    """Items without exactly one state in the step, or whose state and result do not fit."""
    for statement in (_UNSTEPPED, _DOUBLED, _STATES):
        yield from _named(reader, "items", statement, {"step": step})


def attempt_problems(reader: Reader) -> Iterator[str]:
    """Closed attempts that contradict themselves or belong to nothing."""
    yield from _named(reader, "attempts", _CLOSED, {})


def counter_problems(reader: Reader) -> Iterator[str]:
    """Items and runs whose counters, kept by the writer, are not the sums of the ledger."""
    yield from _named(reader, "items", _COUNTED, {})
    ledger = ledger_sums(reader)
    counters = {
        run: Sums(*sums)
        for run, *sums in reader.query(
            "SELECT id, attempts, cost_pico, unconfirmed_pico FROM runs ORDER BY id"
        )
    }
    for run, counted in counters.items():
        found = ledger.get(run, Sums())
        if counted != found:
            yield f"run {run} counts {_words(counted)}, the ledger has {_words(found)}"


def ledger_sums(reader: Reader) -> dict[int, Sums]:
    """The ledger by run."""
    sums: dict[int, Sums] = {}
    for values in _ranges(reader, "attempts"):
        for run, *numbers in reader.query(_OF_RUN, values):
            sums[run] = sums.get(run, Sums()) + Sums(*numbers)
    return sums


def selected_states(reader: Reader, step: str) -> dict[str, int]:
    """Selected items by state, counted one by one."""
    states: dict[str, int] = {}
    statement = (
        "SELECT s.state, count(*) FROM items AS i JOIN item_steps AS s ON s.item_id = i.id "
        "AND s.step = :step AND s.part = 0 WHERE i.id > :after AND i.id <= :upto "
        "AND i.selected > 0 GROUP BY 1"
    )
    for values in _ranges(reader, "items"):
        for state, number in reader.query(statement, {**values, "step": step}):
            states[state] = states.get(state, 0) + number
    return states


def _words(sums: Sums) -> str:
    return (
        f"{sums.attempts:,} attempts, {sums.cost_pico:,} pico-dollars and "
        f"{sums.unconfirmed_pico:,} unconfirmed"
    )


def _named(reader: Reader, table: str, statement: str, values: dict[str, str]) -> Iterator[str]:
    for bounds in _ranges(reader, table):
        own = {name: value for name, value in values.items() if f":{name}" in statement}
        for name, problem in reader.query(statement, {**bounds, **own}):
            yield f"{name} {problem}"


def _ranges(reader: Reader, table: str) -> Iterator[dict[str, int]]:
    last = reader.query(f"SELECT max(id) FROM {table}")[0][0] or 0  # noqa: S608 a name of ours
    for after in range(0, last, _RANGE):
        yield {"after": after, "upto": after + _RANGE}
