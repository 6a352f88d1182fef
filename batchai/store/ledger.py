"""The one writer of a store: operations are grouped by tick and committed by one thread.

The loop collects operations and hands one list to the writer thread, with one group in flight and
no lingering; an operation's future is resolved after the commit of its group is durable. What was
paid for is never dropped: when a group cannot be committed, it is spooled to a private file
beside the store, further writes are refused, and the next launch takes the spool in.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from batchai.domain import Attempt, Settlement, State
from batchai.errors import StoreError
from batchai.pricing import to_pico
from batchai.store.values import to_json, to_ms

log = logging.getLogger(__name__)

# In the order in which a group runs them. One group never holds two of them for one item whose
# order would matter: the engine awaits each before the next.
_STATEMENTS = {
    "add_item": "INSERT INTO items (id, key, position, selected, row) VALUES (?, ?, ?, 1, ?)",
    "add_step": "INSERT INTO item_steps (item_id, step, state) VALUES (?, ?, 'pending')",
    "place_item": "UPDATE items SET position = ?, selected = 1, row = ? WHERE id = ?",
    "reset_step": "UPDATE item_steps SET state = 'pending', outcome = NULL, error = NULL, "
    "tried = 0 "
    "WHERE item_id = ? AND step = ?",
    "adopt_step": "UPDATE item_steps SET fingerprint = ? WHERE item_id = ? AND step = ?",
    "open_attempt": "INSERT INTO attempts (id, item_id, step, number, run_id, launch_id, model, "
    "max_tokens, input_estimate, worst_pico, sent_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "close_attempt": "UPDATE attempts SET closed_at = ?, outcome = ?, cost_pico = ?, "
    "unconfirmed_pico = ?, uncached_input = ?, cache_read = ?, cache_write_5m = ?, "
    "cache_write_1h = ?, output = ?, reasoning = ?, latency_ms = ?, resolved_model = ?, "
    "status = ?, "
    "request_id = ?, detail = ?, answer = ? WHERE id = ?",
    "count_run": "UPDATE runs SET attempts = attempts + ?, cost_pico = cost_pico + ?, "
    "unconfirmed_pico = unconfirmed_pico + ? WHERE id = ?",
    "keep_step": "UPDATE item_steps SET attempts = attempts + 1, tried = tried + ?, "
    "cost_pico = cost_pico + ? WHERE item_id = ? AND step = ?",
    "settle_step": "UPDATE item_steps SET attempts = attempts + ?, tried = tried + ?, "
    "cost_pico = cost_pico + ?, state = ?, fingerprint = ?, outcome = ?, error = ?, result = ?, "
    "model = ?, run_id = ?, settled_at = ? WHERE item_id = ? AND step = ?",
    "forget_row": "UPDATE items SET row = NULL WHERE id = ?",
    "set_meta": "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)",
    "bad_row": "INSERT OR REPLACE INTO bad_rows (place, problem) VALUES (?, ?)",
}


@dataclass(frozen=True, slots=True)
class StepEnd:
    """What an item becomes in a step; `result` is any JSON value, None unless succeeded."""

    state: State
    fingerprint: bytes
    outcome: str
    error: str = ""
    result: Any = None
    forget_row: bool = False


@dataclass(slots=True)
class _Group:
    operations: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    waiters: list[asyncio.Future[None]] = field(default_factory=list)


class Ledger:
    """Writes for one launch; every coroutine returns when its rows are durable.

    Raises StoreError when they cannot be made so; after that every write is refused.
    """

    def __init__(self, engine: Engine, *, spool: Path) -> None:
        self._engine = engine
        self._spool = spool
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        self._group = _Group()
        self._committing: asyncio.Task[None] | None = None
        self._broken: StoreError | None = None
        with engine.connect() as connection:
            self._next_item = _next_id(connection, "items")
            self._next_attempt = _next_id(connection, "attempts")

    def new_item_id(self) -> int:
        """The id for an item that is about to be added."""
        self._next_item += 1
        return self._next_item - 1

    def new_attempt_id(self) -> int:
        """The id for an attempt that is about to be opened."""
        self._next_attempt += 1
        return self._next_attempt - 1

    async def absorb(self, operations: Iterable[tuple[str, tuple[Any, ...]]]) -> None:
        """What a scan of the source found: items added, placed, reset, adopted, bad rows."""
        await self._write(operations)

    async def open_attempt(self, attempt: Attempt) -> None:
        """Record that a request is about to leave, with its worst cost."""
        await self._write([("open_attempt", _attempt_row(attempt))])

    async def close_attempt(
        self, attempt: Attempt, settlement: Settlement, *, counts: bool, end: StepEnd | None
    ) -> None:
        """Record how an attempt ended and, with `end`, what its item became; one transaction."""
        cost = to_pico(settlement.cost)
        where = (attempt.item_id, attempt.step)
        operations = [
            ("close_attempt", _settlement_row(settlement)),
            ("count_run", (1, cost, to_pico(settlement.unconfirmed_cost), attempt.run_id)),
        ]
        if end is None:
            operations.append(("keep_step", (int(counts), cost, *where)))
        else:
            model = settlement.model or attempt.model
            stamp = (model, attempt.run_id, to_ms(settlement.closed_at))
            operations.append(
                ("settle_step", (1, int(counts), cost, *_end_row(end), *stamp, *where))
            )
            if end.forget_row:
                operations.append(("forget_row", (attempt.item_id,)))
        await self._write(operations)

    async def settle_unsent(
        self, item_id: int, step: str, end: StepEnd, *, run_id: int, at: datetime
    ) -> None:
        """Record an item that ended without an attempt: unrenderable, or over a limit."""
        row = (0, 0, 0, *_end_row(end), None, run_id, to_ms(at), item_id, step)
        await self._write([("settle_step", row)])

    async def set_meta(self, key: str, value: str) -> None:
        """Keep a fact about the job."""
        await self._write([("set_meta", (key, value))])

    async def close(self) -> None:
        """Wait for what is being committed and end the thread."""
        while self._committing is not None:
            await asyncio.wait([self._committing])
        self._thread.shutdown(wait=True)

    async def _write(self, operations: Iterable[tuple[str, tuple[Any, ...]]]) -> None:
        if self._broken is not None:
            raise self._save(operations, self._broken)
        for kind, row in operations:
            self._group.operations.setdefault(kind, []).append(row)
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._group.waiters.append(waiter)
        if self._committing is None:
            self._committing = loop.create_task(self._commit_groups())
        await waiter

    def _save(
        self, operations: Iterable[tuple[str, tuple[Any, ...]]], broken: StoreError
    ) -> StoreError:
        """After the store broke: an answer that still came in is spooled too."""
        group: dict[str, list[tuple[Any, ...]]] = {}
        for kind, row in operations:
            group.setdefault(kind, []).append(row)
        if _paid(group):
            with suppress(OSError):  # said already when the store broke
                spool(self._spool, group)
        return broken

    async def _commit_groups(self) -> None:
        loop = asyncio.get_running_loop()
        while self._group.waiters:
            group, self._group = self._group, _Group()
            try:
                await loop.run_in_executor(self._thread, self._commit, group.operations)
            except StoreError as error:
                self._broken = error
                late, self._group = self._group, _Group()
                if _paid(late.operations):
                    with suppress(OSError):
                        spool(self._spool, late.operations)
                _resolve([*group.waiters, *late.waiters], error)
                break
            _resolve(group.waiters, None)
        self._committing = None

    def _commit(self, operations: dict[str, list[tuple[Any, ...]]]) -> None:
        """In the writer thread: commit, once more on a new connection, else spool and raise."""
        try:
            apply(self._engine, operations)
        except DBAPIError as first:
            log.warning("the store could not be written (%s); trying once more", first.orig)
            self._engine.dispose()  # after a failed sync the old connection's cache proves nothing
            try:
                apply(self._engine, operations)
            except DBAPIError as second:
                raise self._give_up(operations, second) from second

    def _give_up(
        self, operations: dict[str, list[tuple[Any, ...]]], error: DBAPIError
    ) -> StoreError:
        place = self._engine.url.database
        try:
            saved = spool(self._spool, operations)
        except OSError as full:
            return StoreError(
                f"{place}: cannot be written ({error.orig}), nor could the {_paid(operations)} "
                "answers "
                f"in hand be saved beside it ({full.strerror}); they count as unknown on the "
                "next run"
            )
        return StoreError(
            f"{place}: cannot be written ({error.orig}); {saved} answers in hand were saved to "
            f"{self._spool.name} and will be taken in by the next run; free space or mend the "
            "disk first"
        )


def apply(engine: Engine, operations: dict[str, list[tuple[Any, ...]]]) -> None:
    """Run a group in one transaction, in the statements' order."""
    with engine.begin() as connection:
        execute(connection, operations)


