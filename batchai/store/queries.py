"""Read-only questions to a store. Rows of the database stop here: values go out."""

import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Row, bindparam, func, select, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DatabaseError

from batchai.domain import Estimate, Lineage, Outcome, ResultRow, State
from batchai.errors import StoreError
from batchai.pricing import from_pico
from batchai.store import tables
from batchai.store.dialect import reader_engine, unusable
from batchai.store.migrations import refuse_foreign
from batchai.store.values import estimate_from_json, from_json, from_ms

Values = dict[str, Any]
DatabaseRow = Row[*tuple[Any, ...]]

_STATES = {state.value: state for state in State}  # State(name) takes ten times as long
_PAGE_CHARS = 8_000_000  # a page of pending items ends early here, so that memory stays bounded

_PENDING = text(
    "SELECT s.item_id, i.key, i.position, i.row, s.attempts, s.tried FROM item_steps AS s "
    "JOIN items AS i ON i.id = s.item_id WHERE s.state = 'pending' AND s.item_id > :after "
    "AND s.step = :step AND i.selected = 1 ORDER BY s.item_id"
)
_UNSELECTED = text(  # CROSS JOIN: begin with the few of the partial index
    "SELECT s.state, count(*) FROM items AS i CROSS JOIN item_steps AS s "
    "WHERE i.selected = 0 AND s.item_id = i.id AND s.step = :step GROUP BY s.state"
)
_STORED = text(
    "SELECT i.key, i.id, i.position, i.selected, s.state, s.fingerprint, i.row FROM items AS i "
    "JOIN item_steps AS s ON s.item_id = i.id AND s.step = :step WHERE i.key IN :keys"
).bindparams(bindparam("keys", expanding=True))


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
class PendingItem:
    """An item that waits for its turn; `row` is None where the store does not keep it."""

    item_id: int
    key: str
    position: int
    row: dict[str, Any] | None
    attempts: int
    tried: int


@dataclass(frozen=True, slots=True)
class StoredItem:
    """What the store knows of a key: enough to decide whether it is to be sent again."""

    item_id: int
    position: int
    selected: bool
    state: State
    fingerprint: bytes | None
    row: str | None  # JSON text


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


@dataclass(frozen=True, slots=True)
class RecentAttempt:
    """What an attempt counts in the gate's windows."""

    sent_at: datetime
    input_tokens: int
    output_tokens: int


