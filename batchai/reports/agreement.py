"""How far results agree with what the input says they should be (`expect:`)."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from batchai.domain import ResultRow, State


@dataclass(frozen=True, slots=True)
class Agreement:
    """One result field beside its column; `pairs` counts (expected, given)."""

    field: str
    column: str
    agreed: int
    compared: int
    pairs: dict[tuple[str, str], int]


def agreement(rows: Iterable[ResultRow], expect: Mapping[str, str]) -> tuple[Agreement, ...]:
    """Compare every succeeded result, as text and without regard to case, where a column is filled."""
    pairs: dict[str, Counter[tuple[str, str]]] = {field: Counter() for field in expect}
    for row in rows:
        if row.state is not State.SUCCEEDED:
            continue
        for field, column in expect.items():
            expected = _text(row.fields.get(column))
            if expected:
                given = row.result.get(field) if isinstance(row.result, dict) else row.result
                pairs[field][expected, _text(given)] += 1
    return tuple(
        Agreement(
            field=field,
            column=expect[field],
            agreed=sum(n for (expected, given), n in found.items() if expected == given),
            compared=found.total(),
            pairs=dict(found),
        )
        for field, found in pairs.items()
    )


def _text(value: object) -> str:
    return "" if value is None else str(value).strip().lower()
