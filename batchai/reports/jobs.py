"""All jobs at a glance: one line a store, and totals."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from batchai.domain import NO_COST, State


@dataclass(frozen=True, slots=True)
class JobLine:
    """One store. `items`: selected ones by state; costs in USD over all of its runs.

    comparisons_usd: what its comparisons of models cost beside.
    run_cost_usd, budget_usd: of the last run. last_at: when the last launch ended, or began where
    it works still; reason: why it ended. problem: why the store cannot be read; all else is empty.
    """

    job: str
    store: str
    is_working: bool = False
    items: dict[str, int] | None = None
    runs: int = 0
    attempts: int = 0
    cost_usd: Decimal = NO_COST
    unconfirmed_usd: Decimal = NO_COST
    comparisons_usd: Decimal = NO_COST
    run_cost_usd: Decimal = NO_COST
    budget_usd: Decimal | None = None
    in_flight: int = 0
    paused_at: datetime | None = None
    last_at: datetime | None = None
    reason: str | None = None
    problem: str | None = None

    @property
    def total(self) -> int:
        """Selected items."""
        return sum((self.items or {}).values())

    @property
    def done(self) -> int:
        """Items that are settled."""
        return self.total - self.count(State.PENDING)

    @property
    def failed(self) -> int:
        """Items that failed, or wait for the user to say what should become of them."""
        return self.count(State.FAILED) + self.count(State.UNKNOWN)

    def count(self, state: State) -> int:
        """Items in a state."""
        return (self.items or {}).get(state.value, 0)


@dataclass(frozen=True, slots=True)
class JobTotals:
    """Sums over all lines."""

    jobs: int
    items: int
    succeeded: int
    failed: int
    pending: int
    attempts: int
    cost_usd: Decimal
    unconfirmed_usd: Decimal
    comparisons_usd: Decimal


def totals_of(lines: Sequence[JobLine]) -> JobTotals:
    """What all jobs come to."""
    return JobTotals(
        jobs=len(lines),
        items=sum(line.total for line in lines),
        succeeded=sum(line.count(State.SUCCEEDED) for line in lines),
        failed=sum(line.failed for line in lines),
        pending=sum(line.count(State.PENDING) for line in lines),
        attempts=sum(line.attempts for line in lines),
        cost_usd=sum((line.cost_usd for line in lines), NO_COST),
        unconfirmed_usd=sum((line.unconfirmed_usd for line in lines), NO_COST),
        comparisons_usd=sum((line.comparisons_usd for line in lines), NO_COST),
    )
