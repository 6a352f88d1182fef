"""Processes of their own: what is measured never shares one with the server or with another run."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks.scenario import ANSWER, KEY_VARIABLE

_ROOT = Path(__file__).parents[2]
Process = subprocess.Popen[str]


@contextmanager
def server() -> Iterator[str]:
    """A simulator that answers everything at once and alike; its URL."""
    command = ["batchai.simulator", "--port", "0", "--fixed-answer", ANSWER]
    with _process(*command) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()


@contextmanager
def engine(provider: str, job: Path) -> Iterator[tuple[Process, float]]:
    """A process that runs the job, and when (`time.monotonic`) it had ended its imports."""
    with _process("tests.benchmarks.engine_loop", provider, str(job)) as process:
        yield process, _words_of(process)["ready_at"]


def measured_engine(provider: str, job: Path) -> dict[str, Any]:
    """Run a job to its end; what it used."""
    with engine(provider, job) as (process, _):
        return _words_of(process)


def measured_bare(provider: str, url: str, *, concurrency: int, count: int) -> dict[str, Any]:
    """Run the bare loop to its end; what it used."""
    arguments = (provider, url, str(concurrency), str(count))
    with _process("tests.benchmarks.bare_loop", *arguments) as process:
        return _words_of(process)


def last_words(process: Process) -> dict[str, Any]:
    """Let an engine leave where it is, as if killed; what it had used."""
    assert process.stdin is not None
    process.stdin.close()
    return _words_of(process)


def _words_of(process: Process) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{process.args!r}: ended with code {process.wait()} before its figures")
    words: dict[str, Any] = json.loads(line)
    return words


@contextmanager
def _process(*command: str) -> Iterator[Process]:
    """`python -m COMMAND`, ended with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=_ROOT,
        env={**os.environ, KEY_VARIABLE: "sk-benchmark"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.terminate()
