"""One atomic acquire over requests, tokens, slots and money; first come, first served.

Only the head of the queue looks at limits; all others wait for its turn to end (asyncio.Lock hands
itself on in order). The head takes everything in one step without an await, or nothing. What it
takes is stamped then, after the pacer and just before the request leaves.
"""

import asyncio
import random
from collections.abc import Iterable
from decimal import Decimal

from aiolimiter import AsyncLimiter

from batchai.clock import Clock
from batchai.errors import BudgetExhaustedError, OverLimitError
from batchai.limits.account import Account
from batchai.limits.budget import Budget
from batchai.limits.concurrency import RAMP_START, concurrency_for
from batchai.limits.load import Load
from batchai.limits.permit import Ask, Past, Permit
from batchai.limits.windows import Caps, Obstacle, SlidingWindow
from batchai.spec.models import Limits

# Requests arrive later than they are stamped, by less or more: a window of 60 s here could be more
# than the limit there. A quarter of a second covers the jitter.
SLACK_SECONDS = 0.25
MINUTE_RESOLUTION_SECONDS = 0.02
DAY_RESOLUTION_SECONDS = 60.0
BURST_SECONDS = 0.25  # of the rate may leave at once: a wake-up that late is made up
JITTER_SHARE = 0.1
JITTER_MAX_SECONDS = 5.0
_TICK_SECONDS = 1e-6  # added to waits, so that rounding cannot end one just before its time


