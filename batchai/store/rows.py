"""What queries give of single rows: values, with none of the database in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Row

from batchai.domain import Estimate, Outcome, Purpose, State
from batchai.pricing import from_pico
from batchai.store.values import estimate_from_json, from_json, from_ms

DatabaseRow = Row[*tuple[Any, ...]]

STATES = {state.value: state for state in State}  # State(name) takes ten times as long


@dataclass(frozen=True, slots=True)
class Run:
    """A run as the store has it; costs in USD."""

    id: int
    started_at: datetime
    ended_at: datetime | None
    spec: dict[str, Any]
    budget: Decimal | None
    attempts: int
    cost: Decimal
    unconfirmed: Decimal
    estimate: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Launch:
    """One process that worked on a run."""

    id: int
    run_id: int
    pid: int
    started_at: datetime
    ended_at: datetime | None
    exit_code: int | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class PartRow:
    """Where an item is in a step, or in a part of it. result: JSON text, of this or, where it is
    to be made anew, of an earlier time with the `fingerprint` that made it."""

    state: State
    fingerprint: bytes | None
    outcome: str | None
    error: str
    result: str | None
    model: str | None
    attempts: int
    tried: int


@dataclass(frozen=True, slots=True)
class PendingItem:
    """An item that waits for its turn; `row` is None where the store does not keep it.

    steps: by name and part, those of all its steps.
    """

    item_id: int
    key: str
    position: int
    row: dict[str, Any] | None
    steps: Mapping[tuple[str, int], PartRow]


@dataclass(frozen=True, slots=True)
class StoredStep:
    """Where an item is in a step. has_result: there is one, perhaps of an earlier request, whose
    fingerprint is kept with it then."""

    state: State
    fingerprint: bytes | None
    has_result: bool


@dataclass(frozen=True, slots=True)
class StoredItem:
    """What the store knows of a key: enough to decide whether it is to be sent again."""

    item_id: int
    position: int
    selected: bool
    row: str | None  # JSON text
    steps: dict[str, StoredStep]


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One attempt as the ledger has it; `outcome` is None while it is open."""

    number: int
    outcome: Outcome | None
    max_tokens: int
    cost: Decimal
    unconfirmed: Decimal
    sent_at: datetime
    latency_seconds: float | None
    detail: str
    answer: str | None
    model: str
    asked_model: str = ""  # `model` is its name as the provider resolved it, where it did
    purpose: Purpose | None = None


@dataclass(frozen=True, slots=True)
class RecentAttempts:
    """What attempts count in the gate's windows; `sent_at` is that of the newest of them."""

    sent_at: datetime
    input_tokens: int
    output_tokens: int
    number: int


def run_of(row: DatabaseRow) -> Run:
    """A row of `runs`."""
    return Run(
        id=row.id,
        started_at=from_ms(row.started_at),
        ended_at=None if row.ended_at is None else from_ms(row.ended_at),
        spec=from_json(row.spec),
        budget=None if row.budget_pico is None else from_pico(row.budget_pico),
        attempts=row.attempts,
        cost=from_pico(row.cost_pico),
        unconfirmed=from_pico(row.unconfirmed_pico),
        estimate=None if row.estimate is None else estimate_from_json(row.estimate),
    )


def launch_of(row: DatabaseRow) -> Launch:
    """A row of `launches`."""
    return Launch(
        id=row.id,
        run_id=row.run_id,
        pid=row.pid,
        started_at=from_ms(row.started_at),
        ended_at=None if row.ended_at is None else from_ms(row.ended_at),
        exit_code=row.exit_code,
        reason=row.reason,
    )


def attempt_of(row: DatabaseRow) -> AttemptRow:
    """A row of `attempts`."""
    return AttemptRow(
        number=row.number,
        outcome=None if row.outcome is None else Outcome(row.outcome),
        max_tokens=row.max_tokens,
        cost=from_pico(row.cost_pico),
        unconfirmed=from_pico(row.unconfirmed_pico),
        sent_at=from_ms(row.sent_at),
        latency_seconds=None if row.latency_ms is None else row.latency_ms / 1000,
        detail=row.detail or "",
        answer=row.answer,
        model=row.resolved_model or row.model,
        asked_model=row.model,
        purpose=None if row.purpose is None else Purpose(row.purpose),
    )


def part_of(row: Sequence[Any]) -> PartRow:
    """The columns of `item_steps` from `state` on."""
    state, fingerprint, outcome, error, result, model, attempts, tried = row
    return PartRow(STATES[state], fingerprint, outcome, error or "", result, model, attempts, tried)
