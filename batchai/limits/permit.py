"""What a request asks of the gate, and the permit that it gets."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from batchai.domain import NO_COST, LimitNotice
from batchai.limits.account import Account, Mark
from batchai.limits.budget import Budget
from batchai.limits.windows import Entry, SlidingWindow


@dataclass(frozen=True, slots=True)
class Ask:
    """What one request needs.

    input_tokens: an estimate. output_tokens: its `max_tokens`. worst_cost: the most it costs, USD.
    size_bytes: of its body.
    """

    input_tokens: int
    output_tokens: int
    worst_cost: Decimal = NO_COST
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Past:
    """Requests of earlier processes, from the ledger: what still counts after a restart.

    age_seconds: of the newest of them.
    """

    age_seconds: float
    input_tokens: int
    output_tokens: int
    requests: int = 1


class Permit:
    """The right to send one request. Settle it with what it came to, then release it."""

    __slots__ = (
        "_account",
        "_ask",
        "_budget",
        "_free_slot",
        "_is_released",
        "_is_settled",
        "_mark",
        "_places",
    )

    def __init__(
        self,
        ask: Ask,
        *,
        places: tuple[tuple[SlidingWindow, Entry], ...],
        budget: Budget,
        account: Account,
        mark: Mark,
        free_slot: Callable[[int], None],
    ) -> None:
        self._ask = ask
        self._places = places
        self._budget = budget
        self._account = account
        self._mark = mark
        self._free_slot = free_slot
        self._is_settled = False
        self._is_released = False

    def settle(
        self,
        *,
        input_tokens: int,
        output_tokens: int,
        cost: Decimal,
        unconfirmed: Decimal = NO_COST,
    ) -> None:
        """Replace estimates by actuals, in the windows of the reservation; the first call counts.

        A request that never left settles with zeros. It still counts as a request.
        """
        if self._is_settled:
            return
        self._is_settled = True
        ask = self._ask
        for window, entry in self._places:
            window.correct(
                entry,
                max(0, input_tokens) - ask.input_tokens,
                max(0, output_tokens) - ask.output_tokens,
            )
        self._account.end(reserved=ask.output_tokens, written=max(0, output_tokens))
        self._budget.settle(ask.worst_cost, cost=cost, unconfirmed=unconfirmed)

    def heed(self, notice: LimitNotice) -> None:
        """Let the gate learn what the reply to this request says of the account's limits."""
        self._account.heed(notice, self._mark)

    def release(self) -> None:
        """Give the slot back; the first call counts.

        Not settled before, the request may have been billed: its worst cost becomes unconfirmed,
        and the windows keep the estimate.
        """
        if self._is_released:
            return
        self._is_released = True
        if not self._is_settled:
            self._is_settled = True
            worst = self._ask.worst_cost
            self._account.end(reserved=self._ask.output_tokens, written=0)
            self._budget.settle(worst, cost=NO_COST, unconfirmed=worst)
        self._free_slot(self._ask.size_bytes)
