"""The file that an export replaces: whose it is, and how it is replaced at once."""

import fcntl
import glob
import hashlib
import os
import secrets
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from io import BufferedRandom, BufferedReader
from pathlib import Path

from batchai.errors import ExportError, UnwritableError


def identity(stream: BufferedReader | BufferedRandom) -> str:
    """`size:mtime_ns:sha256` of an open file that is written or read to its end."""
    stream.flush()
    stream.seek(0)
    digest = hashlib.file_digest(stream, "sha256").hexdigest()
    status = os.fstat(stream.fileno())
    return f"{status.st_size}:{status.st_mtime_ns}:{digest}"


def check_target(path: Path, *, overwrite: bool, ours: Collection[str]) -> str | None:
    """Which of `ours`, identities of files that batchai wrote, is at `path`; None for no file.

    Raises ExportError where something else is there, unless it may be overwritten.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ExportError(f"{path}: cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise ExportError(f"{path}: is a folder or device, not a file; name a file")
    found = _one_of(ours, path, status)
    if found or overwrite:
        return found
    changed = "was changed since batchai wrote it" if ours else "was not written by this job"
    raise ExportError(f"{path}: exists and {changed}; say --overwrite, or name another output")


def check_folder(path: Path) -> None:
    """A new file can be made there, also to take an old one's place. Raises ExportError."""
    folder = path.resolve().parent
    while not folder.exists():
        folder = folder.parent
    may_be_written = os.access(
        folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids
    )
    if not (folder.is_dir() and may_be_written):
        raise ExportError(f"{path}: {folder} is no folder that can be written; name another output")


@contextmanager
def replacing(path: Path) -> Iterator[BufferedRandom]:
    """A stream to a new file that takes the place of `path` on leaving.

    Synced before it is renamed, and removed when the block fails. What a killed export left is
    removed first. OSError becomes UnwritableError.
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


def _one_of(ours: Collection[str], path: Path, status: os.stat_result) -> str | None:
    size, mtime_ns = str(status.st_size), str(status.st_mtime_ns)
    alike = [known for known in ours if known.split(":")[0] == size]
    for known in alike:
        if known.split(":")[1] == mtime_ns:
            return known
    if not alike:
        return None
    with path.open("rb") as stream:
        digest = identity(stream).split(":")[2]
    # copied or touched, still what was written
    return next((known for known in alike if known.endswith(digest)), None)


def _create(target: Path) -> tuple[BufferedRandom, Path]:
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


def _failed(path: Path, error: OSError) -> UnwritableError:
    reason = error.strerror or str(error)
    return UnwritableError(
        f"{path}: cannot be written: {reason}; the results are safe in the store, "
        "make room or name another place and export again"
    )
