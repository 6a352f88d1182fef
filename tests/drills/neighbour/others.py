"""The other users of an account: when their requests come, drawn once from a seed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Habits:
    """Shares are of the account's limit of requests a minute.

    steady: single requests at random times. bursts: batches of `burst_size` on average, each within
    two seconds. Now and then somebody works for some minutes and adds `work`, half of the time.
    """

    steady: float = 0.15
    bursts: float = 0.10
    burst_size: float = 12.0
    work: float = 0.30
    work_seconds: float = 150.0


def arrivals(habits: Habits, limit: int, *, seconds: float, seed: int) -> list[float]:
    """When their requests come, in order, from 0 on."""
    rng = random.Random(seed)
    per_second = limit / 60
    times = list(_poisson(rng, habits.steady * per_second, 0.0, seconds))
    for start in _poisson(rng, habits.bursts * per_second / habits.burst_size, 0.0, seconds):
        size = 1 + int(rng.expovariate(1 / habits.burst_size))
        times.extend(start + rng.uniform(0, 2.0) for _ in range(size))
    begin = rng.expovariate(1 / habits.work_seconds)
    while begin < seconds:
        end = begin + rng.expovariate(1 / habits.work_seconds)
        times.extend(_poisson(rng, habits.work * per_second, begin, min(end, seconds)))
        begin = end + rng.expovariate(1 / habits.work_seconds)
    return sorted(time for time in times if time < seconds)


def _poisson(rng: random.Random, rate: float, begin: float, end: float) -> Iterator[float]:
    if rate <= 0:
        return
    time = begin + rng.expovariate(rate)
    while time < end:
        yield time
        time += rng.expovariate(rate)
