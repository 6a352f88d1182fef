"""Opening and closing a job's store: lock, migration, recovery, the runs and launches in it."""

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, insert, inspect, select, text, tuple_, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from batchai.domain import Estimate, State
from batchai.errors import RefusedError, StoreError
from batchai.pricing import to_pico
from batchai.store import tables
from batchai.store.dialect import overwrite_deleted, remedy, writer_engine
from batchai.store.files import files_of, make_folder
from batchai.store.ledger import Ledger
from batchai.store.lock import Lock, boot_id
from batchai.store.migrations import ensure_current
from batchai.store.places import refuse_links, refuse_unsafe_folder
from batchai.store.queries import Reader
from batchai.store.rows import Run
from batchai.store.spool import Spool
from batchai.store.values import estimate_to_json, to_json, to_ms

_KEEP_FAILED = (
    "CREATE TABLE retried AS SELECT id, state, error, tried FROM item_steps "
    "WHERE state IN ('failed', 'unknown')"
)
_TAKE_BACK = (
    "UPDATE item_steps SET state = was.state, error = was.error, tried = was.tried "
    "FROM retried AS was WHERE item_steps.id = was.id AND item_steps.state = 'pending'"
)
_FORGET_RETRIED = "DROP TABLE retried"

_MAKE_UNKNOWN = (
    "UPDATE item_steps SET attempts = attempts + open.n, state = :state, outcome = 'unknown' "
    "FROM ({}) AS open WHERE item_steps.item_id = open.item_id AND item_steps.step = open.step "
    "AND item_steps.part = open.part AND item_steps.state NOT IN ('succeeded', 'skipped')"
)
_OPEN_PARTS = (
    "SELECT item_id, step, part, count(*) AS n FROM attempts WHERE outcome IS NULL "
    "GROUP BY item_id, step, part"
)
_OPEN_WHOLES = (  # of which a part is open
    "SELECT item_id, step, 0 AS part, count(*) AS n FROM attempts WHERE outcome IS NULL "
    "AND part > 0 GROUP BY item_id, step"
)


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a launch found of its predecessors: attempts that were sent and never recorded."""

    unknown_attempts: int
    spooled_groups: int


class Store:
    """A job's store, open for the one launch that may write to it.

    Raises StoreError (damaged, newer, foreign, unwritable), StoreBusyError (another launch holds
    it), RefusedError (it belongs to another job file of the same name).
    """

    def __init__(self, path: Path, *, job_path: Path) -> None:
        self.path = path
        folder = path.parent
        refuse_unsafe_folder(folder)
        refuse_links(folder, *files_of(path))
        make_folder(folder)
        self._lock = Lock(path.with_suffix(".lock"))
        try:
            self._engine = writer_engine(path)
            try:
                ensure_current(self._engine, path)
                spool = Spool(path.with_suffix(".spool"), store_id=self._claim(job_path))
                self._spooled = spool.take_in(self._engine)
                self._take_back()
                self.ledger = Ledger(self._engine, spool=spool)
                self.reader = Reader(path)
            except BaseException:
                self._engine.dispose()
                raise
        except BaseException:
            self._lock.release()
            raise

    async def close(self) -> None:
        """Commit what is in hand, checkpoint, and let the next launch in."""
        try:
            await self.ledger.close()
        finally:
            self.reader.close()
            self._engine.dispose()
            self._lock.release()

    def recover(self, *, hold: bool, now: datetime) -> Recovery:
        """Turn attempts left open by a dead launch into unknown ones; their worst cost stays.

        With `hold` their items wait for the user (state unknown), else they are pending again.
        """
        state = State.UNKNOWN if hold else State.PENDING
        with self._writing() as connection:
            for which in (_OPEN_PARTS, _OPEN_WHOLES):
                connection.execute(text(_MAKE_UNKNOWN.format(which)), {"state": state.value})
            connection.execute(
                text(
                    "UPDATE runs SET attempts = attempts + open.n, "
                    "unconfirmed_pico = unconfirmed_pico + open.worst FROM (SELECT run_id, "
                    "count(*) AS n, sum(worst_pico) AS worst "
                    "FROM attempts WHERE outcome IS NULL GROUP BY run_id) AS open "
                    "WHERE runs.id = open.run_id"
                )
            )
            found = connection.execute(
                text(
                    "UPDATE attempts SET outcome = 'unknown', closed_at = :now, "
                    "unconfirmed_pico = worst_pico WHERE outcome IS NULL"
                ),
                {"now": to_ms(now)},
            )
            connection.execute(
                update(tables.launches)
                .where(tables.launches.c.ended_at.is_(None))
                .values(ended_at=to_ms(now), reason="died")
            )
        return Recovery(unknown_attempts=found.rowcount, spooled_groups=self._spooled)

    def begin_run(self, *, spec: dict[str, Any], budget: Decimal | None, now: datetime) -> Run:
        """A new run of the job: what is pending has all its attempts again."""
        row = {"started_at": to_ms(now), "spec": to_json(spec), "budget_pico": _pico(budget)}
        steps = tables.item_steps
        with self._writing() as connection:
            connection.execute(insert(tables.runs).values(row))
            connection.execute(
                update(steps).where(steps.c.state == "pending", steps.c.tried > 0).values(tried=0)
            )
        run = self.reader.last_run()
        assert run is not None
        return run

    def continue_run(self, run: Run, *, spec: dict[str, Any], budget: Decimal | None) -> None:
        """Go on with a run, under the spec and the budget of now."""
        with self._writing() as connection:
            connection.execute(
                update(tables.runs)
                .where(tables.runs.c.id == run.id)
                .values(spec=to_json(spec), budget_pico=_pico(budget))
            )

    def keep_estimate(self, run_id: int, estimate: Estimate) -> None:
        """What the run is expected to cost and to take, for its report."""
        change = update(tables.runs).where(tables.runs.c.id == run_id)
        with self._writing() as connection:
            connection.execute(change.values(estimate=estimate_to_json(estimate)))

    def end_run(self, run_id: int, *, now: datetime) -> None:
        """Every selected item is settled."""
        with self._writing() as connection:
            connection.execute(
                update(tables.runs).where(tables.runs.c.id == run_id).values(ended_at=to_ms(now))
            )

    def begin_launch(self, run_id: int, *, now: datetime) -> int:
        """This process starts to work on a run; returns the launch's number."""
        row = {
            "run_id": run_id,
            "host": socket.gethostname(),
            "boot": boot_id(),
            "pid": os.getpid(),
            "started_at": to_ms(now),
        }
        with self._writing() as connection:
            inserted = connection.execute(insert(tables.launches).values(row))
        assert inserted.inserted_primary_key is not None
        return int(inserted.inserted_primary_key[0])

    def end_launch(self, launch_id: int, *, exit_code: int, reason: str, now: datetime) -> None:
        """This process is done."""
        with self._writing() as connection:
            connection.execute(
                update(tables.launches)
                .where(tables.launches.c.id == launch_id)
                .values(ended_at=to_ms(now), exit_code=exit_code, reason=reason)
            )

    def retry(self, *, outcomes: frozenset[str] | None) -> int:
        """Make failed items pending again: all, or failed and held ones of these outcomes."""
        steps = tables.item_steps
        if outcomes is None:
            wanted: ColumnElement[bool] = steps.c.state == "failed"
        else:
            wanted = steps.c.state.in_(["failed", "unknown"]) & steps.c.outcome.in_(outcomes)
        change = {"state": "pending", "tried": 0, "error": None}
        with self._writing() as connection:
            connection.execute(update(steps).where(wanted, steps.c.part > 0).values(change))
            again = select(steps.c.item_id, steps.c.step).where(
                steps.c.state == "pending", steps.c.part > 0
            )
            is_whole_of_one = tuple_(steps.c.item_id, steps.c.step).in_(again) & (
                steps.c.state.in_(["failed", "unknown"])
            )
            wholes = update(steps).where(steps.c.part == 0, wanted | is_whole_of_one)
            return connection.execute(wholes.values(change)).rowcount

    @contextmanager
    def retrying(self, *, outcomes: frozenset[str] | None) -> Iterator[None]:
        """`retry`, taken back where the block raises: a refused command changes nothing. Where the
        process dies in it, the next one to open the store takes it back."""
        with self._writing() as connection:
            connection.exec_driver_sql(_KEEP_FAILED)
        self.retry(outcomes=outcomes)
        try:
            yield
        except BaseException:
            self._take_back()
            raise
        with self._writing() as connection:
            connection.exec_driver_sql(_FORGET_RETRIED)

    def _take_back(self) -> None:
        """Items that a command made pending which did not come to its run."""
        with self._writing() as connection:
            if inspect(connection).has_table("retried"):
                connection.exec_driver_sql(_TAKE_BACK)
                connection.exec_driver_sql(_FORGET_RETRIED)

    def begin_scan(self, *, compare: bool, resumes: bool, fact: tuple[str, str]) -> None:
        """Before a scan; `fact` is kept in the same transaction, so that a launch which dies before
        the first chunk leaves its purpose behind.

        compare: pending items wait until the scan has seen them again. resumes: an earlier launch
        has taken in the first part, and has listed its bad rows.
        """
        with self._writing() as connection:
            if not resumes:
                connection.execute(tables.bad_rows.delete())
            if compare:
                pending = select(tables.item_steps.c.item_id).where(
                    tables.item_steps.c.state == "pending"
                )
                connection.execute(
                    update(tables.items)
                    .where(tables.items.c.id.in_(pending), tables.items.c.selected == 1)
                    .values(selected=0)
                )
            key, value = fact
            connection.execute(tables.meta.delete().where(tables.meta.c.key == key))
            connection.execute(insert(tables.meta).values(key=key, value=value))

    def index_requests(self) -> None:
        """Make equal requests quick to find (`dedupe`)."""
        with self._writing() as connection:
            connection.exec_driver_sql(
                "CREATE INDEX IF NOT EXISTS ix_item_steps_fingerprint "
                "ON item_steps (step, fingerprint)"
            )

    def forget_deleted(self) -> None:
        """Overwrite deleted content in the file from now on (`retain.items: false`)."""
        overwrite_deleted(self._engine)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """One transaction; what goes wrong in it is a StoreError."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StoreError(
                f"{self.path}: cannot be written ({getattr(error, 'orig', error)}); {remedy(error)}"
            ) from error

    def _claim(self, job_path: Path) -> str:
        """Bind the store to its job file, refuse another one's; returns the store's own id."""
        with self._writing() as connection:
            rows = connection.execute(select(tables.meta))
            facts: dict[str, str] = {row.key: row.value for row in rows}
            other = job_path.parent / facts.get("job_file", job_path.name)
            if other != job_path and other.exists():
                raise RefusedError(
                    f"{job_path}: the job's name {self.path.stem!r} is already used by {other}; "
                    "give one of them another `name:`"
                )
            new = {"store": secrets.token_hex(8), "group": "0", **facts, "job_file": job_path.name}
            if new != facts:
                connection.execute(tables.meta.delete())
                connection.execute(
                    insert(tables.meta), [{"key": k, "value": v} for k, v in new.items()]
                )
        return new["store"]


def open_reader(path: Path, *, salvaging: bool = False) -> Reader:
    """Read-only queries over a store that may be written to by a launch at the same time.

    salvaging: its errors do not recommend what is being done.
    """
    if not path.exists():
        raise StoreError(f"{path}: no store yet; the job has not been run (batchai run …)")
    return Reader(path, salvaging=salvaging)


def _pico(budget: Decimal | None) -> int | None:
    return None if budget is None else to_pico(budget)
