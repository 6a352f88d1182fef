"""Which columns an export has and what stands in them; the first of its two passes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from batchai.domain import ResultRow
from batchai.exports.kinds import kind_of, merged

WHOLE = "result"  # the column of a result that is no object: plain text

Getter = Callable[[ResultRow], Any]


def _error(row: ResultRow) -> str:
    return row.error


_STATE: dict[str, Getter] = {"_status": lambda row: row.state.value, "_error": _error}
_LINEAGE: dict[str, Getter] = {
    "_model": lambda row: row.lineage.model,
    "_cost_usd": lambda row: row.lineage.cost_usd,
    "_attempts": lambda row: row.lineage.attempts,
    "_run": lambda row: row.lineage.run,
    "_time": lambda row: row.lineage.time and row.lineage.time.isoformat(),
}
_KEY: dict[str, Getter] = {"_key": lambda row: row.key}


@dataclass(frozen=True, slots=True)
class Plan:
    """The columns of one export, in order: inputs, results, then what batchai adds.

    inputs: names of input columns. results: (field of the result, column). added: (column, getter).
    rows: how many there are. kinds: kind of each column's values, where it was asked for.
    """

    inputs: tuple[str, ...]
    results: tuple[tuple[str, str], ...]
    added: tuple[tuple[str, Getter], ...]
    rows: int
    kinds: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """All names in order."""
        results = (column for _, column in self.results)
        return (*self.inputs, *results, *(column for column, _ in self.added))

    @property
    def written_by_model(self) -> tuple[int, ...]:
        """Where text stands that a model wrote: the results, and `_error`, which may quote one."""
        start = len(self.inputs) + len(self.results)
        error = next(index for index, (_, get) in enumerate(self.added) if get is _error)
        return (*range(len(self.inputs), start), start + error)

    def cells(self, row: ResultRow) -> list[Any]:
        """The row's values in the order of `columns`; None where it has none."""
        values = [row.fields.get(name) for name in self.inputs]
        values += self._results(row.result)
        values += [getter(row) for _, getter in self.added]
        return values

    def record(self, row: ResultRow) -> dict[str, Any]:
        """The row as column → value, with the input columns that it has itself."""
        record = dict(row.fields)
        values = self._results(row.result)
        for (_, column), value in zip(self.results, values, strict=True):
            record[column] = value
        for column, getter in self.added:
            record[column] = getter(row)
        return record

    def _results(self, result: Any) -> list[Any]:
        if isinstance(result, dict):
            return [result.get(name) for name, _ in self.results]
        return [result if name == WHOLE else None for name, _ in self.results]


def plan_columns(
    rows: Iterator[ResultRow], result_fields: tuple[str, ...], *, lineage: bool, kinds: bool
) -> Plan:
    """Read all rows once and name the columns.

    A result field or added column that an input column already names becomes `result_NAME`. Where
    no row has input columns (`retain: {items: false}`), `_key` stands first of what is added.
    """
    seen = _Seen(results=dict.fromkeys(result_fields))
    for row in rows:
        seen.add(row, kinds=kinds)
    if not seen.results:
        seen.results[WHOLE] = None
    getters = ({} if seen.inputs else _KEY) | _STATE | (_LINEAGE if lineage else {})
    names = _free_names([*seen.results, *getters], set(seen.inputs))
    results = tuple((name, names[name]) for name in seen.results)
    added = tuple((names[name], getter) for name, getter in getters.items())
    return Plan(
        tuple(seen.inputs), results, added, seen.rows, seen.kinds_of(getters) if kinds else ()
    )


@dataclass(slots=True)
class _Seen:
    results: dict[str, None]
    inputs: dict[str, None] = field(default_factory=dict)
    rows: int = 0
    kinds: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, row: ResultRow, *, kinds: bool) -> None:
        self.rows += 1
        if not self.inputs.keys() >= row.fields.keys():
            self.inputs.update(dict.fromkeys(row.fields))
        result = row.result
        if result is not None and not isinstance(result, dict):
            result = {WHOLE: result}
        if result and not self.results.keys() >= result.keys():
            self.results.update(dict.fromkeys(result))
        if kinds:
            self._merge("input", row.fields)
            self._merge("result", result or {})

    def kinds_of(self, getters: dict[str, Getter]) -> tuple[str, ...]:
        inputs = (self.kinds.get(("input", name), "null") for name in self.inputs)
        results = (self.kinds.get(("result", name), "null") for name in self.results)
        known = {"_cost_usd": "decimal", "_attempts": "int", "_run": "int"}
        return (*inputs, *results, *(known.get(name, "str") for name in getters))

    def _merge(self, where: str, values: Any) -> None:
        for name, value in values.items():
            key = (where, name)
            self.kinds[key] = merged(self.kinds.get(key, "null"), kind_of(value))


def _free_names(names: list[str], inputs: set[str]) -> dict[str, str]:
    taken = inputs | {name for name in names if name not in inputs}
    free = {}
    for name in names:
        column = name
        if name in inputs:
            while column in taken:
                column = f"result_{column}"
            taken.add(column)
        free[name] = column
    return free
