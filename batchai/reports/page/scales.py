"""From values to places on a chart, and the round numbers on its axes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

_ROUND = (1, 2, 2.5, 5, 10)
_TIME_STEPS = tuple(
    timedelta(seconds=seconds)
    for seconds in (
        *(1, 2, 5, 10, 15, 30),
        *(60 * minutes for minutes in (1, 2, 5, 10, 15, 30)),
        *(3600 * hours for hours in (1, 2, 3, 6, 12)),
        *(86_400 * days for days in (1, 2, 7, 14, 28, 84, 336)),
    )
)


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from `low` to `high` on places from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        """Where a value lies, to a tenth."""
        width = (self.high - self.low) or 1
        return round(self.start + (value - self.low) / width * (self.end - self.start), 1)


def round_ticks(most: float, *, count: int = 4, whole: bool = False) -> list[float]:
    """About `count` round numbers from 0 up, the last one at or above `most`."""
    if most <= 0:
        return [0, 1]
    rough = most / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * each for each in _ROUND if power * each >= rough)
    if whole:
        step = max(1, math.ceil(step))
    ticks = [0.0]
    while ticks[-1] < most * (1 - 1e-9):
        ticks.append(round(step * len(ticks), 12))
    return ticks


def time_ticks(start: datetime, end: datetime, *, most: int = 5) -> list[datetime]:
    """At most `most` round times within."""
    span = end - start
    step = next((step for step in _TIME_STEPS if span <= step * most), _TIME_STEPS[-1])
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    first = midnight - (midnight - start) // step * step
    ticks: list[datetime] = []
    while first <= end and len(ticks) < 2 * most:
        if first >= start:
            ticks.append(first)
        first += step
    return ticks


def time_words(times: Sequence[datetime]) -> list[str]:
    """Labels of ticks: seconds, minutes or days, as far apart as they are."""
    step = times[1] - times[0] if len(times) > 1 else timedelta(minutes=1)
    if step < timedelta(minutes=1):
        return [f"{time:%H:%M:%S}" for time in times]
    if step >= timedelta(days=1):
        return [f"{time:%b} {time.day}" for time in times]
    return [f"{time:%H:%M}" for time in times]


def short(number: float) -> str:
    """`950`, `1.2k`, `3.4M`: at most three digits."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"
