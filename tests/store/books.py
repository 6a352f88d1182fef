"""A store with items and attempts, for the tests of this room."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from batchai.domain import NO_COST, Attempt, Outcome, Settlement, State, Usage
from batchai.store import Reader, Store
from batchai.store.ledger import StepEnd
from batchai.store.rows import Run
from tests.virtual import EPOCH

STEP = "main"
WORST = Decimal("0.25")
COST = Decimal("0.0123456789")
FINGERPRINT = b"\0\xff of 16 bytes.."


def open_store(folder: Path, name: str = "job") -> Store:
    """The store of a job file in the folder."""
    return Store(folder / ".batchai" / f"{name}.db", job_path=folder / f"{name}.yaml")


async def add_items(store: Store, count: int) -> list[int]:
    """So many pending items; returns their ids."""
    ids = [store.ledger.new_item_id() for _ in range(count)]
    await store.ledger.absorb(
        operation
        for item_id in ids
        for operation in (
            ("add_item", (item_id, f"k{item_id}", item_id, f'{{"n":{item_id}}}')),
            ("add_step", (item_id, STEP)),
        )
    )
    return ids


def begin(store: Store) -> Run:
    """A run with a launch."""
    run = store.begin_run(spec={}, budget=None, now=EPOCH)
    store.begin_launch(run.id, now=EPOCH)
    return run


def an_attempt(store: Store, item_id: int, *, run_id: int = 1, number: int = 1) -> Attempt:
    """An attempt that is about to be opened."""
    return Attempt(
        id=store.ledger.new_attempt_id(),
        item_id=item_id,
        step=STEP,
        number=number,
        run_id=run_id,
        launch_id=1,
        model="openai/m",
        max_tokens=64,
        input_tokens=10,
        sent_at=EPOCH,
        worst_cost=WORST,
    )


def a_settlement(attempt: Attempt, **fields: Any) -> Settlement:
    """How an attempt ended; well, if `fields` do not say otherwise."""
    return replace(
        Settlement(attempt.id, Outcome.SUCCEEDED, closed_at=EPOCH, usage=Usage(10, output=5)),
        **fields,
    )


async def close(
    store: Store,
    attempt: Attempt,
    *,
    cost: Decimal = COST,
    unconfirmed: Decimal = NO_COST,
    result: Any = None,
    **fields: Any,
) -> None:
    """Record a success."""
    await store.ledger.close_attempt(
        attempt,
        a_settlement(attempt, cost=cost, unconfirmed_cost=unconfirmed, **fields),
        counts=True,
        end=StepEnd(State.SUCCEEDED, FINGERPRINT, "succeeded", result=result),
    )


async def succeed(store: Store, item_id: int, **fields: Any) -> None:
    """One whole attempt of an item."""
    attempt = an_attempt(store, item_id)
    await store.ledger.open_attempt(attempt)
    await close(store, attempt, **fields)


@contextmanager
def full_disk(store: Store) -> Iterator[None]:
    """No file of this process may grow beyond what the write-ahead log has; a spool is smaller."""
    with no_file_beyond(store.path.with_name(f"{store.path.name}-wal").stat().st_size):
        yield


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """No file of this process may grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def states(reader: Reader) -> list[State]:
    """The selected items' states, in the input's order."""
    return [row.state for row in reader.results(STEP)]
