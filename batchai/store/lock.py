"""One run of a job at a time: an advisory lock on a file beside the store, held for the launch."""

import json
import os
import socket
from pathlib import Path
from typing import IO

from batchai.errors import StoreBusyError, StoreError


class Lock:
    """Holds NAME.lock until `release` or the end of the process, however it ends.

    Raises StoreBusyError where another process holds it; the message says which.
    """

    def __init__(self, path: Path) -> None:
        self._file = _open(path)
        try:
            _acquire(self._file)
        except OSError as error:
            holder = _holder(self._file)
            self._file.close()
            raise StoreBusyError(
                f"{path.with_suffix('').name}: another run holds this job ({holder}); "
                "wait for it, or stop it with Ctrl-C there"
            ) from error
        self._file.seek(0)
        self._file.truncate()
        json.dump({"host": socket.gethostname(), "pid": os.getpid()}, self._file)
        self._file.flush()

    def release(self) -> None:
        """Let the next launch in."""
        self._file.close()


def boot_id() -> str:
    """Identity of the machine's current boot, empty where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _open(path: Path) -> IO[str]:
    try:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written ({error.strerror}); check the folder"
        ) from error


def _acquire(file: IO[str]) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def _holder(file: IO[str]) -> str:
    try:
        holder = json.load(file)
        return f"process {holder['pid']} on {holder['host']}"
    except (ValueError, KeyError, OSError):
        return "unknown process"
