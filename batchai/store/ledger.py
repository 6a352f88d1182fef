"""The one writer of a store: operations are grouped by tick and committed by one thread.

The loop collects operations and hands one group to the writer thread, with one group in flight and
no lingering; an operation's future is resolved after the commit of its group is durable. What was
paid for is never dropped: when a group cannot be committed, it is spooled to a private file
beside the store, further writes are refused, and the next launch takes the spool in.
"""

import asyncio
import logging
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.engine import Connection

from batchai.domain import Attempt, Settlement, State
from batchai.errors import StoreError
from batchai.pricing import to_pico
from batchai.store.dialect import remedy
from batchai.store.groups import Group, Operation, Operations, Row, apply, last_number
from batchai.store.history import Event
from batchai.store.spool import Spool
from batchai.store.values import to_json, to_ms

log = logging.getLogger(__name__)

Where = tuple[int, str, int]  # item, step, part


@dataclass(frozen=True, slots=True)
class StepEnd:
    """What an item becomes in a step; `result` is any JSON value, None unless succeeded.

    release: the step that is next, pending from the same transaction on. model: who gave the
    result, where that is not who was asked last.
    """

    state: State
    fingerprint: bytes
    outcome: str
    error: str = ""
    result: Any = None
    forget_row: bool = False
    release: str | None = None
    model: str | None = None


@dataclass(slots=True)
class _Gathering:
    """What goes into the next group, and who waits for it."""

    operations: Operations = field(default_factory=dict)
    waiters: list[asyncio.Future[None]] = field(default_factory=list)


class Ledger:
    """Writes for one launch; every coroutine returns when its rows are durable.

    Raises StoreError when they cannot be made so; after that every write is refused.
    """

    def __init__(self, engine: Engine, *, spool: Spool) -> None:
        self._engine = engine
        self._spool = spool
        self._path = Path(engine.url.database or "")
        self._file = _identity(self._path)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        self._next = _Gathering()
        self._committing: asyncio.Task[None] | None = None
        self._broken: StoreError | None = None
        self._says_saved = False
        with engine.connect() as connection:
            self._next_item = _next_id(connection, "items")
            self._next_attempt = _next_id(connection, "attempts")
            self._number = last_number(connection)

    def new_item_id(self) -> int:
        """The id for an item that is about to be added."""
        self._next_item += 1
        return self._next_item - 1

    def new_attempt_id(self) -> int:
        """The id for an attempt that is about to be opened."""
        self._next_attempt += 1
        return self._next_attempt - 1

    async def absorb(self, operations: Iterable[Operation]) -> None:
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
        where = (attempt.item_id, attempt.step, attempt.part)
        operations: list[Operation] = [
            ("close_attempt", _settlement_row(settlement)),
            ("count_run", (1, cost, to_pico(settlement.unconfirmed_cost), attempt.run_id)),
        ]
        if settlement.saved:
            operations.append(("note_saved", (to_pico(settlement.saved), attempt.id)))
        if settlement.delivery is not None:
            operations.append(("note_delivery", (settlement.delivery, attempt.id)))
        if attempt.part:  # the step as a whole bears what its parts cost
            operations.append(("charge_step", (cost, attempt.item_id, attempt.step)))
        if end is None:
            operations.append(("keep_step", (int(counts), cost, *where)))
        else:
            model = end.model or settlement.model or attempt.model
            stamp = (model, attempt.run_id, to_ms(settlement.closed_at))
            row = (1, int(counts), cost, *_end_row(end), *stamp, *where)
            operations += _settling(end, row)
        await self._write(operations)

    async def settle_unsent(
        self,
        where: Where,
        end: StepEnd,
        *,
        run_id: int,
        at: datetime,
        model: str | None = None,
        copied_from: int | None = None,
    ) -> None:
        """Record what ended without an attempt of its own: unrenderable, over a limit, skipped,
        gathered from its parts, or as another item of an equal request did (`copied_from`). model:
        who answered those."""
        row = (0, 0, 0, *_end_row(end), model, run_id, to_ms(at), *where)
        operations = _settling(end, row)
        if copied_from is not None:
            operations.append(("note_copied", (copied_from, *where)))
        await self._write(operations)

    async def reuse(self, where: Where, fingerprint: bytes, *, release: str | None) -> None:
        """Record that the stored result of an earlier time answers the same request."""
        operations: list[Operation] = [("reuse_step", (fingerprint, *where))]
        if release is not None:
            operations.append(("release_step", (where[0], release)))
        await self._write(operations)

    async def begin_parts(
        self, item_id: int, step: str, parts: Iterable[tuple[int, bytes]]
    ) -> None:
        """Record that a step is to send these, by number and fingerprint; what a part was before is
        forgotten."""
        await self._write(
            [("begin_part", (item_id, step, part, fingerprint)) for part, fingerprint in parts]
        )

    async def set_meta(self, key: str, value: str) -> None:
        """Keep a fact about the job."""
        await self._write([("set_meta", (key, value))])

    async def steer(
        self, run_id: int, event: Event, *, budget: Decimal | None, launch_id: int | None
    ) -> None:
        """Add to a run's history, with the budget that holds from now on."""
        row = (run_id, launch_id, to_ms(event.at), event.action.value, to_json(event.said))
        pico = None if budget is None else to_pico(budget)
        await self._write([("add_history", row), ("set_budget", (pico, run_id))])

    async def close(self) -> None:
        """Wait for what is being committed and end the thread."""
        if self._committing is not None:
            await asyncio.wait([self._committing])
        self._thread.shutdown(wait=True)

    async def _write(self, operations: Iterable[Operation]) -> None:
        if self._broken is not None:
            refused: Operations = {}
            _gather(refused, operations)
            self._save(self._numbered(refused))
            raise self._broken
        _gather(self._next.operations, operations)
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._next.waiters.append(waiter)
        if self._committing is None:
            self._committing = loop.create_task(self._commit_groups())
        await waiter

    async def _commit_groups(self) -> None:
        loop = asyncio.get_running_loop()
        waiters: list[asyncio.Future[None]] = []
        group = Group(self._number, {})
        try:
            while self._next.waiters:
                gathered, self._next = self._next, _Gathering()
                waiters = gathered.waiters
                group = self._numbered(gathered.operations)
                await loop.run_in_executor(self._thread, self._commit, group)
                _resolve(waiters, None)
        except StoreError as error:
            self._break(waiters, error)
        except (MemoryError, RuntimeError) as error:  # no memory; no thread could be started
            # the thread may have had it all the same: a group counts once, by its number
            self._break(waiters, self._give_up(group, error))
        finally:
            self._committing = None

    def _break(self, waiters: list[asyncio.Future[None]], error: StoreError) -> None:
        """Refuse all further writes; nobody who waits for one is left waiting."""
        self._broken = error
        late, self._next = self._next, _Gathering()
        self._save(self._numbered(late.operations))
        _resolve([*waiters, *late.waiters], error)

    def _numbered(self, operations: Operations) -> Group:
        self._number += 1
        return Group(self._number, operations)

    def _commit(self, group: Group) -> None:
        """In the writer thread: commit, once more on a new connection, else spool and raise.

        Whatever goes wrong becomes a StoreError: callers wait for an answer.
        """
        try:
            self._refuse_moved()
            self._apply(group)
        except Exception as error:
            raise self._give_up(group, error) from error

    def _apply(self, group: Group) -> None:
        try:
            apply(self._engine, group)
        except UnicodeEncodeError:
            apply(self._engine, group.cleaned())
        except Exception as error:  # noqa: BLE001 the second time decides
            log.warning("the store could not be written (%s); trying once more", _reason(error))
            self._engine.dispose()  # after a failed sync the old connection's cache proves nothing
            apply(self._engine, group)

    def _refuse_moved(self) -> None:
        """SQLite would go on to write a file that has no name any more."""
        if _identity(self._path) != self._file:
            raise OSError("it was moved or deleted during the run")

    def _give_up(self, group: Group, error: Exception) -> StoreError:
        problem = f"{self._path}: cannot be written ({_reason(error)})"
        if not group.paid:
            return StoreError(f"{problem}; {remedy(error)}")
        try:
            self._spool.add(group)
        except (OSError, MemoryError) as worse:
            return StoreError(
                f"{problem}, nor could the {group.paid} answers in hand be saved beside it "
                f"({_reason(worse)}); they count as unknown on the next run; {remedy(worse)}"
            )
        return StoreError(
            f"{problem}; {group.paid} answers in hand were saved to {self._spool.path.name} and "
            f"will be taken in by the next run; {remedy(error)}"
        )

    def _save(self, group: Group) -> None:
        """After the store broke: answers that still came in are spooled too."""
        if not group.paid:
            return
        try:
            self._spool.add(group)
            if not self._says_saved:
                self._says_saved = True
                log.warning(
                    "answers that still came in were saved to %s and will be taken in by the next "
                    "run",
                    self._spool.path.name,
                )
        except (OSError, MemoryError) as error:
            log.warning(
                "%d answers could not be saved beside the store (%s); they count as unknown on "
                "the next run",
                group.paid,
                _reason(error),
            )


