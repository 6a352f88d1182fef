"""`batchai backup`: a checked copy of a job's store, also while a run goes on."""

import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from batchai.clock import Clock
from batchai.errors import RefusedError, StoreError
from batchai.spec.loading import shown_path
from batchai.spec.models import Job
from batchai.store import open_reader
from batchai.store.copying import copy_store
from batchai.store.files import BACKUPS, make_durable, sync_folder


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy that was made. spool: answers that wait beside the store and are not in the copy."""

    path: Path
    store: Path
    size_bytes: int
    spool: Path | None

    @property
    def text(self) -> str:
        """What was written, and how it is put back."""
        name, folder = self.store.name, shown_path(self.store.parent)
        lines = [
            f"Wrote {shown_path(self.path)} · {_size(self.size_bytes)} · checked",
            f"To go back to it while nothing runs: in {folder} delete {name}, {name}-wal and "
            f"{name}-shm, then copy it there as {name}",
        ]
        if self.spool is not None:
            spool = shown_path(self.spool)
            lines.insert(1, f"{spool} holds answers that are not in it: run the job, back up again")
        return "\n".join(lines)


def backup(
    job_or_store: Job | Path,
    to: Path | None = None,
    *,
    overwrite: bool = False,
    clock: Clock | None = None,
) -> Backup:
    """Copy a store as it is at one instant; the copy is whole or absent, and only its owner's.

    to: a file, or a folder that is there; default `.batchai/backups/NAME-TIME.db`. Raises
    RefusedError (`to` is there and not `overwrite`, or is the store itself), StoreError (no store
    yet, damaged, `to` cannot be written).
    """
    store = job_or_store.store_path if isinstance(job_or_store, Job) else job_or_store
    open_reader(store).close()  # whatever else it is, it is a store
    target = _target(store, to, f"{(clock or Clock()).utcnow():%Y%m%dT%H%M%SZ}")
    _check(target, store, overwrite=overwrite)
    try:
        make_durable(target.parent)
    except OSError as error:
        raise StoreError(f"{target.parent}: cannot be made ({error.strerror})") from error
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        copy_store(store, temporary)
        size_bytes = temporary.stat().st_size
        _publish(temporary, target, overwrite=overwrite)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    spool = store.with_suffix(".spool")
    return Backup(target, store, size_bytes, spool if spool.exists() else None)


def _target(store: Path, to: Path | None, time: str) -> Path:
    name = f"{store.stem}-{time}.db"
    if to is None:
        return store.parent / BACKUPS / name
    return to / name if to.is_dir() else to


def _check(target: Path, store: Path, *, overwrite: bool) -> None:
    if target.resolve() == store.resolve():
        raise RefusedError(f"{target}: is the store itself; name another place")
    if target.exists() and not overwrite:
        raise _is_there(target)


def _publish(temporary: Path, target: Path, *, overwrite: bool) -> None:
    """Give the finished copy its name at once, and make that durable."""
    try:
        if overwrite:
            temporary.replace(target)
        else:
            _link(temporary, target)
        sync_folder(target.parent)
    except FileExistsError as error:
        raise _is_there(target) from error
    except OSError as error:
        raise StoreError(f"{target}: cannot be written ({error.strerror})") from error


def _link(temporary: Path, target: Path) -> None:
    """A hard link never replaces a file; where there are none, the check of before must do."""
    try:
        target.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:
        temporary.rename(target)


def _is_there(target: Path) -> RefusedError:
    return RefusedError(f"{target}: is there already; say --overwrite, or name another place")


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB" if size_bytes >= 100_000 else f"{size_bytes / 1e3:,.0f} kB"
