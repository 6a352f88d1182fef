"""The file that an export replaces: whose it is, and how it is replaced at once."""

import fcntl
import glob
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from batchai.errors import ExportError


def identity(path: Path) -> str:
    """`size:mtime_ns:sha256` of a file."""
    status = path.stat()
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return f"{status.st_size}:{status.st_mtime_ns}:{digest}"


def check_target(path: Path, *, overwrite: bool, written_before: str | None) -> None:
    """Raise ExportError where `path` holds something that is not ours to replace."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise ExportError(f"{path}: cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise ExportError(f"{path}: is a folder or device, not a file; name a file")
    if overwrite or _is_ours(path, status, written_before):
        return
    changed = (
        "was changed since batchai wrote it" if written_before else "was not written by this job"
    )
    raise ExportError(f"{path}: exists and {changed}; say --overwrite, or name another output")


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A stream to a new file that takes the place of `path` on leaving.

    Synced before it is renamed, and removed when the block fails. What a killed export left is
    removed first. OSError becomes ExportError.
    """
    target = path.resolve()  # a link stays a link
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_over(target)
        stream, temporary = _create(target)
    except OSError as error:
        raise _failed(path, error) from error
    try:
        with stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            temporary.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        raise _failed(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _is_ours(path: Path, status: os.stat_result, written_before: str | None) -> bool:
    if not written_before:
        return False
    size, mtime_ns, digest = written_before.split(":")
    if int(size) != status.st_size:
        return False
    if int(mtime_ns) == status.st_mtime_ns:
        return True
    return identity(path).endswith(digest)  # copied or touched, still what was written


def _create(target: Path) -> tuple[BinaryIO, Path]:
    """A new locked file; the lock tells it from what a killed process left."""
    while True:
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
        stream = temporary.open("x+b")
        fcntl.flock(stream, fcntl.LOCK_EX)
        if os.fstat(stream.fileno()).st_nlink:  # else taken for a left-over before it was locked
            break
        stream.close()
    with suppress(OSError):
        os.fchmod(stream.fileno(), stat.S_IMODE(target.stat().st_mode))
    return stream, temporary


def _remove_left_over(target: Path) -> None:
    for left in target.parent.glob(f".{glob.escape(target.name)}.????????.tmp"):
        with suppress(OSError), left.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _failed(path: Path, error: OSError) -> ExportError:
    reason = error.strerror or str(error)
    return ExportError(
        f"{path}: cannot be written: {reason}; the results are safe in the store, "
        "make room or name another place and export again"
    )
