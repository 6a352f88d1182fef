"""A run over time adds up, and the busiest minute is the busiest one."""

from decimal import Decimal
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from batchai.reports.distributions import bins
from batchai.reports.timeline import LimitUse, limit_uses, timeline
from batchai.spec.models import Limits
from batchai.store.ticks import Tick

_TICKS = st.lists(
    st.tuples(st.integers(0, 5_000), st.integers(1, 50)),
    unique_by=lambda each: each[0],
    max_size=60,
).map(
    lambda pairs: [
        Tick(second * 1000, number, number, 0, 10**9 * number, 7 * number, 3 * number)
        for second, number in sorted(pairs)
    ]
)


@given(_TICKS)
def test_buckets_add_up_and_are_few(ticks: list[Tick]) -> None:
    found = timeline(1, ticks)
    if found is None:
        assert ticks == []
        return
    assert len(found.buckets) <= 122
    assert sum(bucket.attempts for bucket in found.buckets) == sum(tick.attempts for tick in ticks)
    cost = sum((bucket.cost_usd for bucket in found.buckets), Decimal(0))
    assert cost == Decimal(sum(tick.cost_pico for tick in ticks)).scaleb(-12)
    times = [bucket.at.timestamp() for bucket in found.buckets]
    assert times == sorted(set(times))
    assert all(time % found.width_seconds == 0 for time in times)


@given(_TICKS)
def test_no_sixty_seconds_saw_more_than_the_busiest_minute(ticks: list[Tick]) -> None:
    uses = limit_uses(ticks, Limits(requests_per_minute=100, tokens_per_minute=1000))
    busiest = max(
        (
            sum(other.attempts for other in ticks if tick.at <= other.at < tick.at + 60_000)
            for tick in ticks
        ),
        default=0,
    )
    assert LimitUse("requests_per_minute", busiest, 100) in uses
    assert LimitUse("tokens_per_minute", 10 * busiest, 1000) in uses


@given(st.lists(st.integers(0, 10**6), max_size=50))
def test_every_value_is_in_the_bin_that_holds_it(values: list[int]) -> None:
    found = bins(values, least=1)
    assert sum(each.answers for each in found) == len(values)
    for each in found:
        assert each.answers == sum(each.low <= value < each.high for value in values)
    assert all(left.high == right.low for left, right in pairwise(found))
    if found:
        assert found[0].answers > 0 < found[-1].answers
