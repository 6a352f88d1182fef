"""Result rows for the tests of exports."""

from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from batchai.domain import Lineage, ResultRow, State
from batchai.exports import ExportSummary, write_export
from batchai.exports.writing import Announce
from batchai.spec.models import Output

LINEAGE = Lineage(
    model="claude-haiku-4-5",
    cost_usd=Decimal("0.000120"),
    attempts=2,
    run=1,
    time=datetime(2026, 3, 1, 12, 0, tzinfo=UTC),
)


def row(key: str, fields: dict[str, Any], result: Any) -> ResultRow:
    return ResultRow(key, fields, result, State.SUCCEEDED, "", LINEAGE)


def failed(key: str, fields: dict[str, Any], error: str = "refused: no") -> ResultRow:
    return ResultRow(key, fields, None, State.FAILED, error, LINEAGE)


def pending(key: str, fields: dict[str, Any]) -> ResultRow:
    return ResultRow(key, fields, None, State.PENDING, "", LINEAGE)


def again(*rows: ResultRow) -> Callable[[], Iterator[ResultRow]]:
    return lambda: iter(rows)


def export(
    path: Path,
    *rows: ResultRow,
    result_fields: tuple[str, ...] = (),
    output: Output | None = None,
    overwrite: bool = False,
    ours: Collection[str] = (),
    announce: Announce = lambda _identities: None,
) -> ExportSummary:
    return write_export(
        again(*rows),
        path=path,
        output=output or Output(),
        result_fields=result_fields,
        overwrite=overwrite,
        ours=ours,
        announce=announce,
    )
