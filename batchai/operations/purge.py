"""`batchai purge`: a job's stored data really removed, or that of rows which left the input."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from batchai.engine.intake import SCAN_MARK
from batchai.errors import ExportError, RefusedError, StoreError
from batchai.exports.target import check_target
from batchai.operations.console import Console
from batchai.operations.export import our_exports, written_places
from batchai.reports.words import counted
from batchai.spec.loading import shown_path
from batchai.spec.models import Job
from batchai.store import open_reader
from batchai.store.dialect import writer_engine
from batchai.store.erasing import everything_of, forget_removed, overwrite, remove_empty
from batchai.store.lock import Lock
from batchai.store.migrations import ensure_current
from batchai.store.values import from_json

_FINAL = "This cannot be undone."


@dataclass(frozen=True, slots=True)
class Purge:
    """What was removed. kept: result files that are not as batchai wrote them, or not asked for."""

    files: tuple[Path, ...] = ()
    kept: tuple[Path, ...] = ()
    forgotten: int | None = None
    copies: tuple[Path, ...] = ()

    @property
    def text(self) -> str:
        """What was done, and what remains to be known."""
        if self.forgotten is not None:
            lines = [
                f"Forgot {counted(self.forgotten, 'item')} that left the input; costs are kept"
            ]
            lines += [f"{shown_path(path)} may still hold them" for path in self.copies]
            return "\n".join(lines)
        lines = [f"Removed {counted(len(self.files), 'file')}, overwritten first"]
        lines += [f"Kept {shown_path(path)}" for path in self.kept]
        return "\n".join(lines)


def purge(
    job: Job, *, results: bool = False, removed: bool = False, yes: bool = False, console: Console
) -> Purge:
    """Remove the job's store with everything beside it: log, spool, older stores, backups,
    comparisons.

    results: also result files that are as batchai wrote them. removed: only what the store holds of
    rows that left the input, and not the ledger's costs. Raises RefusedError without a yes,
    StoreBusyError while a launch works on the job, StoreError.
    """
    path = job.store_path
    everything = everything_of(path, job_file=job.path.name)
    files = [file for file in everything if file.suffix != ".lock"]
    if not files:
        raise StoreError(f"{path}: no store, nothing to remove")
    if removed and results:
        raise RefusedError("--removed keeps the results; leave one of --removed and --export out")
    exports, kept = _result_files(job) if not removed else ([], [])
    if not results:
        exports, kept = [], [*exports, *kept]
    _ask(job, [*files, *exports], removed=removed, yes=yes, console=console)
    with _held(path.with_suffix(".lock"), *(file for file in everything if file.suffix == ".lock")):
        if removed:
            others = [file for file in files if file.suffix == ".db" and file != path]
            return Purge(forgotten=_forget(job), copies=tuple(others))
        files = [*everything_of(path, job_file=job.path.name), *exports]
        for file in files:
            overwrite(file)
        remove_empty(path)
    return Purge(files=tuple(files), kept=tuple(kept))


@contextmanager
def _held(*paths: Path) -> Iterator[None]:
    with ExitStack() as stack:
        for path in sorted(set(paths)):
            stack.callback(Lock(path).release)
        yield


def _ask(job: Job, files: list[Path], *, removed: bool, yes: bool, console: Console) -> None:
    if yes:
        return
    if removed:
        question = (
            f"Forget all that {shown_path(job.store_path)} holds of rows that left the input?"
        )
    else:
        listed = "\n".join(f"  {shown_path(file)}" for file in files)
        question = f"{listed}\nRemove {counted(len(files), 'file')} with all answers paid for?"
    answer = console.ask(f"{question} {_FINAL}")
    if answer is None:
        raise RefusedError(f"{job.name}: nothing is removed without a word from you: --yes")
    if not answer:
        raise RefusedError(f"{job.name}: nothing was removed")


def _result_files(job: Job) -> tuple[list[Path], list[Path]]:
    """Files that exports of this job wrote: those that are as they were written, and others."""
    ours: list[Path] = []
    others: list[Path] = []
    for place in filter(Path.exists, written_places(job)):
        try:
            check_target(place, overwrite=False, ours=our_exports(job, place))
            ours += [place.resolve(), place] if place.is_symlink() else [place]
        except ExportError:
            others.append(place)
    return ours, others


def _forget(job: Job) -> int:
    path = job.store_path
    if not path.exists():
        raise StoreError(f"{path}: no store, nothing to remove")
    engine = writer_engine(path)
    try:
        ensure_current(engine, path)
        _refuse_unread(job)
        return forget_removed(engine)
    finally:
        engine.dispose()


def _refuse_unread(job: Job) -> None:
    """Until a changed input was read to its end, rows that stand in it may count as gone."""
    with closing(open_reader(job.store_path)) as reader:
        mark = from_json(reader.meta(SCAN_MARK) or "null")
    if mark is not None and not (mark["done"] or mark["first"]):
        raise RefusedError(
            f"{job.name}: the input has not been read to its end since it changed, so that nobody "
            f"knows which rows left it: batchai run {job.name}, then purge"
        )
