"""Settled items whose request was equal to one that is to be asked (`dedupe`). Read-only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from batchai.domain import State
from batchai.store.queries import Reader
from batchai.store.values import from_json

_LONGEST_MARK = b"\xff" * 16  # of prompts, behind the hash of a request
_OF_REQUEST = (  # the planner alone would read all that succeeded
    "SELECT coalesce(copied_from, item_id), state, outcome, error, result, model FROM item_steps "
    "INDEXED BY ix_item_steps_fingerprint WHERE step = :step AND part = 0 "
    "AND fingerprint BETWEEN :request AND :last"
)
_FIND = (
    f"{_OF_REQUEST} AND state = 'succeeded' UNION ALL {_OF_REQUEST} AND state = 'failed' "
    "AND run_id = :run AND outcome IN :outcomes LIMIT 1"
)


@dataclass(frozen=True, slots=True)
class Twin:
    """How the step ended for another item. item_id: the one that was asked and paid for."""

    item_id: int
    state: State
    outcome: str
    error: str
    result: Any
    model: str | None


def find_twin(
    reader: Reader, step: str, request: bytes, *, failed_in_run: int, failed_as: Sequence[str]
) -> Twin | None:
    """An item whose fingerprint begins so and that succeeded, whenever; else one that failed in
    this run, as one of these outcomes. Needs `Store.index_requests`."""
    rows = reader.query(
        _FIND,
        {
            "step": step,
            "request": request,
            "last": request + _LONGEST_MARK,
            "run": failed_in_run,
            "outcomes": tuple(failed_as),
        },
    )
    if not rows:
        return None
    item_id, state, outcome, error, result, model = rows[0]
    value = None if result is None else from_json(result)
    return Twin(item_id, State(state), outcome, error or "", value, model)
