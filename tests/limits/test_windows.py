"""Sliding windows: exact sums, conservative merging, bounded memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchai.limits.windows import Caps, SlidingWindow


def window(caps: Caps, *, period: float = 60.25, resolution: float = 0.0) -> SlidingWindow:
    made = SlidingWindow(period="minute", period_seconds=period, resolution_seconds=resolution)
    made.caps = caps
    return made


@pytest.mark.parametrize(
    ("caps", "reason"),
    [
        (Caps(requests=2), "requests per minute"),
        (Caps(input_tokens=25), "input tokens per minute"),
        (Caps(output_tokens=7), "output tokens per minute"),
        (Caps(tokens=35), "tokens per minute"),
    ],
    ids=str,
)
def test_each_cap_holds_back_the_third_request_until_the_first_has_left(
    caps: Caps, reason: str
) -> None:
    made = window(caps)
    made.add(100.0, 10, 3)
    made.add(130.0, 10, 3)

    obstacle = made.obstacle(140.0, 10, 3)

    assert obstacle is not None
    assert obstacle.reason == reason
    assert obstacle.wait_seconds == pytest.approx(20.25)
    assert made.obstacle(160.24, 10, 3) is not None
    assert made.obstacle(160.25, 10, 3) is None


def test_the_limit_that_takes_longest_is_the_one_named() -> None:
    made = window(Caps(requests=1, input_tokens=100))
    made.add(0.0, 90, 0)
    made.add(30.0, 1, 0)

    obstacle = made.obstacle(31.0, 5, 0)

    assert obstacle is not None
    assert obstacle.reason == "requests per minute"
    assert obstacle.wait_seconds == pytest.approx(59.25)


def test_no_caps_never_hold_anything_back() -> None:
    made = window(Caps())
    for second in range(100):
        made.add(float(second), 10**9, 10**9)

    assert made.obstacle(99.0, 10**9, 10**9) is None


def test_a_request_larger_than_a_cap_is_named_with_both_numbers() -> None:
    made = window(Caps(requests=5, input_tokens=100, tokens=120))

    assert made.oversize(100, 20) is None
    assert made.oversize(101, 0) == ("input_tokens_per_minute", 100, 101)
    assert made.oversize(100, 21) == ("tokens_per_minute", 120, 121)
    made.caps = Caps(requests=0)
    assert made.oversize(0, 0) == ("requests_per_minute", 0, 1)


def test_a_correction_counts_in_the_window_of_the_reservation_and_nowhere_after_it() -> None:
    made = window(Caps(tokens=100))
    entry = made.add(0.0, 60, 40)
    made.correct(entry, -50, -40)

    assert made.obstacle(30.0, 90, 0) is None
    assert made.obstacle(30.0, 91, 0) is not None
    assert made.obstacle(60.25, 100, 0) is None

    made.correct(entry, 1_000, 1_000)
    assert made.tokens == 0


def test_merged_entries_leave_with_their_newest_part_and_never_earlier() -> None:
    made = window(Caps(requests=2), period=60.0, resolution=10.0)
    made.add(0.0, 1, 1)
    made.add(9.0, 1, 1)

    assert made.obstacle(60.0, 1, 1) is not None
    assert made.obstacle(69.0, 1, 1) is None


def test_memory_is_bounded_by_period_over_resolution() -> None:
    made = window(Caps(requests=10**9), period=86_400.0, resolution=60.0)
    for number in range(200_000):
        made.obstacle(float(number), 1, 1)
        made.add(float(number), 1, 1)

    assert len(made._entries) <= 86_400 / 60 + 1
    assert 86_400 <= made.requests <= 86_400 + 60


@given(
    st.lists(st.tuples(st.floats(0, 40), st.integers(0, 50), st.integers(0, 1)), max_size=40),
    st.sampled_from([0.0, 0.02, 5.0]),
)
def test_sums_are_never_below_the_true_ones(
    steps: list[tuple[float, int, int]], resolution: float
) -> None:
    made = window(Caps(), resolution=resolution)
    seen: list[tuple[float, int]] = []
    now = 0.0
    for delay, tokens, is_added in steps:
        now += delay
        made.obstacle(now, 0, 0)
        if is_added:
            made.add(now, tokens, 0)
            seen.append((now, tokens))
        true_sum = sum(amount for stamp, amount in seen if stamp + 60.25 > now)
        lenient = sum(amount for stamp, amount in seen if stamp + 60.25 + resolution > now)
        assert true_sum <= made.input_tokens <= lenient
