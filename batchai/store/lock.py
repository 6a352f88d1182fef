"""One run of a job at a time: an advisory lock on a file beside the store, held for the launch."""

import json
import os
import socket
import time
from pathlib import Path
from typing import IO

from batchai.errors import StoreBusyError, StoreError
from batchai.store.places import refuse_links

_TRIES = 10
_PROBE_SECONDS = 0.01


class Lock:
    """Holds NAME.lock until `release` or the end of the process, however it ends.

    Raises StoreBusyError where another process holds it; the message says which.
    """

    def __init__(self, path: Path) -> None:
        self._file = _locked(path)
        while not _is_named(self._file, path):  # purged by another process just before
            self._file.close()
            self._file = _locked(path)
        self._file.seek(0)
        self._file.truncate()
        json.dump({"host": socket.gethostname(), "pid": os.getpid()}, self._file)
        self._file.flush()

    def release(self) -> None:
        """Let the next launch in."""
        self._file.close()


def is_held(path: Path) -> bool:
    """Whether a launch holds the lock now; nothing is created and the lock is not kept.

    The probe shares the lock for an instant, so probes do not see each other.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    with os.fdopen(descriptor) as file:
        try:
            _probe(file)
        except OSError:
            return True
    return False


def boot_id() -> str:
    """Identity of the machine's current boot, empty where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _locked(path: Path) -> IO[str]:
    file = _open(path)
    try:
        _acquire_despite_probes(file)
    except OSError as error:
        holder = _holder(file)
        file.close()
        raise StoreBusyError(
            f"{path.stem}: another run holds this job ({holder}); wait for it, or end it "
            f"with Ctrl-C there or: batchai stop {path.stem}"
        ) from error
    return file


def _is_named(file: IO[str], path: Path) -> bool:
    """Whether the file that is locked is the one that others will find."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _open(path: Path) -> IO[str]:
    refuse_links(path.parent, path)
    try:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written ({error.strerror}); check the folder"
        ) from error


def _acquire_despite_probes(file: IO[str]) -> None:
    """A `status` that looks just now shares the lock for microseconds: so try again."""
    for _ in range(_TRIES - 1):
        try:
            return _acquire(file)
        except OSError:
            time.sleep(_PROBE_SECONDS)
    return _acquire(file)


def _acquire(file: IO[str]) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def _probe(file: IO[str]) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined]
    else:
        fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)


def _holder(file: IO[str]) -> str:
    try:
        holder = json.load(file)
        return f"process {holder['pid']} on {holder['host']}"
    except (ValueError, KeyError, OSError):
        return "unknown process"
