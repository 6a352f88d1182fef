"""`batchai export`: the results so far, as a file that is whole or absent."""

import asyncio
from pathlib import Path

from batchai.errors import SpecError
from batchai.exports import ExportSummary, write_export
from batchai.schemas import result_fields
from batchai.spec.models import Job
from batchai.store import Reader, Store, open_reader

EXPORT_MARK = "export"  # the fact in the store that tells our last file from others


def export(job: Job, *, to: Path | None = None, overwrite: bool = False) -> ExportSummary:
    """Write the results that there are now, also while a run goes on.

    Raises ExportError where a file stands that batchai did not write, StoreError without a store.
    """
    reader = open_reader(job.store_path)
    try:
        return _write(job, reader, path=to or output_path(job), overwrite=overwrite)
    finally:
        reader.close()


async def export_after(job: Job, store: Store, *, overwrite: bool) -> ExportSummary:
    """The export at the end of a launch; the file is remembered as ours."""
    summary = await asyncio.to_thread(
        _write, job, store.reader, path=output_path(job), overwrite=overwrite
    )
    await store.ledger.set_meta(EXPORT_MARK, summary.identity)
    return summary


def last_export(job: Job) -> str | None:
    """What tells our last result file from one of another hand; None before the first."""
    if not job.store_path.exists():
        return None
    reader = open_reader(job.store_path)
    try:
        return reader.meta(EXPORT_MARK)
    finally:
        reader.close()


def output_path(job: Job) -> Path:
    """Where the job's results go. Raises SpecError where the job names no place."""
    if job.output.path is None:
        raise SpecError(
            f"{job.path.name}: output.path: name a file for the results, or use --to FILE"
        )
    return job.output.path


def _write(job: Job, reader: Reader, *, path: Path, overwrite: bool) -> ExportSummary:
    step = job.steps[-1]
    path.parent.mkdir(parents=True, exist_ok=True)
    with reader.view(step.name) as rows:
        return write_export(
            rows,
            path=path,
            output=job.output,
            result_fields=result_fields(step.json_schema),
            overwrite=overwrite,
            written_before=reader.meta(EXPORT_MARK),
        )
