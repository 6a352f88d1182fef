"""`batchai export`: the results so far, as a file that is whole or absent.

Which result files are ours is kept beside the store, not in it: a file of ours stays ours when the
job starts afresh, and `export` needs no store that it may write to.
"""

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from batchai.domain import MAIN_STEP, ResultRow
from batchai.errors import ExportError, SpecError, UnwritableError
from batchai.exports import ExportSummary, check_export, write_export
from batchai.schemas import TEXT_FIELD, result_fields
from batchai.spec.models import Job, Step
from batchai.store import Reader, Store, open_reader
from batchai.store.files import open_private, sync_folder
from batchai.store.values import from_json, to_json


def export(
    job: Job, *, to: Path | None = None, overwrite: bool = False, salvage: bool = False
) -> ExportSummary:
    """Write the results that there are now, also while a run goes on.

    salvage: of a damaged store, those that can be read, which take the place of no file and stand
    beside the result file (`out.salvaged.csv`) where `to` names no other.
    Raises ExportError where a file stands that may not be replaced, StoreError without a store.
    """
    reader = open_reader(job.store_path, salvaging=salvage)
    try:
        path = to or (reduction_path(output_path(job), "salvaged") if salvage else output_path(job))
        return _write(job, reader, path=path, overwrite=overwrite, salvage=salvage)
    finally:
        reader.close()


async def export_after(job: Job, store: Store, *, overwrite: bool) -> ExportSummary:
    """The export at the end of a launch."""
    path = output_path(job)
    return await asyncio.to_thread(_write, job, store.reader, path=path, overwrite=overwrite)


@dataclass(frozen=True, slots=True)
class ResultFile:
    """A file of results: of the items over `steps`, or of the groups of one reduction.

    shaped: the store's rows with one map of column → value each.
    """

    path: Path
    steps: tuple[str, ...]
    columns: tuple[str, ...]
    shaped: Callable[[Iterator[ResultRow]], Iterator[ResultRow]]


def result_files(job: Job, path: Path) -> list[ResultFile]:
    """The files of an export to `path`: that of the items first, then one each reduction."""
    items = ResultFile(path, job.step_names, columns_of(job), lambda rows: flattened(rows, job))
    return [items, *(_of_reduction(step, path) for step in job.reductions)]


def _of_reduction(step: Step, path: Path) -> ResultFile:
    def shaped(rows: Iterator[ResultRow]) -> Iterator[ResultRow]:
        return (replace(row, result=(row.result or {}).get(step.name)) for row in rows)

    columns = result_fields(step.json_schema)
    return ResultFile(reduction_path(path, step.name), (step.name,), columns, shaped)


def check_exports(job: Job, *, overwrite: bool = False) -> None:
    """Raise ExportError where a file that is not ours stands in the place of the job's results."""
    for file in result_files(job, output_path(job)):
        check_export(file.path, overwrite=overwrite, ours=our_exports(job, file.path))


def our_exports(job: Job, path: Path) -> list[str]:
    """What tells our own file at `path` from one of another hand: two while one takes the place of
    the other, none before the first.
    """
    found = _marks(job).get(str(path.absolute()), [])
    return [found] if isinstance(found, str) else found


def written_places(job: Job) -> list[Path]:
    """Where exports of this job have written files, there or not."""
    return [Path(place) for place in _marks(job)]


def output_path(job: Job) -> Path:
    """Where the job's results go. Raises SpecError where the job names no place."""
    if job.output.path is None:
        raise SpecError(
            f"{job.path.name}: output.path: name a file for the results, or use --to FILE"
        )
    return job.output.path


def columns_of(job: Job) -> tuple[str, ...]:
    """The columns of all results: `field`, of named steps `step.field`, or `step` where its result
    is text or a list."""
    if job.step_names == (MAIN_STEP,):
        return result_fields(job.steps[0].json_schema)
    columns: list[str] = []
    for step in job.item_steps:
        fields = result_fields(step.json_schema)
        is_whole = fields == (TEXT_FIELD,) or step.foreach or step.prompt.turns
        columns += [step.name] if is_whole else [f"{step.name}.{field}" for field in fields]
    return tuple(columns)


def flattened(rows: Iterator[ResultRow], job: Job) -> Iterator[ResultRow]:
    """Rows with one map of column → value each, whatever steps they went through."""
    if job.step_names == (MAIN_STEP,):
        return rows
    return (replace(row, result=_flat(row.result)) for row in rows)


def _flat(results: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for step, result in results.items():
        if isinstance(result, dict):
            flat |= {f"{step}.{field}": value for field, value in result.items()}
        elif result is not None:
            flat[step] = result
    return flat


def _write(
    job: Job, reader: Reader, *, path: Path, overwrite: bool, salvage: bool = False
) -> ExportSummary:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnwritableError(f"{path.parent}: cannot be made ({error.strerror})") from error
    files = result_files(job, path)
    if salvage and not overwrite:
        _refuse_standing(files)
    write = _salvage_file if salvage else _write_file
    summaries = [write(job, reader, file, overwrite=overwrite) for file in files]
    return replace(summaries[0], lost=max(summary.lost for summary in summaries))


def _refuse_standing(files: Iterable[ResultFile]) -> None:
    """What was salvaged may be less than an older file holds, also one of ours."""
    for file in files:
        if file.path.exists():
            raise ExportError(
                f"{file.path}: exists, and may hold more than can be salvaged now; "
                "name another file with --to, or say --overwrite"
            )


def reduction_path(path: Path, step: str) -> Path:
    """Where a reduction's results go: `out.csv` has `out.STEP.csv` beside it."""
    return path.with_name(f"{path.stem}.{step}{path.suffix}")


def _write_file(job: Job, reader: Reader, file: ResultFile, *, overwrite: bool) -> ExportSummary:
    with reader.view(*file.steps) as rows:
        return _write_rows(job, file, rows, overwrite=overwrite)


def _salvage_file(job: Job, reader: Reader, file: ResultFile, *, overwrite: bool) -> ExportSummary:
    with reader.salvage(*file.steps) as rows:
        return replace(_write_rows(job, file, rows, overwrite=overwrite), lost=rows.lost)


def _write_rows(
    job: Job, file: ResultFile, rows: Callable[[], Iterator[ResultRow]], *, overwrite: bool
) -> ExportSummary:
    return write_export(
        lambda: file.shaped(rows()),
        path=file.path,
        output=job.output,
        result_fields=file.columns,
        overwrite=overwrite,
        ours=our_exports(job, file.path),
        announce=lambda identities: _remember(job, file.path, identities),
    )


def _marks_path(job: Job) -> Path:
    return job.store_path.with_suffix(".exports.json")


def _marks(job: Job) -> dict[str, Any]:
    """Identities by path; a damaged file only means that `--overwrite` is asked for."""
    try:
        found = from_json(_marks_path(job).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _remember(job: Job, path: Path, identities: list[str]) -> None:
    """Durable before the file takes its place: killed in between, it is ours all the same."""
    marks = {**_marks(job), str(path.absolute()): identities}
    target = _marks_path(job)
    temporary = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        with open_private(temporary) as stream:
            stream.write(to_json(marks))
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise UnwritableError(
            f"{target}: cannot be written ({error.strerror}); {path} is what it was, the results "
            "are safe in the store: make room and export again"
        ) from error
