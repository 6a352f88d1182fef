"""Which items took the money, and which took none again. Read-only."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from batchai.domain import State, Usage
from batchai.store.queries import Reader
from batchai.store.results import overall
from batchai.store.values import from_ms

_AT_ONCE = 5_000  # ids


@dataclass(frozen=True, slots=True)
class CostlyItem:
    """What an item cost; `state` is that of the item as a whole."""

    key: str
    attempts: int
    cost_pico: int
    state: str


def costliest(reader: Reader, names: tuple[str, ...], *, limit: int) -> list[CostlyItem]:
    """The items that cost most, all of these steps and their attempts together.

    The row of a step counts those of its parts, too.
    """
    rows = reader.query(
        "SELECT i.key, c.attempts, c.cost, i.id FROM (SELECT item_id, sum(attempts) AS attempts, "
        "sum(cost_pico) AS cost FROM item_steps WHERE part = 0 AND step IN :steps "
        "GROUP BY item_id ORDER BY 3 DESC LIMIT :limit) "
        "AS c JOIN items AS i ON i.id = c.item_id WHERE c.cost > 0 ORDER BY c.cost DESC",
        {"limit": limit, "steps": names},
    )
    return [
        CostlyItem(key, attempts, cost, _state(reader, names, item_id))
        for key, attempts, cost, item_id in rows
    ]


def _state(reader: Reader, names: tuple[str, ...], item_id: int) -> str:
    rows = reader.query(
        "SELECT step, state FROM item_steps WHERE item_id = :id AND part = 0 AND step IN :steps",
        {"id": item_id, "steps": names},
    )
    states = {step: State(state) for step, state in rows}
    return overall(states[name] for name in names if name in states).value


def costliest_ids(reader: Reader, names: tuple[str, ...], *, limit: int) -> list[int]:
    """The ids of the items that cost most, those without any cost last."""
    rows = reader.query(
        "SELECT item_id FROM item_steps WHERE part = 0 AND step IN :steps GROUP BY item_id "
        "ORDER BY sum(cost_pico) DESC, item_id LIMIT :limit",
        {"limit": limit, "steps": names},
    )
    return [row[0] for row in rows]


def reused(reader: Reader, run_id: int) -> tuple[int, int]:
    """Results of earlier runs that this one did not pay for again: how many, and their cost."""
    rows = reader.query(
        "SELECT count(*), coalesce(sum(s.cost_pico), 0) FROM item_steps AS s "
        "JOIN items AS i ON i.id = s.item_id "
        "WHERE s.part = 0 AND s.state = 'succeeded' AND s.run_id < :run AND i.selected = 1",
        {"run": run_id},
    )
    return int(rows[0][0]), int(rows[0][1])


def copied(reader: Reader) -> tuple[int, int]:
    """Selected items that took the result of an equal request, and what that would have cost."""
    rows = reader.query(
        "SELECT count(*), coalesce(sum(p.cost_pico), 0) FROM item_steps AS s JOIN items AS i "
        "ON i.id = s.item_id JOIN item_steps AS p ON p.item_id = s.copied_from AND p.step = s.step "
        "AND p.part = s.part WHERE s.copied_from IS NOT NULL AND i.selected = 1"
    )
    return int(rows[0][0]), int(rows[0][1])


@dataclass(frozen=True, slots=True)
class Billed:
    """An attempt with tokens. model: as asked for. delivery: None is the standard one."""

    model: str
    sent_at: datetime
    delivery: str | None
    cost_pico: int
    usage: Usage


def billed(reader: Reader) -> Iterator[Billed]:
    """Every attempt with tokens, streamed."""
    last = reader.query("SELECT coalesce(max(id), 0) FROM attempts")[0][0]
    for after in range(0, last, _AT_ONCE):
        rows = reader.query(
            "SELECT model, sent_at, delivery, cost_pico, uncached_input, cache_read, "
            "cache_write_5m, cache_write_1h, output, reasoning FROM attempts "
            "WHERE id > :after AND id <= :upto AND outcome IS NOT NULL "
            "AND uncached_input + cache_read + cache_write_5m + cache_write_1h + output > 0",
            {"after": after, "upto": after + _AT_ONCE},
        )
        for model, sent, delivery, cost, *tokens in rows:
            yield Billed(model, from_ms(sent), delivery, cost, Usage(*tokens))
