"""Money by reservation: what a request may cost is set aside before it is sent.

Adding up after the answers lets every request in flight overspend; reserving first keeps
spent + unconfirmed + reserved ≤ limit at every moment.
"""

from collections.abc import Callable
from decimal import Decimal

from batchai.domain import NO_COST


class Budget:
    """The money of one run in USD; several gates may share it.

    spent: confirmed by providers' usage. unconfirmed: may have been billed. reserved: worst costs
    of requests in flight. A limit of None admits everything and still counts.
    """

    def __init__(
        self, limit: Decimal | None, spent: Decimal = NO_COST, unconfirmed: Decimal = NO_COST
    ) -> None:
        self.spent = spent
        self.unconfirmed = unconfirmed
        self.reserved = NO_COST
        self._limit = limit
        self._watchers: list[Callable[[], None]] = []

    @property
    def limit(self) -> Decimal | None:
        """The most that may be spent, unconfirmed costs included; may be set in mid-run."""
        return self._limit

    @limit.setter
    def limit(self, limit: Decimal | None) -> None:
        self._limit = limit
        self._tell()

    @property
    def available(self) -> Decimal | None:
        """What can be reserved now; None without a limit, below 0 when the limit was lowered."""
        if self._limit is None:
            return None
        return self._limit - self.spent - self.unconfirmed - self.reserved

    def fits(self, worst_cost: Decimal) -> bool:
        """Whether `worst_cost` can be reserved now."""
        limit = self._limit
        return limit is None or self.spent + self.unconfirmed + self.reserved + worst_cost <= limit

    def may_fit_later(self, worst_cost: Decimal) -> bool:
        """Whether settlements of what is reserved now could make room for `worst_cost`."""
        limit = self._limit
        return limit is None or self.spent + self.unconfirmed + worst_cost <= limit

    def reserve(self, worst_cost: Decimal) -> None:
        """Set aside what `fits` has just allowed."""
        self.reserved += worst_cost

    def settle(self, worst_cost: Decimal, *, cost: Decimal, unconfirmed: Decimal) -> None:
        """Replace a reservation by what it came to."""
        self.reserved -= worst_cost
        self.spent += cost
        self.unconfirmed += unconfirmed
        self._tell()

    def watch(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever room may have been made."""
        self._watchers.append(callback)

    def _tell(self) -> None:
        for callback in self._watchers:
            callback()
