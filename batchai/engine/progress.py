"""What a launch has done so far, for whoever shows it."""

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal

from batchai.domain import NO_COST
from batchai.engine.worker import Ended


@dataclass(slots=True)
class Progress:
    """Counts of one launch; costs in USD."""

    to_send: int = 0  # items that this launch is to bring to an end, as far as they are known
    groups: int = 0  # of these, those of reductions
    is_counted: bool = True  # False while a scan still finds more of them
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

    @property
    def settled_items(self) -> int:
        """The same without groups, which begin when all items are at their end."""
        return min(self.settled, self.to_send - self.groups) if self.groups else self.settled

    @property
    def moved(self) -> object:
        """Is another when the launch came forward: items found or settled, answers paid."""
        return self.settled, self.to_send, self.changes.total(), self.input_tokens

    def take(self, ended: Ended) -> None:
        """Count an attempt."""
        settlement = ended.settlement
        self.attempts += 1
        self.cost += settlement.cost
        self.unconfirmed += settlement.unconfirmed_cost
        self.input_tokens += settlement.usage.input
        self.cached_tokens += settlement.usage.cache_read
        self.output_tokens += settlement.usage.output
        if settlement.model is not None:
            self.resolved_models[settlement.model] += 1
        self.retries += len(ended.work.history) > 1  # this attempt is the last of it

    def settle(self, outcome: str | None) -> None:
        """Count an item that came to its end; outcome: how it failed, None where it did not."""
        if outcome is None:
            self.succeeded += 1
        else:
            self.failed[outcome] += 1
