"""The stores that are found in some folders, each looked at without its job file."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from batchai.domain import NO_COST
from batchai.errors import StoreError
from batchai.pricing import from_pico
from batchai.reports.job_report import ComparedCost
from batchai.reports.jobs import JobLine
from batchai.store import Reader, aggregates, open_reader
from batchai.store.history import steering_of
from batchai.store.lock import is_held
from batchai.store.rows import Launch, Run

REHEARSAL_MARK = "rehearsal"  # a fact in a store: nothing in it was sent or paid for
_CUT_SHORT = {"interrupted", "terminated", "stopped", "died"}  # from outside
COMPARED_MARK = "compared"  # a fact in a store of a comparison: its model


def job_lines(folders: Sequence[Path] = ()) -> list[JobLine]:
    """A line a store here, in jobs/ and in these folders, by folder and name; no rehearsals."""
    return [line for path in store_paths(folders) if (line := _line(path)) is not None]


def store_paths(folders: Sequence[Path] = ()) -> Iterator[Path]:
    """Every `.batchai/*.db` here, in jobs/ and in these folders, each once."""
    seen = set()
    for folder in (Path(), Path("jobs"), *folders):
        for path in sorted((folder / ".batchai").glob("*.db")):
            if path.resolve() not in seen:
                seen.add(path.resolve())
                yield path


def compared_costs(folder: Path) -> list[ComparedCost]:
    """What each model of a job's comparisons has cost; a store that cannot be read is left out."""
    found = []
    for path in sorted(folder.glob("*.db")):
        with suppress(StoreError):
            found.append(_compared_cost(path))
    return found


def _compared_cost(path: Path) -> ComparedCost:
    reader = open_reader(path)
    try:
        with reader.snapshot():
            runs = reader.runs()
            return ComparedCost(
                model=reader.meta(COMPARED_MARK) or path.stem,
                attempts=sum(run.attempts for run in runs),
                cost_usd=sum((run.cost for run in runs), NO_COST),
                unconfirmed_usd=sum((run.unconfirmed for run in runs), reader.open_attempts()[1]),
            )
    finally:
        reader.close()


def _line(path: Path) -> JobLine | None:
    try:
        reader = open_reader(path)
    except StoreError as error:
        return JobLine(path.stem, str(path), problem=str(error))
    try:
        if reader.meta(REHEARSAL_MARK) is not None:
            return None
        with reader.snapshot():
            return _read(reader, path)
    except StoreError as error:
        return JobLine(path.stem, str(path), problem=str(error))
    finally:
        reader.close()


def ended_as(launch: Launch, run: Run | None) -> str | None:
    """Why the last launch ended, as it looks from where the job stands; None: it has not said so.

    run: the last one. Where it is over, since all was settled when the launch that was told to
    leave had recorded what was in flight, or the next one found it so, it is finished.
    """
    is_over = run is not None and run.ended_at is not None
    return "finished" if is_over and launch.reason in _CUT_SHORT else launch.reason


def _read(reader: Reader, path: Path) -> JobLine:
    runs, launches = reader.runs(), reader.launches()
    names = aggregates.item_steps(runs)
    counts = reader.item_counts(*names) if names else {}
    is_working = is_held(path.with_suffix(".lock"))
    last = launches[-1] if launches else None
    return JobLine(
        job=path.stem,
        store=str(path),
        is_working=is_working,
        items={state.value: number for state, number in counts.items()},
        runs=len(runs),
        attempts=sum(run.attempts for run in runs),
        cost_usd=sum((run.cost for run in runs), from_pico(0)),
        unconfirmed_usd=sum((run.unconfirmed for run in runs), from_pico(0)),
        comparisons_usd=sum(
            (one.cost_usd for one in compared_costs(path.with_suffix(".compare"))), NO_COST
        ),
        run_cost_usd=runs[-1].cost if runs else from_pico(0),
        budget_usd=runs[-1].budget if runs else None,
        in_flight=reader.open_attempts()[0],
        paused_at=steering_of(reader).paused_at,
        last_at=None if last is None else (last.ended_at or last.started_at),
        reason=None if last is None or is_working else ended_as(last, runs[-1]) or "died",
    )
