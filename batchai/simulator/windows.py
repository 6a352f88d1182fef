"""What an account may still use: the provider's sliding windows, unrelated to the engine's gate."""

import random
from collections import deque
from dataclasses import dataclass

from batchai.simulator.settings import AccountLimits, Neighbours


@dataclass(frozen=True, slots=True)
class Charge:
    """What a request takes from the windows when it arrives."""

    requests: int = 1
    tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an account stands in one window; reset_seconds: until all of it is free again."""

    kind: str
    limit: int
    remaining: int
    reset_seconds: float


@dataclass(frozen=True, slots=True)
class Excess:
    """Why a request is refused, and after how many seconds it would fit."""

    kind: str
    limit: int
    requested: int
    wait_seconds: float


class SlidingWindow:
    """Amounts spent within the last `seconds`."""

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit = limit
        self._seconds = seconds
        self._spent: deque[tuple[float, int]] = deque()
        self._used = 0

    def used(self, now: float) -> int:
        """What was spent within the window that ends now."""
        while self._spent and self._spent[0][0] <= now - self._seconds:
            self._used -= self._spent.popleft()[1]
        return self._used

    def spend(self, now: float, amount: int) -> None:
        """Count an amount, whether it fits or not."""
        if amount:
            self._spent.append((now, amount))
            self._used += amount

    def wait_seconds(self, now: float, amount: int) -> float:
        """Seconds until the amount fits: 0 when it does, the whole window when it never will."""
        excess = self.used(now) + amount - self.limit
        if excess <= 0:
            return 0.0
        for spent_at, spent in self._spent:
            excess -= spent
            if excess <= 0:
                return spent_at + self._seconds - now
        return self._seconds

    def reset_seconds(self, now: float) -> float:
        """Seconds until nothing of what was spent counts any more."""
        return self._spent[-1][0] + self._seconds - now if self.used(now) else 0.0


class Account:
    """One account's windows with all its users. Times must not go backwards."""

    def __init__(self, limits: AccountLimits, neighbours: Neighbours | None, now: float) -> None:
        self._windows = {
            kind: SlidingWindow(limit, limits.window_seconds)
            for kind in ("requests", "tokens", "input_tokens", "output_tokens")
            if (limit := getattr(limits, kind)) is not None
        }
        self._neighbours = neighbours
        self._random = random.Random(neighbours.seed if neighbours else 0)
        self._next_neighbour = now + self._pause_seconds()
        self.neighbours_served = 0
        self.neighbours_refused = 0

    def admit(self, now: float, charge: Charge) -> Excess | None:
        """Take the charge from every window, or nothing and say what is exceeded."""
        self._let_neighbours(now)
        return self._take(now, charge)

    def produced(self, now: float, charge: Charge) -> None:
        """Count what was written in answer to a request that was admitted."""
        for kind, window in self._windows.items():
            window.spend(now, getattr(charge, kind))

    def standings(self, now: float) -> list[Standing]:
        """Every window as it stands, for the headers."""
        return [
            Standing(
                kind,
                window.limit,
                max(0, window.limit - window.used(now)),
                window.reset_seconds(now),
            )
            for kind, window in self._windows.items()
        ]

    def _take(self, now: float, charge: Charge) -> Excess | None:
        for kind, window in self._windows.items():
            # output is unknown before it is written: a request passes while any is left
            amount = 1 if kind == "output_tokens" else getattr(charge, kind)
            if (wait := window.wait_seconds(now, amount)) > 0:
                return Excess(kind, window.limit, amount, wait)
        for kind, window in self._windows.items():
            window.spend(now, getattr(charge, kind))
        return None

    def _let_neighbours(self, now: float) -> None:
        """Play what the other users did until now."""
        if self._neighbours is None:
            return
        tokens = self._neighbours.tokens_per_request
        while self._next_neighbour <= now:
            refused = self._take(self._next_neighbour, Charge(tokens=tokens, input_tokens=tokens))
            self.neighbours_refused += refused is not None
            self.neighbours_served += refused is None
            self._next_neighbour += self._pause_seconds()

    def _pause_seconds(self) -> float:
        if self._neighbours is None or self._neighbours.requests_per_second <= 0:
            return float("inf")
        return self._random.expovariate(self._neighbours.requests_per_second)
