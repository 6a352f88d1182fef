"""batchai in processes of its own: to the end, until it is killed, and under strace."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from batchai.simulator import Simulator
from tests.kit import ENVIRONMENT

_HANGS_SECONDS = 300  # a machine may be busy, and tracing slows calls down
_STRACE = ("strace", "-f", "-qq")
_ONLY_TRACED = "--seccomp-bpf"  # stop at the traced calls only: faster


@dataclass(frozen=True, slots=True)
class Finished:
    """A process that has ended; a negative code is the signal that ended it."""

    code: int
    output: str
    errors: str

    @property
    def was_killed(self) -> bool:
        """Whether SIGKILL ended it."""
        return self.code == -signal.SIGKILL


def start(
    command: Sequence[str], folder: Path, environment: Mapping[str, str] = ENVIRONMENT
) -> subprocess.Popen[str]:
    """Start a command in a process group of its own."""
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


@contextmanager
def started(command: Sequence[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A command that runs; what still does at the end of the block is killed."""
    process = start(command, folder)
    try:
        yield process
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def end_of(process: subprocess.Popen[str]) -> Finished:
    """Wait for its end; one that hangs is killed and fails the test."""
    try:
        output, errors = process.communicate(timeout=_HANGS_SECONDS)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        output, errors = process.communicate()
        raise AssertionError(f"hung for {_HANGS_SECONDS} s: {process.args!r}\n{errors}") from None
    return Finished(process.returncode, output, errors)


def finish(
    command: Sequence[str], folder: Path, environment: Mapping[str, str] = ENVIRONMENT
) -> Finished:
    """Run a command to its end."""
    return end_of(start(command, folder, environment))


def finish_killed(
    command: Sequence[str],
    folder: Path,
    *,
    sim: Simulator,
    arrivals: int,
    patience_seconds: int = 30,
) -> Finished:
    """Run a command and kill it when so many more requests have arrived, or after a while."""
    target = len(sim.received) + arrivals
    process = start(command, folder)
    with suppress(TimeoutError):
        sim.wait_for(target, timeout_seconds=patience_seconds)
    process.kill()
    return end_of(process)


def injecting(*faults: str, paths: Sequence[Path] = ()) -> list[str]:
    """What stands before a command whose system calls are to fail: `fdatasync:error=EIO:when=3`.

    Each thread counts for itself. `signal=KILL` in place of an error kills at the call. paths: only
    calls on these files count.
    """
    calls = ",".join(fault.partition(":")[0] for fault in faults)
    command = [*_STRACE, "-o", "/dev/null", "-e", f"trace={calls}"]
    if not any("signal=" in fault for fault in faults):  # strace 6.1 would not count these
        command.append(_ONLY_TRACED)
    for path in paths:
        command += ["-P", str(path)]
    for fault in faults:
        command += ["-e", f"inject={fault}"]
    return command


def recording(log: Path, calls: Sequence[str]) -> list[str]:
    """What stands before a command whose system calls are to be recorded whole, data in hex."""
    names = ",".join(calls)
    return [
        *_STRACE,
        _ONLY_TRACED,
        "-y",
        "-xx",
        "-s",
        "16777216",
        "-o",
        str(log),
        "-e",
        f"trace={names}",
    ]
