"""How long a provider that does not serve is sat out."""

from batchai.clock import Clock
from batchai.domain import Outcome, Reply

_AT_ONCE = frozenset({Outcome.RATE_LIMITED, Outcome.OVERLOADED})
_AFTER_SOME = frozenset({Outcome.SERVER_ERROR, Outcome.CONNECTION_LOST, Outcome.TIMED_OUT})
_IN_A_ROW = 8  # failures that make an outage of what may be an item's own trouble
_LONGEST_HOLD_SECONDS = 60.0
_FIRST_PATIENCE_SECONDS = 60.0  # nothing was ever served: a wrong address rather than an outage


class Outage:
    """Watches for failures without a served request between them.

    Being rate limited or overloaded holds the whole scope at once, other failures when many come
    in a row; holds double up to a minute. patience_seconds: `max_wait`.
    """

    def __init__(self, *, patience_seconds: float, clock: Clock) -> None:
        self._patience = patience_seconds
        self._clock = clock
        self._has_served = False
        self._since: float | None = None
        self._row = 0
        self._level = 0
        self._held_until = float("-inf")
        self.reason = ""

    def explains(self, outcome: Outcome) -> bool:
        """Whether such a failure is the provider's now, not the item's."""
        return self._row >= _IN_A_ROW and outcome in _AFTER_SOME

    def take(self, reply: Reply) -> float:
        """Take a reply in; returns for how many seconds nothing should be sent."""
        if reply.outcome not in _AT_ONCE | _AFTER_SOME:
            self._has_served = True
            self._since = None
            self._row = self._level = 0
            return 0.0
        now = self._clock.monotonic()
        self._has_served |= reply.status is not None  # it is there, and speaks
        self._since = now if self._since is None else self._since
        self._row += 1
        self.reason = (
            f"{reply.outcome.value}: {reply.detail}" if reply.detail else reply.outcome.value
        )
        if reply.retry_after_seconds is not None:
            self._held_until = max(self._held_until, now + reply.retry_after_seconds)
            self.reason += f"; it asks to wait {reply.retry_after_seconds:,.0f} s"
            return reply.retry_after_seconds
        if reply.outcome in _AFTER_SOME and not self.explains(reply.outcome):
            return 0.0
        return self._hold(now)

    def is_over_patience(self) -> bool:
        """Whether it has lasted longer than the job allows, or will have before the hold is over:
        a provider that asks for a day is not sat out."""
        if self._since is None:
            return False
        patience = self._patience
        if not self._has_served:
            patience = min(patience, _FIRST_PATIENCE_SECONDS)
        until = max(self._clock.monotonic(), self._held_until)
        return until - self._since >= patience

    def _hold(self, now: float) -> float:
        """Only a failure after the last hold deepens it: those in flight together are one sign."""
        if now < self._held_until:
            return self._held_until - now
        self._level += 1
        hold = min(_LONGEST_HOLD_SECONDS, 0.5 * 2.0 ** (self._level - 1))
        self._held_until = now + hold
        return hold
