"""A launch that works while the test goes on."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from batchai.operations.console import Console, StopButton
from batchai.operations.run import RunOptions, RunSummary, run_job
from tests.kit import Workspace

YES = RunOptions(yes=True)


@dataclass
class Launched:
    """A launch in another thread; `summary` after its end."""

    summary: RunSummary | None = None


@contextmanager
def launched(
    space: Workspace,
    *settings: str,
    options: RunOptions = YES,
    console: Console | None = None,
) -> Iterator[Launched]:
    """A launch in another thread, until its end."""
    job, found, stop = space.job(*settings), Launched(), StopButton()

    def work() -> None:
        found.summary = asyncio.run(run_job(job, options, console=console, stop=stop))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield found
    except BaseException:
        stop.press()  # a test that has failed must not wait for a launch that waits for it
        stop.press()
        raise
    finally:
        thread.join()
