import math
import random

import pytest

from batchai.forecast import LEAST_SAMPLE, forecast, is_like


def test_what_follows_size_alone_is_foretold_exactly() -> None:
    found = forecast([(x, 3 + 2 * x) for x in range(1, 31)], count=10, size=500)
    assert found.expected == pytest.approx(3 * 10 + 2 * 500)
    assert found.low <= found.expected <= found.high


def test_nothing_left_has_no_doubt() -> None:
    found = forecast([(1, y) for y in (1, 5, 9, 2, 7)], count=0, size=0)
    assert (found.low, found.expected, found.high) == (0, 0, 0)


def test_a_small_sample_without_spread_in_size_has_the_mean_and_a_wide_interval() -> None:
    found = forecast([(7, y) for y in range(LEAST_SAMPLE)], count=100, size=700)
    assert found.expected == 200
    assert found.low < 100 < 300 < found.high


@pytest.mark.parametrize(("variation", "least"), [(0.1, 0.85), (0.4, 0.85), (1.0, 0.8)])
def test_the_sum_lies_within_the_interval_as_often_as_said(variation: float, least: float) -> None:
    sigma = math.sqrt(math.log(1 + variation**2))
    within = 0
    for seed in range(300):
        chance = random.Random(seed)
        items = []
        for _ in range(300):
            size = chance.lognormvariate(4, 0.5)
            cost = size + 500 * chance.lognormvariate(-(sigma**2) / 2, sigma)
            items.append((size, cost * (2 if chance.random() < 0.03 else 1)))
        sample, rest = items[:30], items[30:]
        found = forecast(sample, count=len(rest), size=sum(size for size, _ in rest))
        within += found.low <= sum(cost for _, cost in rest) <= found.high
    assert within >= least * 300


def test_items_of_quite_another_size_are_no_matter_of_this_sample() -> None:
    sizes = [20.0, 21.0, 22.0, 20.5, 21.5]
    assert is_like(sizes, 22.0)
    assert is_like([20.0] * 5, 24.0)
    assert not is_like(sizes, 60.0)
    assert not is_like([20.0] * 5, 60.0)
