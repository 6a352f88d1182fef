"""An account as providers keep it, in memory: token buckets, sliding windows or fixed windows.

Written from the providers' descriptions and unrelated to the gate, which it judges.
"""

import math
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from batchai.domain import LimitNotice, Standing

PERIOD = 60.0


class Counter(Protocol):
    """One limit of an account; amounts are requests or tokens."""

    limit: int

    def wait_seconds(self, now: float, amount: float) -> float:
        """Until the amount fits; 0 when it does."""
        ...

    def spend(self, now: float, amount: float) -> None:
        """Count an amount, whether it fits or not."""
        ...

    def standing(self, now: float) -> Standing:
        """What a reply's headers say."""
        ...


class Bucket:
    """A token bucket of a minute's size that refills steadily, as the large providers have."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._level = float(limit)
        self._at = 0.0

    def wait_seconds(self, now: float, amount: float) -> float:
        """Until so much has flowed in."""
        self._refill(now)
        return max(0.0, (amount - self._level) / self.limit * PERIOD)

    def spend(self, now: float, amount: float) -> None:
        """Take it out; what is known only afterwards may overdraw."""
        self._refill(now)
        self._level -= amount

    def standing(self, now: float) -> Standing:
        """Reset is when the bucket is full."""
        self._refill(now)
        missing = self.limit - self._level
        return Standing(self.limit, max(0, int(self._level)), missing / self.limit * PERIOD)

    def _refill(self, now: float) -> None:
        self._level = min(self.limit, self._level + (now - self._at) * self.limit / PERIOD)
        self._at = now


class Sliding:
    """A sliding window of a minute."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._spent: deque[tuple[float, float]] = deque()
        self._used = 0.0

    def wait_seconds(self, now: float, amount: float) -> float:
        """Until enough has left the window."""
        self._expire(now)
        excess = self._used + amount - self.limit
        for at, spent in self._spent:
            if excess <= 0:
                break
            excess -= spent
            if excess <= 0:
                return at + PERIOD - now
        return 0.0 if excess <= 0 else PERIOD

    def spend(self, now: float, amount: float) -> None:
        """Count it."""
        self._expire(now)
        self._spent.append((now, amount))
        self._used += amount

    def standing(self, now: float) -> Standing:
        """Reset is when the window is empty."""
        self._expire(now)
        reset = self._spent[-1][0] + PERIOD - now if self._spent else 0.0
        return Standing(self.limit, max(0, int(self.limit - self._used)), reset)

    def _expire(self, now: float) -> None:
        while self._spent and self._spent[0][0] + PERIOD <= now:
            self._used -= self._spent.popleft()[1]


class Fixed:
    """A window that begins anew at every full minute."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._minute = -1.0
        self._used = 0.0

    def wait_seconds(self, now: float, amount: float) -> float:
        """Until the next minute."""
        self._turn(now)
        return 0.0 if self._used + amount <= self.limit else self._left(now)

    def spend(self, now: float, amount: float) -> None:
        """Count it."""
        self._turn(now)
        self._used += amount

    def standing(self, now: float) -> Standing:
        """Reset is the next minute."""
        self._turn(now)
        return Standing(self.limit, max(0, int(self.limit - self._used)), self._left(now))

    def _turn(self, now: float) -> None:
        if now // PERIOD != self._minute:
            self._minute, self._used = now // PERIOD, 0.0

    def _left(self, now: float) -> float:
        return (now // PERIOD + 1) * PERIOD - now


@dataclass(frozen=True, slots=True)
class Load:
    """What a request takes: input when it comes, output when it is written."""

    input_tokens: int = 0
    output_tokens: int = 0
    max_tokens: int = 0


class Provider:
    """Admits requests to an account with any of the limits, each user's alike; a refusal is free.

    Output is limited as Anthropic describes it: nothing is reserved, and a request passes while any
    is left. Tokens are as OpenAI counts them: the larger of input and max_tokens, when it comes.
    is_rough: remaining tokens are told in thousands and resets in seconds, as Anthropic does.
    """

    def __init__(
        self,
        *,
        requests: Counter | None = None,
        input_tokens: Counter | None = None,
        output_tokens: Counter | None = None,
        tokens: Counter | None = None,
        is_rough: bool = False,
    ) -> None:
        self._requests = requests
        self._input = input_tokens
        self._output = output_tokens
        self._tokens = tokens
        self._is_rough = is_rough

    def admit(self, now: float, load: Load) -> float:
        """0 when it is admitted, else the Retry-After in seconds."""
        taken = (
            (self._requests, 1),
            (self._input, load.input_tokens),
            (self._tokens, max(load.input_tokens, load.max_tokens)),
        )
        asked = (*taken, (self._output, 1))
        wait = max(counter.wait_seconds(now, n) for counter, n in asked if counter is not None)
        if wait > 0:
            return wait
        for counter, amount in taken:
            if counter is not None:
                counter.spend(now, amount)
        return 0.0

    def written(self, now: float, load: Load) -> None:
        """Count an answer."""
        if self._output is not None:
            self._output.spend(now, load.output_tokens)

    def notice(self, now: float) -> LimitNotice:
        """What the headers of a reply that is admitted or refused now say."""

        def told(counter: Counter | None, *, step: int = 1) -> Standing | None:
            if counter is None:
                return None
            found = counter.standing(now)
            if not self._is_rough:
                return found
            seconds = math.floor(found.reset_seconds or 0.0)
            return Standing(found.limit, found.remaining // step * step, seconds)

        return LimitNotice(
            requests=told(self._requests),
            input_tokens=told(self._input, step=1_000),
            output_tokens=told(self._output, step=1_000),
            tokens=told(self._tokens),
        )
