"""How many requests may be in flight: a fixed number reached by a ramp, or a number that adapts."""

from typing import Literal, Protocol

RAMP_START = 4
AUTO_START = 8
AUTO_CAP = 512
DECREASE = 0.8
DEBOUNCE_SECONDS = 15.0
BUSY_SHARE = 0.8
_EARLY_GROWTH = 1.5  # a round, until the first congestion
_LATE_GROWTH_SHARE = 50  # afterwards by one in 50, at least by one


class Concurrency(Protocol):
    """The number of slots now, and the signals that move it. `now` is monotonic seconds."""

    limit: int

    def taken(self, in_flight: int) -> None:
        """A slot was taken; `in_flight` counts it."""
        ...

    def succeeded(self, now: float) -> None:
        """A request was served."""
        ...

    def congested(self, now: float) -> None:
        """The provider said: too many (429, 529)."""
        ...

    def faulted(self, now: float) -> None:
        """The provider failed (5xx, timeouts): no reason to shrink and none to grow."""
        ...

    def restart(self) -> None:
        """Begin with few slots again, as after an outage or a suspended machine."""
        ...


class Ramp:
    """From a few slots up to `cap`, one more with every success: doubling in every round trip."""

    def __init__(self, cap: int, *, start: int = RAMP_START) -> None:
        self._start = min(start, cap)
        self.limit = self._start
        self._cap = cap

    def taken(self, in_flight: int) -> None:
        """Nothing to learn from it."""

    def succeeded(self, _now: float) -> None:
        """One more slot."""
        if self.limit < self._cap:
            self.limit += 1

    def congested(self, _now: float) -> None:
        """The number is the user's word: Retry-After and the windows slow down instead."""

    def faulted(self, _now: float) -> None:
        """The number is the user's word."""

    def restart(self) -> None:
        """Ramp up once more."""
        self.limit = min(self.limit, self._start)


class Adaptive:
    """Additive increase, multiplicative decrease.

    Shrinks to 0.8 on congestion, once in 15 s (the requests already in flight will be refused too).
    Grows after a clean round, that is as many successes in a row as there are slots, in which at
    least 80 % of them were in use; a fault starts the round anew and pauses growth for 15 s.
    Latency is no signal here: it follows the length of what the model writes.
    """

    def __init__(self, *, start: int = AUTO_START, cap: int = AUTO_CAP) -> None:
        self.limit = start
        self._cap = cap
        self._was_congested = False
        self._shrunk_at: float | None = None
        self._grow_after = float("-inf")
        self._successes = 0
        self._peak = 0

    def taken(self, in_flight: int) -> None:
        """Note how many slots the round uses."""
        self._peak = max(self._peak, in_flight)

    def succeeded(self, now: float) -> None:
        """Count the round; grow at its end."""
        self._successes += 1
        if self._successes < self.limit:
            return
        if self._peak >= BUSY_SHARE * self.limit and now >= self._grow_after:
            self.limit = min(self._cap, self.limit + self._step())
        self._begin_round()

    def congested(self, now: float) -> None:
        """Shrink, unless it shrank within the last 15 s."""
        self._was_congested = True
        self._begin_round()
        if self._shrunk_at is None or now - self._shrunk_at >= DEBOUNCE_SECONDS:
            self._shrunk_at = now
            self.limit = max(1, int(self.limit * DECREASE))

    def faulted(self, now: float) -> None:
        """Begin the round anew and pause growth."""
        self._grow_after = now + DEBOUNCE_SECONDS
        self._begin_round()

    def restart(self) -> None:
        """Search anew: what the server could do before says little."""
        self.limit = min(self.limit, AUTO_START)
        self._was_congested = False
        self._begin_round()

    def _step(self) -> int:
        if self._was_congested:
            return max(1, self.limit // _LATE_GROWTH_SHARE)
        return max(1, int(self.limit * (_EARLY_GROWTH - 1)))

    def _begin_round(self) -> None:
        self._successes = 0
        self._peak = 0


def concurrency_for(setting: int | Literal["auto"], *, start: int = RAMP_START) -> Concurrency:
    """What `limits.concurrency` asks for; `start` is where a ramp begins."""
    return Adaptive() if setting == "auto" else Ramp(setting, start=start)
