"""From items that were done to the sum over those that are not, with a 90 % interval.

What an item costs depends on its size, which is known of every item beforehand, and on chance. So
the sum is a regression on size; the interval is that of the prediction of a sum over a finite
number of further items (Cochran, Sampling Techniques, ch. 7): it has the chance in the sample, in
the slope, and in the items to come, and shrinks to nothing as fewer of them are left.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, pstdev

LEAST_SAMPLE = 5  # below it there is no interval to speak of
_LEAST_FOR_SLOPE = 10
# Of an item paid for twice, in the interval beside those of the sample: that none of thirty was
# retried does not prove that none will be (Jeffreys' prior for a rate).
_UNSEEN = 0.5
_FAR = 2.0  # standard deviations of the sample's sizes
_NEAR_SHARE = 0.25  # of the mean size, which is no other lot even where all were of one size
_TAIL = NormalDist().inv_cdf(0.95)


@dataclass(frozen=True, slots=True)
class Forecast:
    """A sum to come: what is expected of it, and between which bounds it lies in 90 of 100."""

    expected: float
    low: float
    high: float


def forecast(sample: Sequence[tuple[float, float]], *, count: int, size: float) -> Forecast:
    """The sum of values over `count` further items of together `size`.

    sample: (size, value) of items drawn at random from the same lot, LEAST_SAMPLE at least.
    """
    number = len(sample)
    if not count:
        return Forecast(0.0, 0.0, 0.0)
    mean_size = fmean(x for x, _ in sample)
    mean = fmean(y for _, y in sample)
    spread = sum((x - mean_size) ** 2 for x, _ in sample)
    has_slope = number >= _LEAST_FOR_SLOPE and spread > 0
    slope = sum((x - mean_size) * (y - mean) for x, y in sample) / spread if has_slope else 0.0
    away = size / count - mean_size if has_slope else 0.0
    rests = [y - mean - slope * (x - mean_size) for x, y in sample]
    freedom = number - (2 if has_slope else 1)
    variance = (sum(rest**2 for rest in rests) + _UNSEEN * mean**2) / freedom
    doubt = 1 / number + 1 / count + (away**2 / spread if has_slope else 0.0)
    margin = _t_quantile(freedom) * math.sqrt(variance * doubt)
    expected = mean + slope * away
    cubes = sum(rest**3 for rest in rests) + _UNSEEN * mean**3
    lean = _skew(cubes, variance, number)
    low, high = expected + lean - margin, expected + lean + margin
    return Forecast(
        max(0.0, expected) * count, max(0.0, min(low, expected)) * count, max(high, 0.0) * count
    )


def is_like(sizes: Sequence[float], mean_size: float) -> bool:
    """Whether items of such a mean size are of the lot that a sample of these sizes is from.

    A regression over a narrow range of sizes says nothing of items far outside of it.
    """
    mean = fmean(sizes)
    away = abs(mean_size - mean)
    return away <= _FAR * pstdev(sizes) or away <= _NEAR_SHARE * mean


def _skew(cubes: float, variance: float, number: int) -> float:
    """How far a long tail to one side moves the interval's middle (Johnson, JASA 73, 1978)."""
    if not variance:
        return 0.0
    third = number * cubes / ((number - 1) * (number - 2))
    return third / (6 * variance * number)


def _t_quantile(freedom: int) -> float:
    """The 95 % quantile of Student's t by Fisher's expansion: right to 0.3 % from 3 on."""
    z, n = _TAIL, freedom
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    )
