"""Results of items over their steps, as they are exported and shown."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.engine import Connection

from batchai.domain import MAIN_STEP, NO_COST, Lineage, ResultRow, State
from batchai.pricing import from_pico
from batchai.store.rows import STATES, DatabaseRow
from batchai.store.values import EPOCH, from_json, from_ms

RESULTS = (
    "SELECT i.id, i.key, i.position, i.row, s.state, s.outcome, s.error, s.result, s.model, "
    "s.attempts, s.cost_pico, s.run_id, s.settled_at, s.step FROM items AS i "
    "JOIN item_steps AS s ON s.item_id = i.id AND s.part = 0 AND s.step IN :steps"
)
_DONE = frozenset({State.SUCCEEDED, State.SKIPPED})


def overall(states: Iterable[State]) -> State:
    """An item's state from those in its steps, in their order: where it stands, or done.

    Done is succeeded, also where a step was skipped; skipped is one of which every step was.
    """
    found = list(states)
    for state in found:
        if state not in _DONE:
            return State.PENDING if state is State.WAITING else state
    return State.SUCCEEDED if State.SUCCEEDED in found else State.SKIPPED


def results_in(connection: Connection, names: Sequence[str]) -> Iterator[ResultRow]:
    """Those of all items of the selection, in the order of the input."""
    query = text(f"{RESULTS} WHERE i.selected > 0 ORDER BY i.position, i.id").bindparams(
        bindparam("steps", expanding=True)
    )
    rows = connection.execution_options(yield_per=500).execute(query, {"steps": names})
    if names == (MAIN_STEP,):
        yield from map(_step_result, rows)
    else:
        for _, found in groupby(rows, key=itemgetter(0)):
            yield item_result(list(found), names)


def item_result(rows: Sequence[DatabaseRow], names: Sequence[str]) -> ResultRow:
    """One item over its steps; its result is a map of step → result."""
    if tuple(names) == (MAIN_STEP,):
        return _step_result(rows[0])
    steps = {row[-1]: _step_result(row) for row in rows}
    parts = [steps.get(name) for name in names]
    known = [part for part in parts if part is not None]
    ended = [part.lineage for part in known if part.lineage.time is not None]
    newest = max(ended, key=lambda lineage: lineage.time or EPOCH, default=known[0].lineage)
    return ResultRow(
        key=known[0].key,
        fields=known[0].fields,
        result={name: part.result for name, part in zip(names, parts, strict=True) if part},
        state=overall(part.state if part else State.PENDING for part in parts),
        error="; ".join(
            f"{name}: {part.error}"
            for name, part in zip(names, parts, strict=True)
            if part and part.error and part.state is not State.WAITING
        ),
        lineage=Lineage(
            model=newest.model,
            cost_usd=sum((part.lineage.cost_usd for part in known), NO_COST),
            attempts=sum(part.lineage.attempts for part in known),
            run=max(part.lineage.run for part in known),
            time=newest.time,
        ),
    )


def _step_result(row: DatabaseRow) -> ResultRow:
    # in the order of RESULTS: names would take longer, twice for each item that is exported
    _, key, _, fields, name, outcome, error, result, model, attempts, cost, run, settled_at, _ = row
    state = STATES[name]
    succeeded = state is State.SUCCEEDED
    problem = f"{outcome}: {error}" if error else (outcome or "")
    if state in _DONE and not error:  # an error beside a success: fixed values stand in
        problem = ""
    return ResultRow(
        key=key,
        fields=_json(fields) or {},
        result=_json(result) if succeeded else None,
        state=state,
        error=problem,
        lineage=Lineage(
            model=model,
            cost_usd=from_pico(cost),
            attempts=attempts,
            run=run or 0,
            time=None if settled_at is None else from_ms(settled_at),
        ),
    )


def _json(value: str | None) -> Any:
    return None if value is None else from_json(value)
