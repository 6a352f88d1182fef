"""`batchai report JOB --html FILE`: the report as one page, with the items worth a look."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from batchai.errors import SpecError
from batchai.operations.report import PAGES_MB, report_from
from batchai.operations.show import askings_of, shown_item
from batchai.reports.job_report import JobReport
from batchai.reports.page import PageItems, page_html
from batchai.reports.shown import ShownItem
from batchai.spec.models import Job
from batchai.store import Reader, open_reader
from batchai.store.records import failed_ids, records_of
from batchai.store.spending import costliest_ids

COMPARISON_PAGE = "comparison.html"  # of the last comparison, beside its stores
_MOST_ITEMS = 4_000
_MOST_BYTES = 3_500_000  # of items in the page, so that it stays under 5 MB
_FAILED_PART = 2 / 3  # of both, at most, where there are more than fit
_OURS = "batchai report</title>"


def write_page(job: Job, path: Path, *, name: str) -> JobReport:
    """Write the page whole or not at all; returns the report that it shows.

    name: JOB as the user typed it. Raises SpecError where the file is another one than a page of
    ours or cannot be written, StoreError without a store.
    """
    refuse_foreign(path)
    reader = open_reader(job.store_path)
    try:
        reader.hold_pages(PAGES_MB)
        with reader.snapshot():
            report = report_from(job, reader)
            items = _items(job, reader, total=report.item_count)
    finally:
        reader.close()
    compared = _link(job.comparisons_folder / COMPARISON_PAGE, path)
    write_whole(path, page_html(report, items, name, comparison_page=compared))
    return report


def _link(page: Path, beside: Path) -> str | None:
    """The address of a page as a page at another place names it; None where there is none."""
    if not page.is_file():
        return None
    return quote(os.path.relpath(page.resolve(), beside.resolve().parent).replace(os.sep, "/"))


def _items(job: Job, reader: Reader, *, total: int) -> PageItems:
    """What failed first, then what cost most, as far as there is room."""
    page = PageItems(total)
    failed = failed_ids(reader, job.step_names, limit=round(_MOST_ITEMS * _FAILED_PART))
    page.fill(_shown(job, reader, failed), most_bytes=round(_MOST_BYTES * _FAILED_PART))
    known = set(failed)
    rest = [
        found
        for found in costliest_ids(reader, job.step_names, limit=_MOST_ITEMS)
        if found not in known
    ]
    room = _MOST_ITEMS - len(page.items)
    page.fill(_shown(job, reader, rest[:room]), most_bytes=_MOST_BYTES)
    return page


def _shown(job: Job, reader: Reader, ids: Sequence[int]) -> Iterator[ShownItem]:
    askings = askings_of(job)
    for records in records_of(reader, job.step_names, ids):
        if records and records[0].is_selected:
            yield shown_item(job, reader, records, askings=askings)


def refuse_foreign(path: Path) -> None:
    """Raise SpecError where a file stands that is no page of ours."""
    try:
        with path.open("rb") as file:
            start = file.read(4096).decode("utf-8", "replace")
    except FileNotFoundError:
        return
    except OSError as error:
        raise SpecError(
            f"{path}: cannot be written ({error.strerror}); name another file"
        ) from error
    if _OURS not in start:
        raise SpecError(f"{path}: is there and is no report of batchai; name another file")


def write_whole(path: Path, html: str) -> None:
    """Write a page whole or not at all. Raises SpecError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(html, encoding="utf-8", errors="replace")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise SpecError(
            f"{path}: cannot be written ({error.strerror}); name another file"
        ) from error
