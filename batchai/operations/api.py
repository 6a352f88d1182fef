"""The Python API: `from batchai import load_job, run, results, report`."""

import asyncio
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from batchai.domain import ResultRow
from batchai.operations.changes import Changed
from batchai.operations.console import Console, StopButton
from batchai.operations.opening import Items
from batchai.operations.report import report as report_of
from batchai.operations.run import RunOptions, RunSummary, run_job
from batchai.reports.job_report import JobReport
from batchai.spec import Overrides, find_job
from batchai.spec import load_job as load_spec
from batchai.spec.models import Job
from batchai.store import open_reader

_T = TypeVar("_T")


def load_job(
    path: str | Path,
    *,
    model: str | None = None,
    base_url: str | None = None,
    budget: str | None = None,
    limit: int | str | None = None,
    variables: dict[str, str] | None = None,
) -> Job:
    """The job in a YAML file, or of a name found here or in `jobs/`, with the same overrides as the
    command line's. Raises SpecError."""
    overrides = Overrides(
        model=model,
        base_url=base_url,
        budget=budget,
        limit=limit,
        variables=tuple(f"{name}={value}" for name, value in (variables or {}).items()),
    )
    return load_spec(find_job(str(path)), overrides=overrides)


def run(
    job: Job,
    items: Items | None = None,
    *,
    retry: bool | set[str] = False,
    changed: Changed | None = None,
    yes: bool = False,
    overwrite: bool = False,
    console: Console | None = None,
) -> RunSummary:
    """Run a job to its end, over its input or over mappings of your own (a data frame's records).

    Blocks until everything is recorded, inside a notebook's running loop too. Ctrl-C drains, as on
    the command line. retry: True for all failed items, or a set of outcomes. yes: spend without a
    budget. Raises SpecError, RefusedError, ProviderError, PricingError before anything is spent,
    StoreError.
    """
    outcomes = frozenset(retry) if isinstance(retry, set) else frozenset()
    options = RunOptions(
        retry=outcomes if retry else None, changed=changed, yes=yes, overwrite=overwrite
    )
    stop = StopButton()
    return _blocking(run_job(job, options, console=console, items=items, stop=stop), stop)


def results(job: Job) -> Iterator[ResultRow]:
    """Every selected item in the input's order with its result, state, error and lineage; streamed.

    Raises StoreError before the first run.
    """
    reader = open_reader(job.store_path)
    try:
        yield from reader.results(*job.step_names)
    finally:
        reader.close()


def report(job: Job) -> JobReport:
    """What the job did and what it cost. Raises StoreError before the first run."""
    return report_of(job)


def _blocking(work: Coroutine[Any, Any, _T], stop: StopButton) -> _T:
    """The coroutine's result; on a thread of its own where a loop runs in this one already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batchai") as thread:
        running = thread.submit(asyncio.run, work)
        while True:
            try:
                return running.result()
            except KeyboardInterrupt:  # a notebook's stop button
                stop.press()
