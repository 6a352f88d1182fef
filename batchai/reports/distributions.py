"""How latencies and tokens of answers spread: percentiles, and bins for a histogram."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from batchai.store.aggregates import Answered

_STEPS = (1, 1.2, 1.5, 1.8, 2.2, 2.7, 3.3, 3.9, 4.7, 5.6, 6.8, 8.2)  # a decade in equal ratios

_NARROW = 10  # times the least value: within it, bins are of one width
_BINS = 20


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds until an answer: half of the answers came within p50, 95 % within p95."""

    p50_seconds: float
    p95_seconds: float


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers of at least `low` and below `high`."""

    low: float
    high: float
    answers: int


@dataclass(frozen=True, slots=True)
class Distributions:
    """Over answered attempts of all runs, or over an even sample of about 100,000 of them.

    Bins adjoin; the first and the last are not empty. Latency is in seconds.
    """

    answers: int
    is_sample: bool
    latency_seconds: tuple[Bin, ...]
    input_tokens: tuple[Bin, ...]
    output_tokens: tuple[Bin, ...]


def distributions(answered: Sequence[Answered], *, is_all: bool) -> Distributions:
    """The bins of what was answered."""
    return Distributions(
        answers=len(answered),
        is_sample=not is_all,
        latency_seconds=bins([answer.latency_ms / 1000 for answer in answered], least=0.001),
        input_tokens=bins([answer.input_tokens for answer in answered], least=1),
        output_tokens=bins([answer.output_tokens for answer in answered], least=1),
    )


def bins(values: Sequence[float], *, least: float) -> tuple[Bin, ...]:
    """Counts in bins of round edges: of one width, or widening where values spread far."""
    if not values:
        return ()
    edges = _edges(least, max(values))
    if max(values) <= _NARROW * min(values):
        edges = _even_edges(least, min(values), max(values))
    counts = [0] * (len(edges) - 1)
    place = 0
    for value in sorted(values):
        while value >= edges[place + 1] and place + 2 < len(edges):
            place += 1
        counts[place] += 1
    found = [Bin(*ends) for ends in zip(edges, edges[1:], counts, strict=False)]
    first = next(place for place, each in enumerate(found) if each.answers)
    return tuple(found[first : place + 1])


def latency_of(milliseconds: Sequence[int]) -> Latency | None:
    """Percentiles by nearest rank of ascending milliseconds; None of none."""
    if not milliseconds:
        return None
    return Latency(_percentile(milliseconds, 50), _percentile(milliseconds, 95))


def latencies_of(answered: Sequence[Answered]) -> dict[str, list[int]]:
    """Milliseconds by model, ascending."""
    found: dict[str, list[int]] = {}
    for answer in answered:
        found.setdefault(answer.model, []).append(answer.latency_ms)
    return {model: sorted(values) for model, values in found.items()}


def _percentile(milliseconds: Sequence[int], percent: int) -> float:
    rank = -(-len(milliseconds) * percent // 100)
    return milliseconds[rank - 1] / 1000


def _even_edges(least: float, low: float, high: float) -> list[float]:
    """Multiples of a round number, about twenty of them, from `low` or below to above `high`."""
    rough = max((high - low) / _BINS, least)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * each for each in (1, 2, 5, 10) if power * each >= rough)
    first = math.floor(low / step)
    return [round(step * each, 6) for each in range(first, math.floor(high / step) + 2)]


def _edges(least: float, most: float) -> list[float]:
    """0, and from `least` up in equal ratios, until one is above `most`."""
    edges: list[float] = [0.0]
    decade = least
    while edges[-1] <= most:
        steps = (decade * step for step in _STEPS)
        # what is counted has whole numbers for edges, each once
        edges += [round(step, 6) if least < 1 else float(round(step)) for step in steps]
        decade *= 10
    return sorted(set(edges))
