"""How soon the first request leaves: of a large new input, and of one that is nearly done."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from batchai.spec import load_job
from tests.benchmarks import children
from tests.benchmarks.figures import Figure, at_most
from tests.benchmarks.memory import MOST_MB
from tests.benchmarks.scenario import append_item, simulator, write_input, write_job
from tests.benchmarks.stores import fill

_PROVIDER = "openai"
_CONCURRENCY = 64
_PATIENCE_SECONDS = 300.0
_COMPARED_MICROSECONDS = 20.0
_NEW_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Seen:
    """seconds: from the end of imports to the first request that the server saw."""

    seconds: float
    peak_mb: float


def start(count: int) -> Iterator[Figure]:
    """The first request of a new input of so many lines."""
    with _input(count) as folder:
        seen = _first_request(folder)
        yield at_most(f"first request of {count:,} lines", seen.seconds, _NEW_SECONDS, unit="s")


def resume(count: int, *, limit_seconds: float) -> Iterator[Figure]:
    """The first new request where 90 % of so many items is done: unchanged, and a line longer."""
    with _input(count) as folder:
        done = count * 9 // 10
        asyncio.run(fill(load_job(_job(folder)), done=done))
        seen = _first_request(folder)
        name = f"{done:,} of {count:,} done"
        yield at_most(f"first new request, {name}", seen.seconds, limit_seconds, unit="s")
        yield at_most(f"peak memory, {name}", seen.peak_mb, MOST_MB, unit="MB")
        append_item(folder / "items.jsonl")
        seen = _first_request(folder)
        yield at_most(
            f"comparison after a line more, {name}",
            seen.seconds / done * 1e6,  # what is done comes first, and all of it is compared
            _COMPARED_MICROSECONDS,
            unit="µs an item",
            detail=f"{seen.seconds:.2f} s to the first request",
        )
        yield at_most(f"peak memory, comparison, {name}", seen.peak_mb, MOST_MB, unit="MB")


def _first_request(folder: Path) -> Seen:
    """Launch the job of a folder until its first request, and let it leave as if killed."""
    with simulator() as server:
        job = _job(folder, server.url)
        with children.engine(_PROVIDER, job) as (process, ready_at):
            server.wait_for(1, timeout_seconds=_PATIENCE_SECONDS)
            seconds = time.monotonic() - ready_at
            return Seen(seconds, children.last_words(process)["peak_mb"])


def _job(folder: Path, url: str = "http://127.0.0.1:9") -> Path:
    """The job against a server; a loopback address's port makes no difference to results."""
    return write_job(folder, provider=_PROVIDER, url=url, concurrency=_CONCURRENCY)


@contextmanager
def _input(count: int) -> Iterator[Path]:
    """A folder with so many items."""
    with TemporaryDirectory() as name:
        write_input(Path(name) / "items.jsonl", count)
        yield Path(name)
