"""Sums over attempts of the ledger: the same figures for any group of them."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from batchai.domain import NO_COST, Outcome, Usage
from batchai.pricing import from_pico
from batchai.store.aggregates import Cell

Key = TypeVar("Key")

_FINEST = Decimal("1e-12")  # of a cost per item


@dataclass(frozen=True, slots=True)
class Tally:
    """Closed attempts of a group. Tokens in disjoint buckets; `reasoning` is a part of `output`.

    retries: attempts of items that had an earlier one in the same run. failed: those that gave
    no valid answer; one that was in doubt neither failed nor succeeded. cost_usd: confirmed by
    the provider's usage; unconfirmed_usd: may have been billed beside it. cost_per_success_usd:
    cost over succeeded attempts, None without any.
    saved_by_cache_usd: what the tokens of the provider's cache would have cost more as plain input.
    """

    attempts: int
    succeeded: int
    failed: int
    retries: int
    tokens: Usage
    cost_usd: Decimal
    unconfirmed_usd: Decimal
    failed_cost_usd: Decimal
    retries_cost_usd: Decimal
    cost_per_success_usd: Decimal | None
    saved_by_cache_usd: Decimal = NO_COST


def tally(cells: Iterable[Cell]) -> Tally:
    """The sums over cells, exact."""
    attempts = succeeded = failed = retries = 0
    cost = unconfirmed = failed_cost = retries_cost = saved = 0
    tokens = [0, 0, 0, 0, 0, 0]
    for cell in cells:
        attempts += cell.attempts
        cost += cell.cost_pico
        unconfirmed += cell.unconfirmed_pico
        saved += cell.saved_pico
        tokens = [total + more for total, more in zip(tokens, _tokens(cell), strict=True)]
        if cell.outcome is Outcome.SUCCEEDED:
            succeeded += cell.attempts
        elif cell.outcome is not Outcome.DOUBTED:
            failed += cell.attempts
            failed_cost += cell.cost_pico
        if cell.is_retry:
            retries += cell.attempts
            retries_cost += cell.cost_pico
    return Tally(
        attempts=attempts,
        succeeded=succeeded,
        failed=failed,
        retries=retries,
        tokens=Usage(*tokens),
        cost_usd=from_pico(cost),
        unconfirmed_usd=from_pico(unconfirmed),
        failed_cost_usd=from_pico(failed_cost),
        retries_cost_usd=from_pico(retries_cost),
        cost_per_success_usd=per_unit(from_pico(cost), succeeded),
        saved_by_cache_usd=from_pico(saved),
    )


def grouped(cells: Iterable[Cell], key: Callable[[Cell], Key]) -> dict[Key, list[Cell]]:
    """Cells by a key, in the order of their first."""
    groups: defaultdict[Key, list[Cell]] = defaultdict(list)
    for cell in cells:
        groups[key(cell)].append(cell)
    return dict(groups)


def per_unit(amount: Decimal, number: int) -> Decimal | None:
    """An amount in USD over a number of things, to the pico-dollar; None over none."""
    return (amount / number).quantize(_FINEST) if number else None


def _tokens(cell: Cell) -> tuple[int, ...]:
    return (
        cell.uncached_input,
        cell.cache_read,
        cell.cache_write_5m,
        cell.cache_write_1h,
        cell.output,
        cell.reasoning,
    )
