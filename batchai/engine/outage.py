"""How long a provider that does not serve is sat out, and how it is asked whether it does again."""

from typing import NamedTuple

from batchai.clock import Clock
from batchai.domain import Outcome, Reply
from batchai.engine.quota import RETRY_COST, TIMEOUT_COST, RetryQuota

_AT_ONCE = frozenset({Outcome.RATE_LIMITED, Outcome.OVERLOADED})
_AFTER_SOME = frozenset({Outcome.SERVER_ERROR, Outcome.CONNECTION_LOST, Outcome.TIMED_OUT})
_FAILURES = _AT_ONCE | _AFTER_SOME
_IN_A_ROW = 8  # failures that make an outage of what may be an item's own trouble
_FIRST_HOLD_SECONDS = 0.5
_LONGEST_HOLD_SECONDS = 60.0
_MOST_BETWEEN_SECONDS = 75.0  # from a hold to the next request: jitter, an item's own wait
_FIRST_PATIENCE_SECONDS = 60.0  # nothing was ever served: a wrong address rather than an outage


class Hold(NamedTuple):
    """Nothing leaves for so long; then, where it is to be probed, one request at a time."""

    seconds: float
    probe: bool


class Outage:
    """A circuit breaker over failures without a served request between them.

    Being rate limited or overloaded holds the whole scope at once; other failures do when many come
    in a row, or more than the retry quota pays for. Holds double up to a minute, and a Retry-After
    is never undercut. Once it is known that waiting a little was not enough, the provider is probed
    with one request at a time: an outage costs one burst and then a request a minute, however many
    items wait. The first request that is served ends it. patience_seconds: `max_wait`; a time in
    which nothing was sent for reasons of our own (a pause, a limit) takes nothing of it.
    """

    def __init__(self, *, patience_seconds: float, clock: Clock) -> None:
        self._patience = patience_seconds
        self._clock = clock
        self._quota = RetryQuota()
        self._has_served = False
        self._is_lasting = False
        self._since: float | None = None
        self._failed_at = 0.0  # the last time
        self._row = 0
        self._level = 0
        self._probes = False
        self._held_until = float("-inf")
        self.reason = ""

    @property
    def waits_for(self) -> str | None:
        """What a run that probes waits for, in words; None while there is no outage."""
        if not self._probes or self._since is None:
            return None
        minutes = int((self._clock.monotonic() - self._since) / 60)
        lasted = f", for {minutes} min now" if minutes else ""
        return f"the provider{lasted} ({self.reason})"

    def explains(self, outcome: Outcome) -> bool:
        """Whether such a failure is the provider's now, not the item's."""
        return self._row >= _IN_A_ROW and outcome in _AFTER_SOME

    def take(self, reply: Reply, *, asked_seconds: float = 0.0) -> Hold | None:
        """Take a reply in; returns how what would leave next is to be held back.

        asked_seconds: since its request was sent.
        """
        outcome = reply.outcome
        if outcome not in _FAILURES:
            self._end()
            return None
        now = self._clock.monotonic()
        self._leave_out_own_time(now, asked_seconds)
        self._note(reply, now)
        if outcome in _AT_ONCE:
            self._deepen(now, reply.retry_after_seconds or 0.0)
            self._probes |= self._level > 1  # it had the time to recover once
        else:
            cost = TIMEOUT_COST if outcome is Outcome.TIMED_OUT else RETRY_COST
            is_paid = self._quota.take(cost)
            if is_paid and not self.explains(outcome) and reply.retry_after_seconds is None:
                return None
            self._deepen(now, reply.retry_after_seconds or 0.0)
            self._probes |= not is_paid or self.explains(outcome)
        return Hold(self._held_until - now, self._probes)

    @property
    def is_out_of_reach(self) -> bool:
        """Whether nothing was ever served, for a reason that waiting does not mend.

        Of one that did serve it is sat out: a laptop in a hotel meets strange certificates.
        """
        return self._is_lasting and not self._has_served

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

    def _end(self) -> None:
        self._quota.refund()
        self._has_served = True
        if self._since is not None:
            self._since = None
            self._row = self._level = 0
            self._probes = False

    def _leave_out_own_time(self, now: float, asked_seconds: float) -> None:
        """A long silence before this request was ours: the outage is as much younger."""
        if self._since is None:
            return
        silence = now - asked_seconds - max(self._failed_at, self._held_until)
        if silence > _MOST_BETWEEN_SECONDS:
            self._since += silence

    def _note(self, reply: Reply, now: float) -> None:
        self._has_served |= reply.status is not None  # it is there, and speaks
        self._is_lasting = reply.is_lasting
        self._since = now if self._since is None else self._since
        self._failed_at = now
        self._row += 1
        outcome = reply.outcome.value
        self.reason = f"{outcome}: {reply.detail}" if reply.detail else outcome
        if reply.retry_after_seconds is not None:
            self.reason += f"; it asks to wait {reply.retry_after_seconds:,.0f} s"
            if reply.retry_after_seconds >= self._patience:
                self.reason += ", which is more than limits.max_wait"

    def _deepen(self, now: float, least_seconds: float) -> None:
        """Only a failure after the last hold deepens it: those in flight together are one sign."""
        hold = least_seconds
        if now >= self._held_until:
            hold = max(hold, min(_LONGEST_HOLD_SECONDS, _FIRST_HOLD_SECONDS * 2.0**self._level))
            self._level = min(self._level + 1, 32)
        self._held_until = max(self._held_until, now + hold)
