"""How soon, and in how much memory, a large store is reported on while a run writes to it."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

from batchai.clock import Clock
from batchai.domain import Attempt, Outcome, Settlement, Usage
from batchai.operations.export import export
from batchai.spec import load_job
from batchai.spec.models import Job
from batchai.store import Store
from tests.benchmarks.figures import Figure, at_most
from tests.benchmarks.nights import night

_REPORT_SECONDS = 10.0
_REPORT_MB = 300.0
_STATUS_SECONDS = 1.0
_AT_ONCE = 32
_PAUSE_SECONDS = 0.2  # of each writer: 160 attempts a second, as a fast run
_PAGE_MB = 5.0
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, order=True)
class Took:
    """One command in a process of its own: wall time with its start, and its peak memory."""

    seconds: float
    cpu_seconds: float
    peak_mb: float

    def at_most(self, name: str, limit: float) -> Figure:
        """The wall time against its limit; CPU time tells what a machine at rest would need."""
        detail = f"{self.cpu_seconds:.2f} s of CPU"
        return at_most(name, self.seconds, limit, unit="s", detail=detail)


def report(count: int) -> Iterator[Figure]:
    """`report` and `status` of so many items, each while another process could write."""
    with TemporaryDirectory() as name:
        path = night(Path(name), count)
        words = f"{count:,} items, {2 * count:,} attempts"
        verified_mb = _verified_mb(path)
        with _writing(load_job(path)):
            status = sorted(_command("status", str(path)) for _ in range(5))[2]
            text = _command("report", str(path))
            page = _command("report", str(path), "--html", str(Path(name) / "report.html"))
        yield status.at_most(f"status, {words}", _STATUS_SECONDS)
        yield text.at_most(f"report, {words}", _REPORT_SECONDS)
        yield page.at_most("report as HTML", _REPORT_SECONDS)
        peak = max(text.peak_mb, page.peak_mb)
        yield at_most("peak memory of both", peak, _REPORT_MB, unit="MB")
        size = (Path(name) / "report.html").stat().st_size
        yield at_most("size of the HTML page", size / 1e6, _PAGE_MB, unit="MB")
        yield at_most(f"report --verify's peak memory, {words}", verified_mb, _REPORT_MB, unit="MB")


def _verified_mb(path: Path) -> float:
    """What it takes to prove the store and its result file; fails where they differ."""
    export(load_job(path))
    return _command("report", str(path), "--verify").peak_mb


def _command(*arguments: str) -> Took:
    """`batchai ARGUMENTS` with its figures."""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.measured_command", *arguments],
        cwd=_ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    seconds = time.monotonic() - begun
    used = json.loads(done.stderr.splitlines()[-1])
    return Took(seconds, used["cpu_seconds"], used["peak_mb"])


@contextmanager
def _writing(job: Job) -> Iterator[None]:
    """Attempts are opened and closed all the time by a thread of its own, as a run does."""
    stop = threading.Event()
    writer = threading.Thread(target=lambda: asyncio.run(_write(job, stop)))
    writer.start()
    try:
        yield
    finally:
        stop.set()
        writer.join()


async def _write(job: Job, stop: threading.Event) -> None:
    store = Store(job.store_path, job_path=job.path)
    try:
        run = store.reader.last_run()
        assert run is not None
        launch = store.begin_launch(run.id, now=Clock().utcnow())
        async with asyncio.TaskGroup() as tasks:
            for item_id in range(1, _AT_ONCE + 1):
                tasks.create_task(_attempts(store, job, (item_id, run.id, launch), stop))
    finally:
        await store.close()


async def _attempts(
    store: Store, job: Job, place: tuple[int, int, int], stop: threading.Event
) -> None:
    clock = Clock()
    item_id, run_id, launch_id = place
    while not stop.is_set():
        attempt = Attempt(
            id=store.ledger.new_attempt_id(),
            item_id=item_id,
            step=job.steps[0].name,
            number=3,
            run_id=run_id,
            launch_id=launch_id,
            model=job.steps[0].model.name,
            max_tokens=512,
            input_tokens=100,
            sent_at=clock.utcnow(),
            worst_cost=Decimal("0.0032"),
        )
        await store.ledger.open_attempt(attempt)
        await clock.sleep(_PAUSE_SECONDS)
        ended = Settlement(attempt.id, Outcome.SERVER_ERROR, clock.utcnow(), Usage())
        await store.ledger.close_attempt(attempt, ended, counts=True, end=None)
