"""The one door to result files: `write_export`."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from batchai.domain import ResultRow, State
from batchai.errors import ExportError
from batchai.exports.columns import Plan, plan_columns
from batchai.exports.parquet import write_parquet
from batchai.exports.target import check_folder, check_target, identity, replacing
from batchai.exports.text_files import write_csv, write_json, write_jsonl, write_tsv
from batchai.exports.xlsx import write_xlsx
from batchai.spec.models import Output

Rows = Callable[[], Iterator[ResultRow]]
Announce = Callable[[list[str]], None]
Writer = Callable[[BinaryIO, Plan, Iterator[ResultRow]], int]  # returns how many cells were cut

_WRITERS: dict[str, Writer] = {
    ".csv": write_csv,
    ".tsv": write_tsv,
    ".jsonl": write_jsonl,
    ".ndjson": write_jsonl,
    ".json": write_json,
    ".parquet": write_parquet,
    ".xlsx": write_xlsx,
}
_PACKAGES = {".parquet": ("pyarrow", "parquet"), ".xlsx": ("openpyxl", "xlsx")}


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What was written.

    rows: lines of data; succeeded and failed: how many of them are. cut_cells: texts beyond what a
    cell of Excel holds (32,767 characters), which end in a mark. lost: items of a damaged store
    that could not be read, or not whole.
    """

    path: Path
    rows: int
    succeeded: int
    failed: int
    cut_cells: int
    lost: int = 0


def check_export(path: Path, *, overwrite: bool = False, ours: Collection[str] = ()) -> None:
    """Raise ExportError, before anything is spent, where an export to `path` would be refused.

    That is: no known suffix, a package missing, a file there that batchai did not write,
    a folder that cannot be written.
    """
    if path.suffix.lower() not in _WRITERS:
        known = ", ".join(_WRITERS)
        raise ExportError(f"{path}: the suffix names no known format; use one of {known}")
    package, extra = _PACKAGES.get(path.suffix.lower(), (None, None))
    if package and find_spec(package) is None:
        raise ExportError(f'{path}: writing it needs a package; pip install "batchai[{extra}]"')
    check_target(path, overwrite=overwrite, ours=ours)
    check_folder(path)


def write_export(
    rows: Rows,
    *,
    path: Path,
    output: Output,
    result_fields: tuple[str, ...],
    overwrite: bool = False,
    ours: Collection[str] = (),
    announce: Announce = lambda _identities: None,
) -> ExportSummary:
    """Write the rows to `path` in the format of its suffix; the file is there whole or not at all.

    rows: called twice (first to find the columns) and must give the same both times: take it from
    one view of the store. result_fields: names of the schema's fields, () for plain text.
    overwrite: also a file that batchai did not write. announce: is told, just before the file takes
    its place, the identities of which one is at `path` from then on, whatever happens; keep them,
    and give them as `ours` the next time. Raises ExportError; the file of before is then untouched.
    """
    check_export(path, overwrite=overwrite, ours=ours)
    kept = kept_rows(rows, drop_failed=output.failed == "drop")
    plan = plan_columns(
        kept(), result_fields, lineage=output.lineage, kinds=path.suffix.lower() == ".parquet"
    )
    tally = _Tally()
    with replacing(path) as stream:
        cut_cells = _WRITERS[path.suffix.lower()](stream, plan, tally.counted(kept()))
        standing = check_target(path, overwrite=overwrite, ours=ours)
        announce([known for known in (standing, identity(stream)) if known])
    return ExportSummary(path, tally.rows, tally.succeeded, tally.failed, cut_cells)


@dataclass(slots=True)
class _Tally:
    rows: int = 0
    succeeded: int = 0
    failed: int = 0

    def counted(self, rows: Iterator[ResultRow]) -> Iterator[ResultRow]:
        for row in rows:
            self.rows += 1
            self.succeeded += row.state is State.SUCCEEDED
            self.failed += row.state is State.FAILED
            yield row


def kept_rows(rows: Rows, *, drop_failed: bool) -> Rows:
    """The rows that stand in an export."""
    if not drop_failed:
        return rows
    return lambda: (row for row in rows() if row.state is not State.FAILED)
