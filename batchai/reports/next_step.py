"""What to type next."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from batchai.domain import Outcome, State
from batchai.reports.words import usd

# the same request would fail again: these want a change of the job or of the item first
_SETTLED = frozenset({Outcome.REFUSED, Outcome.REJECTED, Outcome.UNRENDERABLE, Outcome.OVER_LIMIT})


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a job stands: selected items by state, failed ones by kind, why the last launch ended.

    cost_per_item: what an item cost so far, USD; None where nothing is known.
    """

    items: Mapping[str, int]
    failures: Mapping[str, int]
    is_working: bool
    reason: str | None
    cost_per_item: Decimal | None
    is_paused: bool = False


def next_step(standing: Standing, name: str) -> str | None:
    """A command, perhaps with its price; None where nothing is left to do. name: JOB as typed."""
    job = shlex.quote(name)
    if standing.is_paused:
        return f"batchai resume {job}"
    if standing.is_working:
        return f"batchai status {job}"
    if standing.reason == "stop_if" and standing.failures:
        return f"batchai show {job} --failed"
    if standing.items.get(State.PENDING):
        wants_money = standing.reason == "budget"
        return f"batchai run {job}{' --budget AMOUNT' if wants_money else ''}"
    again = {kind: number for kind, number in standing.failures.items() if is_worth_a_retry(kind)}
    if again:
        return f"batchai run {job} --retry {','.join(again)}{_price(standing, sum(again.values()))}"
    if standing.failures:
        return f"batchai show {job} --failed"
    return None


def is_worth_a_retry(kind: str | None) -> bool:
    """Whether the same request may well succeed another time."""
    return kind not in _SETTLED


def _price(standing: Standing, items: int) -> str:
    if not standing.cost_per_item:
        return ""
    return f" (about {usd(standing.cost_per_item * items)})"
