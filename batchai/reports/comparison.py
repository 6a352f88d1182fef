"""Several models over the same items: what each made of them, and where they differ.

`json_text` of it is the comparison's JSON. Fields are added to it, never renamed or removed, while
`schema_version` is 1. Money is USD as a string, durations are seconds.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations
from typing import Any

from batchai.domain import ResultRow, State
from batchai.pricing import from_pico
from batchai.reports.agreement import agreement, as_text, value_of
from batchai.reports.distributions import Latency, latency_of
from batchai.reports.job_report import Pair
from batchai.reports.tally import per_unit
from batchai.store.samples import ResultAttempt
from batchai.store.values import to_json

_ANSWERED = {"succeeded", "invalid", "truncated", "refused", "empty"}


@dataclass(frozen=True, slots=True)
class Accuracy:
    """A result field beside the column of `expect:`; confusion: all pairs, the commonest first."""

    field: str
    column: str
    agreed: int
    compared: int
    confusion: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class ComparedModel:
    """What one model, `provider/name`, made of the sample.

    items: settled ones. valid: of these, with a valid answer; fixed: with the job's fixed values in
    place of one. outcomes: items by how they ended, those to do as `pending`. attempts: by outcome.
    cost_usd, unconfirmed_usd: of the attempts that led to these results, failed ones included.
    ended: why its launch ended.
    """

    model: str
    items: int
    valid: int
    fixed: int
    outcomes: dict[str, int]
    attempts: dict[str, int]
    cost_usd: Decimal
    unconfirmed_usd: Decimal
    cost_per_1000_usd: Decimal | None
    latency: Latency | None
    accuracy: tuple[Accuracy, ...]
    ended: str
    detail: str


@dataclass(frozen=True, slots=True)
class Agreed:
    """On how many of the items that both answered validly two models gave the same."""

    first: str
    second: str
    field: str
    agreed: int
    compared: int


@dataclass(frozen=True, slots=True)
class Given:
    """The value that one model gave; None: it has no valid answer."""

    model: str
    value: str | None


@dataclass(frozen=True, slots=True)
class Difference:
    """A field of an item on which models differ. expected: what `expect:` says, if it does."""

    key: str
    field: str
    expected: str | None
    given: tuple[Given, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Models over the same items, drawn at random.

    sample: how many items were asked for; items: how many there are. fields: those that are
    compared; free_text: those that are not, since two texts are hardly ever equal. differing:
    items with a difference. spent_usd: by this command; cost_usd, unconfirmed_usd: of these models
    under today's spec, in all. exit_code: of the command. lent: results that the job's own runs had
    paid for, over all models; they count where models are judged, and nowhere as spent. step: the
    one whose model is compared, None in a job of one; in_parts: an item is several requests of it.
    """

    job: str
    sample: int
    seed: int
    items: int
    models: tuple[ComparedModel, ...]
    fields: tuple[str, ...]
    free_text: tuple[str, ...]
    agreement: tuple[Agreed, ...]
    differing: int
    differences: tuple[Difference, ...]
    spent_usd: Decimal
    cost_usd: Decimal
    unconfirmed_usd: Decimal
    budget_usd: Decimal | None
    exit_code: int
    lent: int = 0
    step: str | None = None
    in_parts: bool = False


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model's store holds: its results, how many failed in which way, its attempts."""

    model: str
    rows: Sequence[ResultRow]
    failures: Mapping[str, int]
    fixed: int
    attempts: Sequence[ResultAttempt]
    ended: str
    detail: str = ""


def compared_model(answers: Answers, expect: Mapping[str, str]) -> ComparedModel:
    """The figures of one model."""
    states = Counter(row.state for row in answers.rows)
    succeeded, pending = states[State.SUCCEEDED], states[State.PENDING]
    settled = len(answers.rows) - pending - states[State.SKIPPED]
    beside = {"skipped": states[State.SKIPPED], "pending": pending}
    outcomes = {"succeeded": succeeded, **answers.failures, **beside}
    cost = from_pico(sum(attempt.cost_pico for attempt in answers.attempts))
    per_item = per_unit(cost * 1000, settled)
    waits = [
        attempt.latency_ms
        for attempt in answers.attempts
        if attempt.latency_ms is not None and attempt.outcome in _ANSWERED
    ]
    return ComparedModel(
        model=answers.model,
        items=settled,
        valid=succeeded - answers.fixed,
        fixed=answers.fixed,
        outcomes={kind: number for kind, number in outcomes.items() if number},
        attempts=dict(Counter(attempt.outcome for attempt in answers.attempts).most_common()),
        cost_usd=cost,
        unconfirmed_usd=from_pico(sum(attempt.unconfirmed_pico for attempt in answers.attempts)),
        cost_per_1000_usd=per_item,
        latency=latency_of(sorted(waits)),
        accuracy=tuple(_accuracies(answers.rows, expect)),
        ended=answers.ended,
        detail=answers.detail,
    )


def agreements(models: Sequence[Answers], fields: Sequence[str]) -> Iterator[Agreed]:
    """Each two models beside each other, field by field."""
    results = [_results(answers.rows) for answers in models]
    for (first, ones), (second, others) in combinations(zip(models, results, strict=True), 2):
        both = ones.keys() & others.keys()
        for field in fields:
            same = (
                as_text(value_of(ones[key], field)) == as_text(value_of(others[key], field))
                for key in both
            )
            yield Agreed(first.model, second.model, field, sum(same), len(both))


def differences(
    models: Sequence[Answers], fields: Sequence[str], expect: Mapping[str, str]
) -> Iterator[Difference]:
    """Where valid answers differ, in the input's order."""
    results = [_results(answers.rows) for answers in models]
    longest = max((answers.rows for answers in models), key=len, default=())
    for row in longest:
        known = [found[row.key] for found in results if row.key in found]
        for field in fields:
            if len({as_text(value_of(result, field)) for result in known}) < 2:
                continue
            yield Difference(
                key=row.key,
                field=field,
                expected=shown(row.fields.get(expect[field])) if field in expect else None,
                given=tuple(
                    Given(answers.model, _value(found, row.key, field))
                    for answers, found in zip(models, results, strict=True)
                ),
            )


def shown(value: Any) -> str:
    """A value as a person reads it."""
    if value is None:
        return ""
    return value if isinstance(value, str) else to_json(value)


def _value(results: Mapping[str, Any], key: str, field: str) -> str | None:
    return shown(value_of(results[key], field)) if key in results else None


def _results(rows: Sequence[ResultRow]) -> dict[str, Any]:
    return {row.key: row.result for row in rows if row.state is State.SUCCEEDED}


def _accuracies(rows: Sequence[ResultRow], expect: Mapping[str, str]) -> Iterator[Accuracy]:
    for found in agreement(rows, expect):
        pairs = sorted(found.pairs.items(), key=lambda entry: (-entry[1], entry[0]))
        yield Accuracy(
            field=found.field,
            column=found.column,
            agreed=found.agreed,
            compared=found.compared,
            confusion=tuple(Pair(*pair, number) for pair, number in pairs),
        )