class Reader:
    """Queries over one store; safe from any one thread at a time. Raises StoreError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = reader_engine(path)
        self._lock = threading.Lock()
        self._holds_snapshot = False
        try:
            self._connection: Connection = self._engine.connect()
            refuse_foreign(self._connection, str(path))
        except DatabaseError as error:
            raise unusable(path, error) from error

    def close(self) -> None:
        """Close the connection, after the query that another thread may be at."""
        with self._lock:
            self._connection.close()
            self._engine.dispose()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Within it, every answer is of one state of the store, whatever a run writes."""
        with self._lock:
            self._connection.exec_driver_sql("BEGIN")
            self._holds_snapshot = True
        try:
            yield
        finally:
            with self._lock:
                self._holds_snapshot = False
                self._connection.rollback()

    def meta(self, key: str) -> str | None:
        """A fact about the job, None where it was never set."""
        value: str | None = self._scalar(
            select(tables.meta.c.value).where(tables.meta.c.key == key)
        )
        return value

    def last_run(self) -> Run | None:
        """The newest run, None before the first."""
        rows = self._all(select(tables.runs).order_by(tables.runs.c.id.desc()).limit(1))
        return _run(rows[0]) if rows else None

    def runs(self) -> list[Run]:
        """All runs, oldest first."""
        return [_run(row) for row in self._all(select(tables.runs).order_by(tables.runs.c.id))]

    def launches(self) -> list[Launch]:
        """All launches, oldest first."""
        rows = self._all(select(tables.launches).order_by(tables.launches.c.id))
        return [_launch(row) for row in rows]

    def state_counts(self, step: str) -> dict[State, int]:
        """Selected items of a step by state."""
        steps = tables.item_steps
        query = select(steps.c.state, func.count()).where(steps.c.step == step)
        counts = {row[0]: int(row[1]) for row in self._all(query.group_by(steps.c.state))}
        # those that left are taken away again: a join over a million selected ones is slow
        for state, number in self._all(_UNSELECTED, {"step": step}):
            counts[state] -= int(number)
        return {State(state): number for state, number in counts.items() if number}

    def failure_counts(self, step: str) -> dict[str, int]:
        """Selected failed items by outcome."""
        steps, items = tables.item_steps, tables.items
        query = (
            select(steps.c.outcome, func.count())
            .join(items, items.c.id == steps.c.item_id)
            .where(steps.c.step == step, steps.c.state.in_(["failed", "unknown"]))
            .where(items.c.selected == 1)
            .group_by(steps.c.outcome)
            .order_by(func.count().desc(), steps.c.outcome)
        )
        return {str(row[0]): int(row[1]) for row in self._all(query)}

    def open_attempts(self) -> tuple[int, Decimal]:
        """How many attempts are in flight (or were, when a launch died), and their worst cost."""
        attempts = tables.attempts
        query = select(func.count(), func.coalesce(func.sum(attempts.c.worst_pico), 0)).where(
            attempts.c.outcome.is_(None)
        )
        row = self._all(query)[0]
        return int(row[0]), from_pico(int(row[1]))

    def pending(self, step: str, *, after: int, limit: int) -> list[PendingItem]:
        """The next selected pending items by id, fewer where they are large."""
        found: list[PendingItem] = []
        chars = 0
        with self._lock, self._reading():
            rows = self._connection.execute(_PENDING, {"after": after, "step": step})
            for item_id, key, position, row, attempts, tried in rows:
                fields = None if row is None else from_json(row)
                found.append(PendingItem(item_id, key, position, fields, attempts, tried))
                chars += len(row or "")
                if len(found) >= limit or chars > _PAGE_CHARS:
                    break
            rows.close()
            self._connection.rollback()
        return found

    def stored(self, step: str, keys: Sequence[str]) -> dict[str, StoredItem]:
        """What is known of these keys (at most some thousands at a time)."""
        rows = self._all(_STORED, {"step": step, "keys": list(keys)})
        return {
            key: StoredItem(item_id, position, bool(selected), _STATES[state], fingerprint, row)
            for key, item_id, position, selected, state, fingerprint, row in rows
        }

    def has_pending_without_row(self) -> bool:
        """Whether a pending item can be sent only after a scan has brought its row again."""
        query = (
            select(tables.items.c.id)
            .join(tables.item_steps, tables.item_steps.c.item_id == tables.items.c.id)
            .where(tables.item_steps.c.state == "pending", tables.items.c.row.is_(None))
            .where(tables.items.c.selected == 1)  # one that left the input is not sent
        )
        return self._scalar(query.limit(1)) is not None

    def selected_but(self, seen: bytes | bytearray) -> Sequence[int]:
        """Ids of selected items whose bit in `seen` is not set; 8 bytes each."""
        query = select(tables.items.c.id).where(tables.items.c.selected == 1)
        end = len(seen)
        with self._reading(), self._engine.connect() as connection:
            ids = connection.execution_options(yield_per=5000).execute(query).scalars()
            unseen = (i for i in ids if i >> 3 >= end or not seen[i >> 3] & (1 << (i & 7)))
            return array("q", unseen)

    def item(self, key: str, step: str) -> tuple[PendingItem, ResultRow] | None:
        """One item and what became of it."""
        rows = self._all(_RESULTS + " WHERE i.key = :key", {"step": step, "key": key})
        if not rows:
            return None
        row = rows[0]
        fields = None if row.row is None else from_json(row.row)
        pending = PendingItem(row.id, key, row.position, fields, row.attempts, 0)
        return pending, _result(row)

    def stored_rows(self, step: str, item_ids: Sequence[int]) -> dict[int, tuple[Any, Any]]:
        """Row and result by item id, None where there is none."""
        query = text(
            "SELECT i.id, i.row, s.result FROM items AS i JOIN item_steps AS s ON s.item_id = i.id "
            "AND s.step = :step WHERE i.id IN :ids"
        ).bindparams(bindparam("ids", expanding=True))
        rows = self._all(query, {"step": step, "ids": list(item_ids)})
        return {row.id: (_json(row.row), _json(row.result)) for row in rows}

    def attempts_of(self, item_id: int, step: str) -> list[AttemptRow]:
        """The attempts of an item, oldest first."""
        attempts = tables.attempts
        query = (
            select(attempts)
            .where(attempts.c.item_id == item_id, attempts.c.step == step)
            .order_by(attempts.c.number)
        )
        return [_attempt(row) for row in self._all(query)]

    def recent_attempts(self, since_ms: int) -> list[RecentAttempt]:
        """Attempts sent since then, for the gate's windows; open ones at their reservation."""
        attempts = tables.attempts
        query = (
            select(
                attempts.c.sent_at,
                attempts.c.outcome,
                attempts.c.input_estimate,
                attempts.c.max_tokens,
                (attempts.c.uncached_input + attempts.c.cache_write_5m + attempts.c.cache_write_1h),
                attempts.c.output,
            )
            .order_by(attempts.c.id.desc())
            .execution_options(yield_per=1000)
        )
        found = []
        with self._lock, self._reading():
            for sent, outcome, estimate, max_tokens, used, output in self._connection.execute(
                query
            ):
                if sent < since_ms:
                    break
                known = outcome not in (None, "unknown") and used + output > 0
                tokens = (used, output) if known else (estimate, max_tokens)
                found.append(RecentAttempt(from_ms(sent), *tokens))
            self._connection.rollback()
        return found

    def is_empty(self) -> bool:
        """Whether no item was ever taken in."""
        return self._scalar(select(tables.items.c.id).limit(1)) is None

    def results(
        self, step: str, *, where: str = "", values: Values | None = None
    ) -> Iterator[ResultRow]:
        """Every selected item in the input's order, with what became of it; streamed.

        `where` narrows by a condition of ours over the aliases i and s.
        """
        with self._reading(), self._engine.connect() as connection:
            yield from _results(connection, step, where=where, values=values)

    @contextmanager
    def view(self, step: str) -> Iterator[Callable[[], Iterator[ResultRow]]]:
        """`results`, as often as wanted, from one state of the store, whatever a run writes."""
        with self._reading(), self._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            yield lambda: _results(connection, step)

    def usage_ratio(self, *, limit: int = 2000) -> tuple[int, int, int, int]:
        """Sums over the newest billed attempts: number, estimated and actual input, output."""
        query = text(
            "SELECT count(*), coalesce(sum(input_estimate), 0), coalesce(sum(uncached_input + "
            "cache_read + cache_write_5m + cache_write_1h), 0), coalesce(sum(output), 0) FROM "
            "(SELECT * FROM attempts WHERE outcome IN ('succeeded', 'invalid', 'truncated') "
            "AND output > 0 ORDER BY id DESC LIMIT :limit)"
        )
        row = self._all(query, {"limit": limit})[0]
        return int(row[0]), int(row[1]), int(row[2]), int(row[3])

    def mean_latency(self, *, limit: int = 2000) -> float | None:
        """Seconds that the newest answered attempts took, None before the first."""
        query = text(
            "SELECT avg(latency_ms) FROM (SELECT latency_ms FROM attempts "
            "WHERE outcome = 'succeeded' ORDER BY id DESC LIMIT :limit)"
        )
        mean = self._all(query, {"limit": limit})[0][0]
        return None if mean is None else float(mean) / 1000

    def bad_rows(self) -> list[tuple[str, str]]:
        """Places and problems of the input's unusable rows, as the last scan found them."""
        return [(row.place, row.problem) for row in self._all(select(tables.bad_rows))]

    def query(self, statement: str, values: Values | None = None) -> Sequence[DatabaseRow]:
        """Rows of a read-only statement of the reports room."""
        return self._all(text(statement), values)

    def _all(self, query: Any, values: Values | None = None) -> Sequence[DatabaseRow]:
        statement = text(query) if isinstance(query, str) else query
        with self._lock, self._reading():
            try:
                return self._connection.execute(statement, values or {}).all()
            finally:
                if not self._holds_snapshot:
                    self._connection.rollback()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """What goes wrong in the database is a StoreError."""
        try:
            yield
        except DatabaseError as error:
            raise StoreError(
                f"{self.path}: cannot be read ({error.orig}); check the disk, or restore a copy "
                "made by `batchai backup`"
            ) from error

    def _scalar(self, query: Any) -> Any:
        rows = self._all(query)
        return rows[0][0] if rows else None


