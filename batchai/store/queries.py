"""Read-only questions to a store. Rows of the database stop here: values go out."""

import threading
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam, func, select, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DatabaseError

from batchai.domain import (
    ResultRow,
    State,
)
from batchai.errors import StoreError
from batchai.pricing import from_pico
from batchai.store import tables
from batchai.store.dialect import reader_engine, scratch_engine, unusable
from batchai.store.migrations import refuse_foreign
from batchai.store.results import RESULTS, item_result, results_in
from batchai.store.rows import (
    STATES,
    AttemptRow,
    DatabaseRow,
    Launch,
    PendingItem,
    RecentAttempts,
    Run,
    StoredItem,
    StoredStep,
    attempt_of,
    launch_of,
    part_of,
    run_of,
)
from batchai.store.salvage import Salvage
from batchai.store.values import from_json, from_ms

Values = dict[str, Any]

_PAGE_CHARS = 8_000_000  # a page of pending items ends early here, so that memory stays bounded

_PENDING = (  # of one step; an item is pending in one at a time
    "SELECT * FROM (SELECT s.item_id FROM item_steps AS s JOIN items AS i ON i.id = s.item_id "
    "WHERE s.state = 'pending' AND s.step = :step{0} AND s.part = 0 AND s.item_id > :after "
    "AND i.selected > 0 ORDER BY s.item_id LIMIT :limit)"
)
_STEPS_OF = text(
    "SELECT i.id, i.key, i.position, i.row, s.step, s.part, s.state, s.fingerprint, s.outcome, "
    "s.error, s.result, s.model, s.attempts, s.tried FROM items AS i "
    "JOIN item_steps AS s ON s.item_id = i.id WHERE i.id IN :ids ORDER BY i.id, s.step, s.part"
).bindparams(bindparam("ids", expanding=True))
_FAILED = text(  # in the words of the partial index
    "SELECT outcome, count(*) FROM item_steps WHERE step IN :steps AND part = 0 "
    "AND state IN ('failed', 'unknown') AND outcome NOT IN ('succeeded', '') GROUP BY outcome"
).bindparams(bindparam("steps", expanding=True))
_FAILED_UNSELECTED = text(
    "SELECT s.outcome, count(*) FROM items AS i CROSS JOIN item_steps AS s WHERE i.selected = 0 "
    "AND s.item_id = i.id AND s.step IN :steps AND s.part = 0 "
    "AND s.state IN ('failed', 'unknown') GROUP BY s.outcome"
).bindparams(bindparam("steps", expanding=True))
_UNSELECTED = text(  # CROSS JOIN: begin with the few of the partial index
    "SELECT s.state, count(*) FROM items AS i CROSS JOIN item_steps AS s "
    "WHERE i.selected = 0 AND s.item_id = i.id AND s.step = :step AND s.part = 0 GROUP BY s.state"
)
_STORED = text(
    "SELECT i.key, i.id, i.position, i.selected, i.row, s.step, s.state, s.fingerprint, "
    "s.result IS NOT NULL FROM items AS i LEFT JOIN item_steps AS s ON s.item_id = i.id "
    "AND s.part = 0 AND s.step IN :steps WHERE i.key IN :keys"
).bindparams(bindparam("keys", expanding=True), bindparam("steps", expanding=True))