def execute(connection: Connection, operations: dict[str, list[tuple[Any, ...]]]) -> None:
    """Run a group's statements in their order, within the caller's transaction."""
    for kind, statement in _STATEMENTS.items():
        rows = operations.get(kind)
        if rows:
            connection.exec_driver_sql(statement, _totals(rows) if kind == "count_run" else rows)


def _totals(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """One row a run: a group closes many attempts of it."""
    sums: dict[int, list[int]] = {}
    for attempts, cost, unconfirmed, run_id in rows:
        total = sums.setdefault(run_id, [0, 0, 0])
        total[0] += attempts
        total[1] += cost
        total[2] += unconfirmed
    return [(*total, run_id) for run_id, total in sums.items()]


def spool(path: Path, operations: dict[str, list[tuple[Any, ...]]]) -> int:
    """Append a group to a private file, durably; returns how many closed attempts it holds."""
    rows = {
        kind: [
            [value.hex() if isinstance(value, bytes) else value for value in row] for row in rows
        ]
        for kind, rows in operations.items()
    }
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a") as file:
        file.write(to_json(rows) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return _paid(operations)


def unspool(path: Path, decode: Callable[[str], Any]) -> list[dict[str, list[tuple[Any, ...]]]]:
    """The groups of a spool file; a last line that was cut by a crash is left out."""
    groups = []
    for line in path.read_text().splitlines():
        try:
            rows = decode(line)
        except ValueError:
            break
        groups.append({kind: [_revive(kind, row) for row in found] for kind, found in rows.items()})
    return groups


def _revive(kind: str, row: list[Any]) -> tuple[Any, ...]:
    """Fingerprints are the only bytes in a row: hexadecimal in the spool."""
    at = {"settle_step": 4, "adopt_step": 0}.get(kind)
    if at is not None and row[at] is not None:
        row[at] = bytes.fromhex(row[at])
    return tuple(row)


def _paid(operations: dict[str, list[tuple[Any, ...]]]) -> int:
    return len(operations.get("close_attempt", ()))


def _resolve(waiters: list[asyncio.Future[None]], error: StoreError | None) -> None:
    for waiter in waiters:
        if waiter.done():  # its caller was cancelled
            continue
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)


def _next_id(connection: Connection, table: str) -> int:
    statement = f"SELECT coalesce(max(id), 0) + 1 FROM {table}"  # noqa: S608 a name of ours
    return int(connection.exec_driver_sql(statement).scalar_one())


def _attempt_row(attempt: Attempt) -> tuple[Any, ...]:
    return (
        attempt.id,
        attempt.item_id,
        attempt.step,
        attempt.number,
        attempt.run_id,
        attempt.launch_id,
        attempt.model,
        attempt.max_tokens,
        attempt.input_tokens,
        to_pico(attempt.worst_cost),
        to_ms(attempt.sent_at),
    )


def _settlement_row(settlement: Settlement) -> tuple[Any, ...]:
    usage = settlement.usage
    return (
        to_ms(settlement.closed_at),
        settlement.outcome.value,
        to_pico(settlement.cost),
        to_pico(settlement.unconfirmed_cost),
        usage.uncached_input,
        usage.cache_read,
        usage.cache_write_5m,
        usage.cache_write_1h,
        usage.output,
        usage.reasoning,
        round(settlement.latency_seconds * 1000),
        settlement.model,
        settlement.status,
        settlement.request_id,
        settlement.detail or None,
        settlement.answer,
        settlement.attempt_id,
    )


def _end_row(end: StepEnd) -> tuple[Any, ...]:
    result = to_json(end.result) if end.state is State.SUCCEEDED else None
    return (end.state.value, end.fingerprint, end.outcome, end.error or None, result)
