"""How far results agree with what the input says they should be (`expect:`)."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from batchai.domain import ResultRow, State
from batchai.store import Reader, aggregates
from batchai.store.values import from_json

_Pairs = Mapping[tuple[str, str], int]  # (expected, given) as text → how often


@dataclass(frozen=True, slots=True)
class Agreement:
    """One result field beside its column; `pairs` counts (expected, given)."""

    field: str
    column: str
    agreed: int
    compared: int
    pairs: dict[tuple[str, str], int]


def agreement(rows: Iterable[ResultRow], expect: Mapping[str, str]) -> tuple[Agreement, ...]:
    """Compare every succeeded result, as text and whatever its case, where a column is filled."""
    succeeded = ((row.fields, row.result) for row in rows if row.state is State.SUCCEEDED)
    return _agreement_of(succeeded, expect)


def stored_agreement(reader: Reader, step: str, expect: Mapping[str, str]) -> tuple[Agreement, ...]:
    """The same over a store; quick also where it holds millions of items."""
    if not all(map(aggregates.can_extract, (*expect, *expect.values()))):
        return _agreement_of(aggregates.rows_with_results(reader, step), expect)
    return tuple(
        _agreement(field, column, _read(reader, step, column=column, field=field))
        for field, column in expect.items()
    )


def _agreement_of(
    results: Iterable[tuple[Mapping[str, Any], Any]], expect: Mapping[str, str]
) -> tuple[Agreement, ...]:
    pairs: dict[str, Counter[tuple[str, str]]] = {field: Counter() for field in expect}
    for fields, result in results:
        for field, column in expect.items():
            given = value_of(result, field)
            pairs[field][as_text(fields.get(column)), as_text(given)] += 1
    return tuple(_agreement(field, column, pairs[field]) for field, column in expect.items())


def _read(reader: Reader, step: str, *, column: str, field: str) -> Counter[tuple[str, str]]:
    """Each distinct pair of JSON texts is parsed once."""
    pairs: Counter[tuple[str, str]] = Counter()
    found = aggregates.value_pairs(reader, step, column=column, field=field)
    for (expected, given), number in found.items():
        pairs[_json_as_text(expected), _json_as_text(given)] += number
    return pairs


def _agreement(field: str, column: str, pairs: _Pairs) -> Agreement:
    compared = {pair: number for pair, number in pairs.items() if pair[0]}
    return Agreement(
        field=field,
        column=column,
        agreed=sum(number for (expected, given), number in compared.items() if expected == given),
        compared=sum(compared.values()),
        pairs=compared,
    )


def value_of(result: Any, field: str) -> Any:
    """A field of a result; the result itself where it has no fields."""
    return result.get(field) if isinstance(result, dict) else result


def as_text(value: object) -> str:
    """A value as it is compared; nothing and empty text are one."""
    return "" if value is None else str(value).strip().lower()


def _json_as_text(json_text: str | None) -> str:
    return as_text(None if json_text is None else from_json(json_text))
