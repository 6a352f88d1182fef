"""True sliding windows over requests and tokens: exact sums of what was admitted lately.

A bucket that starts full admits twice its limit in the first period; a window never does. The
entries that it remembers are merged within `resolution_seconds`, and a merged entry expires with
its newest part, so memory is bounded and merging only ever errs towards admitting less.
"""

import math
from collections import deque
from dataclasses import dataclass
from operator import attrgetter


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why nothing can be admitted now, in words for a status display, and for how long at least.

    wait_seconds is None where no time but an event (a release, a settlement) ends it.
    """

    reason: str
    wait_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Caps:
    """The most that one period may hold (None: no limit); `tokens` is input and output together."""

    requests: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    tokens: int | None = None


class Entry:
    """What was admitted within one stretch of `resolution_seconds`."""

    __slots__ = ("begin", "input_tokens", "is_live", "newest", "output_tokens", "requests")

    def __init__(self, begin: float) -> None:
        self.begin = begin
        self.newest = begin
        self.is_live = True
        self.requests = 0
        self.input_tokens = 0
        self.output_tokens = 0

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


_MEASURES = {
    name: attrgetter(name) for name in ("requests", "input_tokens", "output_tokens", "tokens")
}


class SlidingWindow:
    """Sums over the last `period_seconds`; `period` names it in limits' names (`minute`, `day`)."""

    __slots__ = (
        "_entries",
        "_resolution",
        "caps",
        "input_tokens",
        "output_tokens",
        "period",
        "period_seconds",
        "requests",
    )

    def __init__(self, *, period: str, period_seconds: float, resolution_seconds: float) -> None:
        self.caps = Caps()
        self.period = period
        self.period_seconds = period_seconds
        self.requests = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self._resolution = resolution_seconds
        self._entries: deque[Entry] = deque()

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    def obstacle(self, now: float, input_tokens: int, output_tokens: int) -> Obstacle | None:
        """None when one more such request fits at `now`, else the limit it waits for longest."""
        self._expire(now)
        caps = self.caps
        if (
            (caps.requests is None or self.requests < caps.requests)
            and (caps.input_tokens is None or self.input_tokens + input_tokens <= caps.input_tokens)
            and (
                caps.output_tokens is None
                or self.output_tokens + output_tokens <= caps.output_tokens
            )
            and (caps.tokens is None or self.tokens + input_tokens + output_tokens <= caps.tokens)
        ):
            return None
        return self._longest_wait(now, _amounts(input_tokens, output_tokens))

    def oversize(self, input_tokens: int, output_tokens: int) -> tuple[str, int, int] | None:
        """(limit's name, cap, amount) of the first limit that one such request alone exceeds."""
        for measure, amount in _amounts(input_tokens, output_tokens).items():
            cap = getattr(self.caps, measure)
            if cap is not None and amount > cap:
                return f"{measure}_per_{self.period}", cap, amount
        return None

    def add(self, now: float, input_tokens: int, output_tokens: int, requests: int = 1) -> Entry:
        """Count a request at `now`, never before the last one; returns the entry it is in.

        requests: more where their sums are added; none of them newer than `now`.
        """
        entries = self._entries
        if entries and now - entries[-1].begin < self._resolution:
            entry = entries[-1]
            entry.newest = now
        else:
            entry = Entry(now)
            entries.append(entry)
        entry.requests += requests
        self.requests += requests
        self.correct(entry, input_tokens, output_tokens)
        return entry

    def correct(self, entry: Entry, input_tokens: int, output_tokens: int) -> None:
        """Add differences (also negative ones) to an entry; nothing once it has left the window."""
        if entry.is_live:
            entry.input_tokens += input_tokens
            entry.output_tokens += output_tokens
            self.input_tokens += input_tokens
            self.output_tokens += output_tokens

    def seconds_until_free(self, measure: str, excess: float, now: float) -> float:
        """Until so much of a measure has left the window; infinite where it does not hold it."""
        amount_of = _MEASURES[measure]
        for entry in self._entries:
            excess -= amount_of(entry)
            if excess <= 0:
                return entry.newest + self.period_seconds - now
        return math.inf

    def _expire(self, now: float) -> None:
        entries = self._entries
        while entries and entries[0].newest + self.period_seconds <= now:
            entry = entries.popleft()
            entry.is_live = False
            self.requests -= entry.requests
            self.input_tokens -= entry.input_tokens
            self.output_tokens -= entry.output_tokens

    def _longest_wait(self, now: float, amounts: dict[str, int]) -> Obstacle:
        waits = {
            measure: self._wait_for(measure, amount, now)
            for measure, amount in amounts.items()
            if getattr(self.caps, measure) is not None
        }
        slowest = max(waits, key=waits.__getitem__)
        return Obstacle(f"{slowest.replace('_', ' ')} per {self.period}", waits[slowest])

    def _wait_for(self, measure: str, amount: int, now: float) -> float:
        """Seconds until enough of the oldest entries have left for `amount` to fit."""
        excess = getattr(self, measure) + amount - getattr(self.caps, measure)
        return self.seconds_until_free(measure, excess, now) if excess > 0 else 0.0


def _amounts(input_tokens: int, output_tokens: int) -> dict[str, int]:
    return {
        "requests": 1,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "tokens": input_tokens + output_tokens,
    }
