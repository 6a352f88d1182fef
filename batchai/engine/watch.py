"""The watch over a launch: a broken job is stopped on evidence, and held back on suspicion."""

from collections import deque
from collections.abc import Hashable
from decimal import Decimal

from batchai.domain import Outcome
from batchai.engine.canary import Canary, Failure, FailureWatch

Where = Hashable  # an item, or a part of its step

# paid for without a result; what is asked again may well fail again
SUSPICIOUS = frozenset(
    {Outcome.TRUNCATED, Outcome.REFUSED, Outcome.EMPTY, Outcome.INVALID, Outcome.MALFORMED}
)


class Watch:
    """Canary and `stop_if` of a launch, and what is held back while they are about to stop it.

    Only settled items stop a launch, and never below a threshold. But an item whose answers are bad
    costs several attempts before it is settled, and as many are in flight as there are slots: with
    each asked to its end, a job that breaks in mid-run would cost several times its threshold. So
    items that are asked again are suspects; when most items begin that way, only as many suspects
    as would decide the matter are asked on, and no new item begins until they are settled.

    share, of_last: `stop_if`.
    """

    def __init__(self, *, share: Decimal, of_last: int) -> None:
        self._canary = Canary()
        self._failures = FailureWatch(share=share, of_last=of_last)
        self._doubt_from = share * of_last
        self._began_badly: deque[bool] = deque(maxlen=of_last)  # the last items
        self._bad_beginnings = 0
        self._suspects: set[Where] = set()
        self._asked: set[Where] = set()  # suspects whose next answer is awaited

    @property
    def may_begin(self) -> bool:
        """Whether a new item may be begun."""
        enough = self._enough()
        return self._canary.admits and (enough is None or len(self._suspects) < enough)

    def begin(self) -> None:
        """A new item is begun."""
        self._canary.begin()

    def may_ask(self, where: Where) -> bool:
        """Whether the next request of an item may be sent."""
        if where not in self._suspects:
            return True
        enough = self._enough()
        return enough is None or len(self._asked) < enough

    def ask(self, where: Where) -> None:
        """A request of an item is sent."""
        if where in self._suspects:
            self._asked.add(where)

    def ask_again(self, where: Where, outcome: Outcome) -> None:
        """An attempt gave no result, and the item will be asked again."""
        self._asked.discard(where)
        if outcome in SUSPICIOUS and where not in self._suspects:
            self._suspects.add(where)
            self._note(is_bad=True)

    def parted(self, where: Where) -> None:
        """An item is not asked again as it is, but in parts."""
        self._suspects.discard(where)
        self._asked.discard(where)

    def succeeded(self, where: Where) -> None:
        """An item is settled with a result."""
        self._settle(where, is_bad=False)
        self._canary.succeeded()
        self._failures.succeeded()

    def failed(self, where: Where, failure: Failure) -> str | None:
        """An item has failed; returns why the launch should stop, None while it should not."""
        self._settle(where, is_bad=True)
        of_first, of_last = self._canary.failed(failure), self._failures.failed(failure)
        return of_first or of_last

    def _settle(self, where: Where, *, is_bad: bool) -> None:
        if where in self._suspects:  # how it began is noted
            self._suspects.discard(where)
            self._asked.discard(where)
        else:
            self._note(is_bad=is_bad)

    def _note(self, *, is_bad: bool) -> None:
        beginnings = self._began_badly
        if len(beginnings) == beginnings.maxlen:
            self._bad_beginnings -= beginnings[0]
        beginnings.append(is_bad)
        self._bad_beginnings += is_bad

    def _enough(self) -> int | None:
        """How many failures would decide the matter; None where nothing is to be decided."""
        if not self._canary.has_passed:
            return self._canary.failures_to_stop
        if self._bad_beginnings >= self._doubt_from:
            return self._failures.failures_to_stop
        return None