_RESULTS = (
    "SELECT i.id, i.key, i.position, i.row, s.state, s.outcome, s.error, s.result, s.model, "
    "s.attempts, "
    "s.cost_pico, s.run_id, s.settled_at FROM items AS i JOIN item_steps AS s ON s.item_id = i.id "
    "AND s.step = :step"
)


def _results(
    connection: Connection, step: str, *, where: str = "", values: Values | None = None
) -> Iterator[ResultRow]:
    condition = f" AND {where}" if where else ""
    query = f"{_RESULTS} WHERE i.selected = 1{condition} ORDER BY i.position, i.id"
    streaming = connection.execution_options(yield_per=500)
    for row in streaming.execute(text(query), {"step": step, **(values or {})}):
        yield _result(row)


def _json(value: str | None) -> Any:
    return None if value is None else from_json(value)


def _result(row: DatabaseRow) -> ResultRow:
    # in the order of _RESULTS: names would take longer, twice for each item that is exported
    _, key, _, fields, name, outcome, error, result, model, attempts, cost, run, settled_at = row
    state = _STATES[name]
    succeeded = state is State.SUCCEEDED
    problem = f"{outcome}: {error}" if error else (outcome or "")
    if succeeded and not error:  # an error beside a success: fixed values stand in
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


def _run(row: DatabaseRow) -> Run:
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


def _launch(row: DatabaseRow) -> Launch:
    return Launch(
        id=row.id,
        run_id=row.run_id,
        pid=row.pid,
        started_at=from_ms(row.started_at),
        ended_at=None if row.ended_at is None else from_ms(row.ended_at),
        exit_code=row.exit_code,
        reason=row.reason,
    )


def _attempt(row: DatabaseRow) -> AttemptRow:
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
    )
