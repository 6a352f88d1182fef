"""The last run over time, and how much of the limits its busiest minute used."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from batchai.pricing import from_pico
from batchai.spec.models import Limits
from batchai.store.ticks import Tick
from batchai.store.values import from_ms

_SECOND, _MINUTE, _HOUR, _DAY = 1_000, 60_000, 3_600_000, 86_400_000
_WIDTHS = tuple(
    [count * _SECOND for count in (1, 2, 5, 15, 30)]
    + [count * _MINUTE for count in (1, 2, 5, 15, 30)]
    + [count * _HOUR for count in (1, 3, 6, 12)]
)
_MOST_BUCKETS = 120
_MOST_BY_SECOND_MS = 2 * _HOUR


@dataclass(frozen=True, slots=True)
class Bucket:
    """Attempts sent from `at` on, for the timeline's width. limited: turned away (429, 529, 503).

    input_tokens: without what was read from a cache, as limits count them. busiest_minute: requests
    in those 60 seconds, of all that end here, which saw most: what a limit is on.
    """

    at: datetime
    attempts: int
    succeeded: int
    limited: int
    cost_usd: Decimal
    input_tokens: int
    output_tokens: int
    busiest_minute: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """The last run in about 120 buckets at most; those without an attempt are left out."""

    run: int
    width_seconds: int
    buckets: tuple[Bucket, ...]


@dataclass(frozen=True, slots=True)
class LimitUse:
    """What the busiest minute (or day) of the last run took of a limit.

    limit: its name in the job. allowed: None where the job sets none.
    """

    limit: str
    busiest: int
    allowed: int | None


def tick_width_ms(span_ms: int) -> int:
    """How finely a run of so many ms is read: by seconds, or by minutes where it is long."""
    return _SECOND if span_ms <= _MOST_BY_SECOND_MS else _MINUTE


def timeline(run_id: int, ticks: Sequence[Tick]) -> Timeline | None:
    """The ticks gathered in buckets; None of none."""
    if not ticks:
        return None
    span = ticks[-1].at - ticks[0].at
    width = next((width for width in _WIDTHS if span <= width * _MOST_BUCKETS), _DAY)
    gathered: dict[int, list[tuple[Tick, int]]] = {}
    minutes = _windows(ticks, lambda tick: tick.attempts, _MINUTE)
    for tick, minute in zip(ticks, minutes, strict=True):
        gathered.setdefault(tick.at // width * width, []).append((tick, minute))
    buckets = tuple(_bucket(at, found) for at, found in gathered.items())
    return Timeline(run_id, width // 1000, buckets)


def limit_uses(ticks: Sequence[Tick], limits: Limits) -> tuple[LimitUse, ...]:
    """Requests and tokens of the busiest minute, and of the busiest day where the job limits it."""
    uses = []
    for limit, amount in _AMOUNTS.items():
        allowed = getattr(limits, limit)
        span = _DAY if limit.endswith("_day") else _MINUTE
        if allowed is not None or (ticks and limit in _ALWAYS):
            uses.append(LimitUse(limit, max(_windows(ticks, amount, span), default=0), allowed))
    return tuple(uses)


_ALWAYS = ("requests_per_minute", "input_tokens_per_minute", "output_tokens_per_minute")
_AMOUNTS: dict[str, Callable[[Tick], int]] = {
    "requests_per_minute": lambda tick: tick.attempts,
    "tokens_per_minute": lambda tick: tick.input_tokens + tick.output_tokens,
    "input_tokens_per_minute": lambda tick: tick.input_tokens,
    "output_tokens_per_minute": lambda tick: tick.output_tokens,
    "requests_per_day": lambda tick: tick.attempts,
    "tokens_per_day": lambda tick: tick.input_tokens + tick.output_tokens,
    "input_tokens_per_day": lambda tick: tick.input_tokens,
    "output_tokens_per_day": lambda tick: tick.output_tokens,
}


def _windows(ticks: Sequence[Tick], amount: Callable[[Tick], int], span_ms: int) -> Iterator[int]:
    """The sum over the `span_ms` that end with each tick."""
    total = 0
    inside: deque[Tick] = deque()
    for tick in ticks:
        inside.append(tick)
        total += amount(tick)
        while inside[0].at <= tick.at - span_ms:
            total -= amount(inside.popleft())
        yield total


def _bucket(at: int, found: Sequence[tuple[Tick, int]]) -> Bucket:
    ticks = [tick for tick, _ in found]
    return Bucket(
        at=from_ms(at),
        attempts=sum(tick.attempts for tick in ticks),
        succeeded=sum(tick.succeeded for tick in ticks),
        limited=sum(tick.limited for tick in ticks),
        cost_usd=from_pico(sum(tick.cost_pico for tick in ticks)),
        input_tokens=sum(tick.input_tokens for tick in ticks),
        output_tokens=sum(tick.output_tokens for tick in ticks),
        busiest_minute=max(minute for _, minute in found),
    )
