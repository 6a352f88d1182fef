"""What a launch has done so far, for whoever shows it."""

from collections import Counter, deque
from dataclasses import dataclass, field
from decimal import Decimal

from batchai.domain import NO_COST, State
from batchai.engine import policy
from batchai.engine.worker import Ended


@dataclass(slots=True)
class Progress:
    """Counts of one launch; costs in USD."""

    to_send: int = 0  # items that this launch is to bring to an end, as far as they are known
    is_counted: bool = True  # False while a scan still finds more of them
    settled_before: int = 0
    budget: Decimal | None = None  # of the run
    spent_before: Decimal = NO_COST  # by the run's earlier launches
    succeeded: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    retries: int = 0
    cost: Decimal = NO_COST
    unconfirmed: Decimal = NO_COST
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    changes: Counter[str] = field(default_factory=Counter)
    bad_rows: int = 0
    resolved_models: Counter[str] = field(default_factory=Counter)

    @property
    def spent(self) -> Decimal:
        """What the run has cost so far, in USD, as far as it is confirmed."""
        return self.spent_before + self.cost

    @property
    def settled(self) -> int:
        """Items that this launch brought to an end."""
        return self.succeeded + self.failed.total()

    def take(self, ended: Ended) -> None:
        """Count an attempt and what it made of its item."""
        settlement = ended.settlement
        self.attempts += 1
        self.cost += settlement.cost
        self.unconfirmed += settlement.unconfirmed_cost
        self.input_tokens += settlement.usage.input
        self.cached_tokens += settlement.usage.cache_read
        self.output_tokens += settlement.usage.output
        if settlement.model is not None:
            self.resolved_models[settlement.model] += 1
        match ended.verdict:
            case policy.Succeed() | policy.Fix():
                self.succeeded += 1
            case policy.Fail():
                self.failed[settlement.outcome.value] += 1
            case policy.Again():
                self.retries += 1
            case policy.Stop():
                pass

    def fail_unsent(self, outcome: str) -> None:
        """Count an item that failed without an attempt."""
        self.failed[outcome] += 1


class FailureWatch:
    """`stop_if`: whether so many of the last settled items failed."""

    def __init__(self, *, share: Decimal, of_last: int) -> None:
        self._share = share
        self._last: deque[bool] = deque(maxlen=of_last)

    def take(self, state: State) -> bool:
        """Count a settled item; True when the job should stop, never before `of_last` of them."""
        self._last.append(state is State.FAILED)
        failed = sum(self._last)
        return len(self._last) == self._last.maxlen and failed >= self._share * len(self._last)

    @property
    def words(self) -> str:
        """For a person: `61 of the last 100 items failed`."""
        return f"{sum(self._last)} of the last {len(self._last)} items failed"
