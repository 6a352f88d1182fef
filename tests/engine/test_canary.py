"""A broken job is stopped early, a healthy one never."""

from decimal import Decimal

import pytest

from batchai.engine.canary import Canary, Failure, FailureWatch

INVALID = Failure("invalid", "mood: 'fine' is not one of good, bad")


def test_no_more_than_the_canary_begins_before_half_of_it_succeeded() -> None:
    canary = Canary(4)
    for _ in range(4):
        assert canary.admits
        canary.begin()
    assert not canary.admits

    canary.succeeded()
    assert not canary.admits
    canary.succeeded()
    assert canary.admits


def test_more_than_half_of_the_canary_failing_says_why_and_shows_an_example() -> None:
    canary = Canary(4)

    assert canary.failed(INVALID) is None
    assert canary.failed(Failure("truncated", "cut off")) is None
    assert canary.failed(INVALID) == (
        "3 of the first 4 items failed, 2 of them invalid, such as: "
        "mood: 'fine' is not one of good, bad"
    )


def test_a_canary_that_passed_stops_nothing() -> None:
    canary = Canary(4)
    canary.succeeded()
    canary.succeeded()

    assert all(canary.failed(INVALID) is None for _ in range(50))


@pytest.mark.parametrize("share", ["0.5", "0.51", "1"])
def test_a_stop_never_fires_below_its_threshold(share: str) -> None:
    watch = FailureWatch(share=Decimal(share), of_last=100)
    for _ in range(20):  # 49 failures in any hundred
        for _ in range(49):
            assert watch.failed(INVALID) is None
        for _ in range(51):
            watch.succeeded()


def test_a_stop_fires_at_its_threshold_and_not_before_enough_are_settled() -> None:
    watch = FailureWatch(share=Decimal("0.5"), of_last=10)
    assert all(watch.failed(INVALID) is None for _ in range(9))
    assert watch.failed(INVALID) is not None

    watch = FailureWatch(share=Decimal("0.5"), of_last=10)
    for _ in range(10):
        watch.succeeded()
    assert all(watch.failed(INVALID) is None for _ in range(4))
    assert str(watch.failed(INVALID)).startswith("5 of the last 10 items failed, 5 of them invalid")