def _gather(into: Operations, operations: Iterable[Operation]) -> None:
    for kind, row in operations:
        into.setdefault(kind, []).append(row)


def _resolve(waiters: list[asyncio.Future[None]], error: StoreError | None) -> None:
    for waiter in waiters:
        if waiter.done():  # its caller was cancelled
            continue
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "memory ran out"
    return getattr(error, "strerror", None) or str(getattr(error, "orig", error))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 Path.stat() takes twice the time, at each commit
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _next_id(connection: Connection, table: str) -> int:
    statement = f"SELECT coalesce(max(id), 0) + 1 FROM {table}"  # noqa: S608 a name of ours
    return int(connection.exec_driver_sql(statement).scalar_one())


def _attempt_row(attempt: Attempt) -> Row:
    return (
        attempt.id,
        attempt.item_id,
        attempt.step,
        attempt.part,
        attempt.number,
        attempt.run_id,
        attempt.launch_id,
        attempt.model,
        attempt.max_tokens,
        attempt.input_tokens,
        to_pico(attempt.worst_cost),
        to_ms(attempt.sent_at),
        attempt.purpose,
    )


def _settlement_row(settlement: Settlement) -> Row:
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


def _settling(end: StepEnd, row: Row) -> list[Operation]:
    item_id = row[-3]
    operations: list[Operation] = [("settle_step", row)]
    if end.release is not None:
        operations.append(("release_step", (item_id, end.release)))
    if end.forget_row:
        operations.append(("forget_row", (item_id,)))
    return operations


def _end_row(end: StepEnd) -> Row:
    result = to_json(end.result) if end.state is State.SUCCEEDED else None
    return (end.state.value, end.fingerprint, end.outcome, end.error or None, result)