class Gate:
    """Admission to one account: provider, key and model family. Made and used on one running loop.

    load: the bytes in flight, also through other gates; None: through this one alone.
    past: requests that earlier processes sent, so that a restart does not allow twice the limit.
    rng: for the jitter of `hold`; seed it to repeat a run.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        clock: Clock,
        budget: Budget | None = None,
        load: Load | None = None,
        past: Iterable[Past] = (),
        rng: random.Random | None = None,
    ) -> None:
        self._clock = clock
        self._rng = rng or random.Random()
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._in_flight = 0
        self._floor = float("-inf")  # Retry-After: nothing leaves before
        self._probes = False  # one request at a time until one is served
        self._is_paused = False
        self._waits_for: str | None = None
        self._ready_at: float | None = None
        self._has_pace = False  # a place in the pacer that is taken and not used yet
        self._budget = budget or Budget(None)
        self._budget.watch(self._changed.set)
        self._load = load or Load()
        self._load.watch(self._changed.set)
        self._limits = limits
        self._minute = SlidingWindow(
            period="minute",
            period_seconds=60 + SLACK_SECONDS,
            resolution_seconds=MINUTE_RESOLUTION_SECONDS,
        )
        self._day = SlidingWindow(
            period="day",
            period_seconds=86_400 + SLACK_SECONDS,
            resolution_seconds=DAY_RESOLUTION_SECONDS,
        )
        self._windows = (self._minute, self._day)
        self._account = Account(self._minute)
        self._set_caps(limits)
        self._pacer = _pacer(limits.requests_per_minute)
        self._concurrency = concurrency_for(limits.concurrency)
        self._remember(past)

    @property
    def in_flight(self) -> int:
        """Permits that are not released."""
        return self._in_flight

    @property
    def concurrency(self) -> int:
        """Slots that there are now."""
        return self._concurrency.limit

    @property
    def waiting_for(self) -> str | None:
        """What the head of the queue waits for, or None.

        "resume", "slots", "bytes in flight", "probe", "budget", "retry-after", or a limit: "input
        tokens per minute" where it is the user's, "input tokens per minute of the account" where
        replies name it.
        """
        return self._waits_for

    @property
    def next_admission_seconds(self) -> float | None:
        """Seconds until the head may go, at least; 0 if nobody waits, None if an event decides."""
        if self._waits_for is None:
            return 0.0
        if self._ready_at is None:
            return None
        return max(0.0, self._ready_at - self._clock.monotonic())

    async def acquire(self, ask: Ask) -> Permit:
        """Wait for a turn, then until everything fits at once.

        Raises OverLimitError when a limit can never admit the request, BudgetExhaustedError when
        the rest of the budget does not cover its worst cost and no settlement can change that.
        Nothing is taken then, nor when the caller is cancelled.
        """
        async with self._turn:
            try:
                while True:
                    now = self._clock.monotonic()
                    obstacle = self._obstacle(ask, now)
                    if obstacle is not None:
                        await self._wait(obstacle, now)
                    elif await self._pace(now):
                        return self._take(ask, now)
            finally:
                self._waits_for = None

    def hold(self, seconds: float, probe: bool = False) -> None:
        """Let nothing leave for `seconds` (a Retry-After), plus up to 10 % or 5 s of jitter.

        probe: let one request at a time leave then, until one is served.
        """
        self._probes |= probe
        if seconds > 0:
            jitter = self._rng.uniform(0, min(JITTER_MAX_SECONDS, seconds * JITTER_SHARE))
            self._floor = max(self._floor, self._clock.monotonic() + seconds + jitter)

    def pause(self) -> None:
        """Let nothing leave until `resume`."""
        self._is_paused = True

    def resume(self) -> None:
        """Lift a pause."""
        self._is_paused = False
        self._changed.set()

    def succeeded(self) -> None:
        """Say that a request was served: the number of slots may grow."""
        if self._probes:
            self.restart()
        self._concurrency.succeeded(self._clock.monotonic())
        self._changed.set()

    def congested(self) -> None:
        """Say that the provider answered 429 or 529: an adaptive number of slots shrinks."""
        self._concurrency.congested(self._clock.monotonic())

    def faulted(self) -> None:
        """Say that the provider failed (5xx, timeout): adaptive slots stop growing for a while."""
        self._concurrency.faulted(self._clock.monotonic())

    def restart(self) -> None:
        """Begin with few slots again; the limits stay as they are."""
        self._probes = False
        self._concurrency.restart()

    def tune(self, limits: Limits) -> None:
        """Change the limits in mid-run; what is in flight stays, what was counted still counts."""
        before, self._limits = self._limits, limits
        self._set_caps(limits)
        self._account.forget()
        if limits.requests_per_minute != before.requests_per_minute:
            self._pacer = _pacer(limits.requests_per_minute)
        if limits.concurrency != before.concurrency:
            start = max(RAMP_START, self._concurrency.limit)
            self._concurrency = concurrency_for(limits.concurrency, start=start)
        self._changed.set()

    def _set_caps(self, limits: Limits) -> None:
        self._minute.caps = Caps(
            requests=limits.requests_per_minute,
            input_tokens=limits.input_tokens_per_minute,
            output_tokens=limits.output_tokens_per_minute,
            tokens=limits.tokens_per_minute,
        )
        self._day.caps = Caps(
            requests=limits.requests_per_day,
            input_tokens=limits.input_tokens_per_day,
            output_tokens=limits.output_tokens_per_day,
            tokens=limits.tokens_per_day,
        )

    def _obstacle(self, ask: Ask, now: float) -> Obstacle | None:
        """The first thing in the way; raises where it can never go away."""
        if self._is_paused:
            return Obstacle("resume")
        if now < self._floor:
            return Obstacle("retry-after", self._floor - now)
        for window in self._windows:
            obstacle = window.obstacle(now, ask.input_tokens, ask.output_tokens)
            if obstacle is not None:
                _refuse_oversize(ask, window)
                return obstacle
        obstacle = self._account.obstacle(now, ask.input_tokens, ask.output_tokens)
        if obstacle is not None:
            return obstacle
        if not self._budget.fits(ask.worst_cost):
            _refuse_unaffordable(ask, self._budget)
            return Obstacle("budget")
        if self._probes and self._in_flight:
            return Obstacle("probe")
        if self._in_flight >= self._concurrency.limit:
            return Obstacle("slots")
        if not self._load.fits(ask.size_bytes):
            return Obstacle("bytes in flight")
        return None

    async def _wait(self, obstacle: Obstacle, now: float) -> None:
        self._changed.clear()
        self._waits_for = obstacle.reason
        seconds = obstacle.wait_seconds
        self._ready_at = None if seconds is None else now + seconds
        await self._clock.wait(self._changed, None if seconds is None else seconds + _TICK_SECONDS)

    async def _pace(self, now: float) -> bool:
        """Take a place in the pacer; False if that took time, so that anything may have changed."""
        pacer = self._pacer
        if pacer is None or self._has_pace:
            return True
        is_free = pacer.has_capacity()
        if not is_free:
            self._waits_for = "requests per minute"
            self._ready_at = now + pacer.time_period / pacer.max_rate
        await pacer.acquire()
        # kept for the next head if this one meets an obstacle or is cancelled
        self._has_pace = True
        return is_free

    def _take(self, ask: Ask, now: float) -> Permit:
        places = tuple(
            [
                (window, window.add(now, ask.input_tokens, ask.output_tokens))
                for window in self._windows
            ]
        )
        mark = self._account.take(now, ask.input_tokens, ask.output_tokens)
        self._budget.reserve(ask.worst_cost)
        self._load.take(ask.size_bytes)
        self._has_pace = False
        self._in_flight += 1
        self._concurrency.taken(self._in_flight)
        return Permit(
            ask,
            places=places,
            budget=self._budget,
            account=self._account,
            mark=mark,
            free_slot=self._free_slot,
        )

    def _free_slot(self, size_bytes: int) -> None:
        self._load.free(size_bytes)
        self._in_flight -= 1
        self._changed.set()

    def _remember(self, past: Iterable[Past]) -> None:
        now = self._clock.monotonic()
        for sent in sorted(past, key=lambda sent: sent.age_seconds, reverse=True):
            age = max(0.0, sent.age_seconds)  # the wall clock may have been set back
            for window in self._windows:
                if age < window.period_seconds:
                    window.add(now - age, sent.input_tokens, sent.output_tokens, sent.requests)


def _pacer(requests_per_minute: int | None) -> AsyncLimiter | None:
    """Even starts: providers may enforce 60 a minute as one a second. Only ever acquired by 1."""
    if not requests_per_minute:
        return None
    rate = requests_per_minute / 60
    burst = max(2, 1 + int(rate * BURST_SECONDS)) if rate > 1 else 1
    return AsyncLimiter(burst, burst / rate)


def _refuse_oversize(ask: Ask, window: SlidingWindow) -> None:
    found = window.oversize(ask.input_tokens, ask.output_tokens)
    if found is not None:
        name, cap, amount = found
        raise OverLimitError(
            f"limits.{name}: one request needs {amount:,} of {cap:,} and would wait for ever;"
            " raise the limit, shorten the item, or lower model.max_tokens"
        )


def _refuse_unaffordable(ask: Ask, budget: Budget) -> None:
    if not budget.may_fit_later(ask.worst_cost):
        raise BudgetExhaustedError(
            f"budget_usd: {_usd(budget.spent)} of {_usd(budget.limit)} is spent and"
            f" {_usd(budget.unconfirmed)} unconfirmed; the next request may cost up to"
            f" {_usd(ask.worst_cost)};"
            " continue with a higher --budget"
        )


def _usd(amount: Decimal | None) -> str:
    """The exact amount, and never as 0E-12."""
    return "any amount" if amount is None else f"${amount.normalize():f}"
