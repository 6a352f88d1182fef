"""Opening and closing a job's store: lock, migration, recovery, the runs and launches in it."""

import hashlib
import os
import socket
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Engine, insert, select, text, update
from sqlalchemy.exc import DatabaseError

from batchai.domain import State
from batchai.errors import RefusedError, StoreError
from batchai.pricing import to_pico
from batchai.store import tables
from batchai.store.dialect import refuse_unsafe_folder, writer_engine
from batchai.store.ledger import Ledger, execute, unspool
from batchai.store.lock import Lock, boot_id
from batchai.store.migrations import ensure_current
from batchai.store.queries import Reader, Run
from batchai.store.values import from_json, to_json, to_ms


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
        _make_folder(folder)
        refuse_unsafe_folder(folder)
        self._lock = Lock(path.with_suffix(".lock"))
        try:
            self._engine = writer_engine(path)
            ensure_current(self._engine, str(path))
            _claim(self._engine, path, job_path)
            self._spool = path.with_suffix(".spool")
            self._spooled = self._take_in_spool()
            self.ledger = Ledger(self._engine, spool=self._spool)
            self.reader = Reader(path)
        except BaseException:
            self._lock.release()
            raise

    async def close(self) -> None:
        """Commit what is in hand, checkpoint, and let the next launch in."""
        await self.ledger.close()
        self.reader.close()
        self._engine.dispose()
        self._lock.release()

    def recover(self, *, hold: bool, now: datetime) -> Recovery:
        """Turn attempts left open by a dead launch into unknown ones; their worst cost stays.

        With `hold` their items wait for the user (state unknown), else they are pending again.
        """
        state = State.UNKNOWN if hold else State.PENDING
        with self._engine.begin() as connection:
            connection.execute(
                text(
                    "UPDATE item_steps SET attempts = attempts + 1, state = :state, "
                    "outcome = 'unknown' FROM (SELECT item_id, step FROM attempts WHERE "
                    "outcome IS NULL) AS open "
                    "WHERE item_steps.item_id = open.item_id AND item_steps.step = open.step "
                    "AND item_steps.state NOT IN ('succeeded', 'skipped')"
                ),
                {"state": state.value},
            )
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
        """A new run of the job."""
        row = {"started_at": to_ms(now), "spec": to_json(spec), "budget_pico": _pico(budget)}
        with self._engine.begin() as connection:
            connection.execute(insert(tables.runs).values(row))
        run = self.reader.last_run()
        assert run is not None
        return run

    def continue_run(self, run: Run, *, spec: dict[str, Any], budget: Decimal | None) -> None:
        """Go on with a run, under the spec and the budget of now."""
        with self._engine.begin() as connection:
            connection.execute(
                update(tables.runs)
                .where(tables.runs.c.id == run.id)
                .values(spec=to_json(spec), budget_pico=_pico(budget))
            )

    def end_run(self, run_id: int, *, now: datetime) -> None:
        """Every selected item is settled."""
        with self._engine.begin() as connection:
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
        with self._engine.begin() as connection:
            inserted = connection.execute(insert(tables.launches).values(row))
        assert inserted.inserted_primary_key is not None
        return int(inserted.inserted_primary_key[0])

    def end_launch(self, launch_id: int, *, exit_code: int, reason: str, now: datetime) -> None:
        """This process is done."""
        with self._engine.begin() as connection:
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
        change = update(steps).where(wanted).values(state="pending", tried=0, error=None)
        with self._engine.begin() as connection:
            return connection.execute(change).rowcount

    def begin_scan(self, *, compare: bool) -> None:
        """Before a comparison: pending items wait until the scan has seen them again."""
        with self._engine.begin() as connection:
            connection.execute(tables.bad_rows.delete())
            if compare:
                pending = select(tables.item_steps.c.item_id).where(
                    tables.item_steps.c.state == "pending"
                )
                connection.execute(
                    update(tables.items).where(tables.items.c.id.in_(pending)).values(selected=0)
                )

    def deselect(self, item_ids: list[int]) -> None:
        """Items that left the input stay in the store and leave the export."""
        rows = [(item_id,) for item_id in item_ids]
        with self._engine.begin() as connection:
            for start in range(0, len(rows), 10_000):
                connection.exec_driver_sql(
                    "UPDATE items SET selected = 0 WHERE id = ?", rows[start : start + 10_000]
                )

    def forget_deleted(self) -> None:
        """Overwrite deleted content in the file (`retain.items: false`)."""
        with self._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA secure_delete=on")

    def _take_in_spool(self) -> int:
        if not self._spool.exists():
            return 0
        digest = hashlib.sha256(self._spool.read_bytes()).hexdigest()
        groups = unspool(self._spool, from_json)
        with self._engine.begin() as connection:
            mark = {"key": "spool", "value": digest}
            seen = connection.execute(
                select(tables.meta).where(tables.meta.c.key == "spool")
            ).first()
            if seen is None or seen.value != digest:  # else a launch died before the unlink
                for group in groups:
                    execute(connection, group)
                connection.execute(tables.meta.delete().where(tables.meta.c.key == "spool"))
                connection.execute(insert(tables.meta).values(mark))
        self._spool.unlink()
        return len(groups)


def open_reader(path: Path) -> Reader:
    """Read-only queries over a store that may be written to by a launch at the same time."""
    if not path.exists():
        raise StoreError(f"{path}: no store yet; the job has not been run (batchai run …)")
    return Reader(path)


def set_aside(path: Path) -> Path | None:
    """Rename a store, so that the job starts from nothing; returns its new path, None without one.

    Raises StoreBusyError while a launch works on it.
    """
    if not path.exists():
        return None
    lock = Lock(path.with_suffix(".lock"))
    try:
        number = 1
        while (old := path.with_name(f"{path.stem}.old{number}.db")).exists():
            number += 1
        for suffix in ("-wal", "-shm", ""):
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.rename(old.with_name(old.name + suffix))
    finally:
        lock.release()
    return old


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
    except OSError as error:
        raise StoreError(
            f"{folder}: cannot be made ({error.strerror}); the store lives beside the job file, "
            "so that folder must be writable"
        ) from error


def _claim(engine: Engine, path: Path, job_path: Path) -> None:
    """Bind the store to its job file; another file with the same name is refused."""
    try:
        with engine.begin() as connection:
            owner = connection.execute(
                select(tables.meta.c.value).where(tables.meta.c.key == "job_file")
            ).scalar()
            if owner is None:
                connection.execute(insert(tables.meta).values(key="job_file", value=job_path.name))
    except DatabaseError as error:
        raise StoreError(f"{path}: cannot be read ({error.orig})") from error
    other = job_path.parent / (owner or job_path.name)
    if other != job_path and other.exists():
        raise RefusedError(
            f"{job_path}: the job's name {path.stem!r} is already used by {other}; "
            "give one of them another `name:`"
        )


def _pico(budget: Decimal | None) -> int | None:
    return None if budget is None else to_pico(budget)