class Reader:
    """Queries over one store; safe from any one thread at a time. Raises StoreError."""

    def __init__(self, path: Path, *, salvaging: bool = False) -> None:
        self.path = path
        self._salvaging = salvaging
        self._engine = reader_engine(path)
        self._lock = threading.Lock()
        self._holds_snapshot = False
        try:
            self._connection: Connection = self._engine.connect()
            refuse_foreign(self._connection, str(path))
        except DatabaseError as error:
            raise unusable(path, error, salvaging=salvaging) from error

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

    def hold_pages(self, megabytes: int) -> None:
        """Keep so much of the store at hand, called before a snapshot.

        Lookups all over a large store read the same pages again and again.
        """
        with self._lock:
            self._connection.exec_driver_sql(f"PRAGMA cache_size=-{megabytes * 1000}")
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
        return run_of(rows[0]) if rows else None

    def runs(self) -> list[Run]:
        """All runs, oldest first."""
        return [run_of(row) for row in self._all(select(tables.runs).order_by(tables.runs.c.id))]

    def launches(self) -> list[Launch]:
        """All launches, oldest first."""
        rows = self._all(select(tables.launches).order_by(tables.launches.c.id))
        return [launch_of(row) for row in rows]

    def state_counts(self, step: str) -> dict[State, int]:
        """Selected items by their state in a step."""
        steps = tables.item_steps
        query = select(steps.c.state, func.count()).where(steps.c.step == step, steps.c.part == 0)
        counts = {row[0]: int(row[1]) for row in self._all(query.group_by(steps.c.state))}
        # those that left are taken away again: a join over a million selected ones is slow
        for state, number in self._all(_UNSELECTED, {"step": step}):
            counts[state] -= int(number)
        return {State(state): number for state, number in counts.items() if number}

    def item_counts(self, *names: str) -> dict[State, int]:
        """Selected items by state over these steps, in their order (see `overall`).

        An item fails, is held or waits in one step only, so that the steps' counts add up.
        """
        counts = [self.state_counts(name) for name in names]
        found = {
            state: sum(count.get(state, 0) for count in counts)
            for state in (State.FAILED, State.UNKNOWN)
        }
        done = sum(counts[-1].get(state, 0) for state in (State.SUCCEEDED, State.SKIPPED))
        found[State.SKIPPED] = self._never_run(names) if counts[0].get(State.SKIPPED) else 0
        found[State.PENDING] = (
            sum(counts[0].values())
            - done
            - sum(found[state] for state in (State.FAILED, State.UNKNOWN))
        )
        found[State.SUCCEEDED] = done - found[State.SKIPPED]
        return {state: number for state, number in found.items() if number}

    def _never_run(self, names: Sequence[str]) -> int:
        """Selected items of which every step was skipped."""
        query = text(
            "SELECT count(*) FROM item_steps AS s JOIN items AS i ON i.id = s.item_id "
            "WHERE s.state = 'skipped' AND s.step = :first AND s.part = 0 AND i.selected > 0 "
            "AND NOT EXISTS (SELECT 1 FROM item_steps AS o WHERE o.item_id = s.item_id "
            "AND o.part = 0 AND o.step IN :names AND o.state <> 'skipped')"
        ).bindparams(bindparam("names", expanding=True))
        return int(self._all(query, {"first": names[0], "names": list(names)})[0][0])

    def failure_counts(self, *names: str) -> dict[str, int]:
        """Selected failed items by outcome."""
        counts = Counter(dict(map(tuple, self._all(_FAILED, {"steps": names}))))
        # those that left are taken away again, as in `state_counts`
        counts.subtract(dict(map(tuple, self._all(_FAILED_UNSELECTED, {"steps": names}))))
        found = [(kind, number) for kind, number in counts.items() if number]
        return dict(sorted(found, key=lambda each: (-each[1], each[0])))

    def open_attempts(self) -> tuple[int, Decimal]:
        """How many attempts are in flight (or were, when a launch died), and their worst cost."""
        attempts = tables.attempts
        query = select(func.count(), func.coalesce(func.sum(attempts.c.worst_pico), 0)).where(
            attempts.c.outcome.is_(None)
        )
        row = self._all(query)[0]
        return int(row[0]), from_pico(int(row[1]))

    def pending(self, *names: str, after: int, limit: int) -> list[PendingItem]:
        """The next selected items by id that are pending in one of these steps, fewer where they
        are large."""
        pages = " UNION ALL ".join(_PENDING.format(n) for n in range(len(names)))
        values = {f"step{n}": name for n, name in enumerate(names)}
        page = self._all(
            f"{pages} ORDER BY item_id LIMIT :limit", {"after": after, "limit": limit, **values}
        )
        ids = [row[0] for row in page]
        return self._items(ids, most_chars=_PAGE_CHARS) if ids else []

    def whole_item(self, item_id: int) -> PendingItem:
        """An item with all that the store knows of its steps."""
        return self._items([item_id])[0]

    def _items(self, ids: Sequence[int], *, most_chars: int = 2**62) -> list[PendingItem]:
        items: list[PendingItem] = []
        chars = 0
        with self._lock, self._reading():
            rows = self._connection.execute(_STEPS_OF, {"ids": ids})
            for item_id, found in groupby(rows, key=itemgetter(0)):
                steps = {}
                for _, key, position, row, step, part, *rest in found:  # noqa: B007 the last counts
                    steps[step, part] = part_of(rest)
                    chars += len(rest[4] or "")
                fields = None if row is None else from_json(row)
                items.append(PendingItem(item_id, key, position, fields, steps))
                chars += len(row or "")
                if chars > most_chars:
                    break
            rows.close()
            if not self._holds_snapshot:
                self._connection.rollback()
        return items

    def stored(self, keys: Sequence[str], *names: str) -> dict[str, StoredItem]:
        """What is known of these keys (at most some thousands at a time) in these steps."""
        found: dict[str, StoredItem] = {}
        values = {"steps": names, "keys": list(keys)}
        for key, item_id, position, selected, row, step, *rest in self._all(_STORED, values):
            if key not in found:
                found[key] = StoredItem(item_id, position, bool(selected), row, {})
            if step is not None:
                state, fingerprint, has_result = rest
                found[key].steps[step] = StoredStep(STATES[state], fingerprint, bool(has_result))
        return found

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

    def item(self, key: str, *names: str) -> ResultRow | None:
        """What became of one item in these steps."""
        query = text(f"{RESULTS} WHERE i.key = :key").bindparams(bindparam("steps", expanding=True))
        rows = self._all(query, {"steps": names, "key": key})
        return item_result(rows, names) if rows else None

    def results_of(self, item_id: int, names: Sequence[str]) -> dict[str, Any]:
        """The item's results by step, of those that there are."""
        steps = tables.item_steps
        query = select(steps.c.step, steps.c.result).where(
            steps.c.item_id == item_id,
            steps.c.part == 0,
            steps.c.step.in_(names),
            steps.c.result.is_not(None),
        )
        return {row.step: from_json(row.result) for row in self._all(query)}

    def succeeded(self, step: str, *, with_rows: bool) -> Iterator[tuple[int, str | None, str]]:
        """Id, row and result of each item that succeeded in a step, as JSON text, in order."""
        row = "i.row" if with_rows else "NULL"
        query = text(
            f"SELECT i.id, {row}, s.result FROM items AS i JOIN item_steps AS s "  # noqa: S608
            "ON s.item_id = i.id AND s.step = :step AND s.part = 0 WHERE i.selected > 0 "
            "AND s.state = 'succeeded' ORDER BY i.position, i.id"
        )
        with self._reading(), self._engine.connect() as connection:
            streaming = connection.execution_options(yield_per=500)
            for item_id, row, result in streaming.execute(query, {"step": step}):
                yield item_id, row, result

    def results_by_id(self, step: str, item_ids: Sequence[int]) -> list[str]:
        """Results of these items in a step, as JSON text, in their order."""
        rows = self.query(
            "SELECT item_id, result FROM item_steps WHERE step = :step AND part = 0 "
            "AND item_id IN :ids",
            {"step": step, "ids": tuple(item_ids)},
        )
        found = {row.item_id: row.result for row in rows}
        return [found[item_id] for item_id in item_ids]

    def part_results(self, item_id: int, step: str, *, first: int, last: int) -> list[str]:
        """Results of these parts of an item's step, as JSON text."""
        rows = self.query(
            "SELECT result FROM item_steps WHERE item_id = :id AND step = :step "
            "AND part BETWEEN :first AND :last ORDER BY part",
            {"id": item_id, "step": step, "first": first, "last": last},
        )
        return [row[0] for row in rows]

    def groups(self, step: str) -> dict[str, tuple[int, State, bytes | None]]:
        """The groups of a reduction by key, also those that there are no items for any more."""
        rows = self.query(
            "SELECT i.key, i.id, s.state, s.fingerprint FROM items AS i JOIN item_steps AS s "
            "ON s.item_id = i.id AND s.part = 0 AND s.step = :step",
            {"step": step},
        )
        return {key: (item_id, STATES[state], print_) for key, item_id, state, print_ in rows}

    def attempts_of(self, item_id: int, step: str, part: int = 0) -> list[AttemptRow]:
        """The attempts of an item, or of a part of its step, oldest first."""
        attempts = tables.attempts
        query = (
            select(attempts)
            .where(attempts.c.item_id == item_id, attempts.c.step == step)
            .where(attempts.c.part == part)
            .order_by(attempts.c.number)
        )
        return [attempt_of(row) for row in self._all(query)]

    def recent_attempts(
        self, since_ms: int, models: Collection[str], *, exact_since_ms: int
    ) -> list[RecentAttempts]:
        """Attempts at these models since then, for a gate's windows; open ones at their
        reservation. One by one since `exact_since_ms`, those before it summed by the minute: a day
        may hold millions."""
        used = "uncached_input + cache_write_5m + cache_write_1h"
        known = f"coalesce(outcome, 'unknown') != 'unknown' AND {used} + output > 0"
        rows = self.query(
            f"SELECT max(sent_at), sum(CASE WHEN {known} THEN {used} ELSE input_estimate END), "  # noqa: S608
            f"sum(CASE WHEN {known} THEN output ELSE max_tokens END), count(*) FROM attempts "
            "WHERE id > coalesce((SELECT id FROM attempts WHERE sent_at < :since "
            "ORDER BY id DESC LIMIT 1), 0) AND model IN :models "
            "GROUP BY CASE WHEN sent_at < :exact THEN -(sent_at / 60000) ELSE id END",
            {"since": since_ms, "exact": exact_since_ms, "models": tuple(models)},
        )
        return [RecentAttempts(from_ms(sent), *sums) for sent, *sums in rows]

    def is_empty(self) -> bool:
        """Whether no item was ever taken in."""
        return self._scalar(select(tables.items.c.id).limit(1)) is None

    def results(self, *names: str) -> Iterator[ResultRow]:
        """Every selected item in the input's order, with what became of it in these steps;
        streamed."""
        with self._reading(), self._engine.connect() as connection:
            yield from results_in(connection, names)

    @contextmanager
    def view(self, *names: str) -> Iterator[Callable[[], Iterator[ResultRow]]]:
        """`results`, as often as wanted, from one state of the store, whatever a run writes."""
        with self._reading(), self._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            yield lambda: results_in(connection, names)

    @contextmanager
    def salvage(self, *names: str) -> Iterator[Salvage]:
        """`results` of a damaged store, as far as they can be read."""
        with (
            self._reading(),
            self._engine.connect() as connection,
            scratch_engine().connect() as scratch,
        ):
            connection.exec_driver_sql("BEGIN")
            yield Salvage(connection, scratch, names)

    def usage_ratio(self, step: str, *, limit: int = 2000) -> tuple[int, int, int, int]:
        """Sums over a step's newest billed attempts: number, estimated and actual input, output."""
        query = text(
            "SELECT count(*), coalesce(sum(input_estimate), 0), coalesce(sum(uncached_input + "
            "cache_read + cache_write_5m + cache_write_1h), 0), coalesce(sum(output), 0) FROM "
            "(SELECT * FROM attempts WHERE outcome IN ('succeeded', 'invalid', 'truncated') "
            "AND output > 0 AND step = :step ORDER BY id DESC LIMIT :limit)"
        )
        row = self._all(query, {"step": step, "limit": limit})[0]
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
        """Rows of a read-only statement of the reports room; `IN :names` takes a tuple."""
        query = text(statement)
        for name, value in (values or {}).items():
            if isinstance(value, tuple):
                query = query.bindparams(bindparam(name, expanding=True))
        return self._all(query, values)

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
            last = "" if self._salvaging else ", or save what can be read: batchai export --salvage"
            raise StoreError(
                f"{self.path}: cannot be read ({error.orig}); check the disk, restore a copy made "
                f"by `batchai backup`{last}"
            ) from error

    def _scalar(self, query: Any) -> Any:
        rows = self._all(query)
        return rows[0][0] if rows else None
