"""Estimates of tokens and their calibration."""

import random

import pytest

from batchai.limits import Calibration, estimate_tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("é" * 4, 2), ("漢" * 4, 3), ("\ud800", 1)],
)
def test_an_estimate_is_a_quarter_of_the_bytes_rounded_up(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


def test_before_any_observation_an_estimate_is_reserved_with_a_tenth_on_top() -> None:
    assert Calibration().reserve(1_001) == 1_102
    assert Calibration().reserve(0) == 0


def test_one_observation_already_replaces_the_guess() -> None:
    calibration = Calibration()
    calibration.observe(estimate=100, actual=50)

    assert calibration.reserve(1_001) == 551


def test_twenty_replies_are_enough_for_reservations_that_mostly_suffice() -> None:
    rng = random.Random(7)
    calibration = Calibration()
    kept = 0
    for number in range(220):
        estimate = rng.randint(200, 2_000)
        actual = round(estimate * rng.gauss(1.3, 0.05))
        if number >= 20:
            kept += actual <= calibration.reserve(estimate)
        calibration.observe(estimate=estimate, actual=actual)

    assert kept >= 180
    assert calibration.ratio == pytest.approx(1.3, rel=0.05)


def test_observations_that_say_nothing_are_ignored() -> None:
    calibration = Calibration()
    calibration.observe(estimate=0, actual=10)
    calibration.observe(estimate=10, actual=-1)

    assert (calibration.ratio, calibration.observations) == (1.0, 0)


def test_the_ratio_follows_a_change() -> None:
    calibration = Calibration()
    for _ in range(50):
        calibration.observe(estimate=100, actual=100)
    for _ in range(50):
        calibration.observe(estimate=100, actual=20)

    assert calibration.ratio == pytest.approx(0.2, abs=0.01)
