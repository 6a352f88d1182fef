"""The number of slots: a ramp to a fixed cap, or additive increase and multiplicative decrease."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchai.limits.concurrency import AUTO_CAP, AUTO_START, Adaptive, Concurrency, concurrency_for


def play_round(slots: Concurrency, now: float, *, use: float = 1.0) -> None:
    """As many successes as there are slots, with this share of them in use."""
    limit = slots.limit
    slots.taken(round(limit * use))
    for _ in range(limit):
        slots.succeeded(now)


def test_a_ramp_starts_at_four_and_grows_with_each_success_up_to_its_cap() -> None:
    slots = concurrency_for(6)
    seen = [slots.limit]
    for _ in range(4):
        slots.succeeded(0.0)
        seen.append(slots.limit)

    assert seen == [4, 5, 6, 6, 6]
    assert concurrency_for(2).limit == 2


def test_a_fixed_number_stays_the_users_word_under_congestion() -> None:
    slots = concurrency_for(4)
    slots.congested(0.0)
    slots.faulted(0.0)

    assert slots.limit == 4


def test_adaptive_slots_grow_by_half_at_first_and_by_one_after_congestion() -> None:
    slots = concurrency_for("auto")
    assert slots.limit == AUTO_START
    play_round(slots, 0.0)
    assert slots.limit == 12
    play_round(slots, 1.0)
    assert slots.limit == 18

    slots.congested(2.0)
    assert slots.limit == 14
    play_round(slots, 3.0)
    assert slots.limit == 15


def test_congestion_shrinks_once_in_fifteen_seconds() -> None:
    slots = Adaptive(start=100)
    for now in (10.0, 11.0, 24.9):
        slots.congested(now)
    assert slots.limit == 80

    slots.congested(25.0)
    assert slots.limit == 64


def test_a_round_with_idle_slots_does_not_grow() -> None:
    slots = Adaptive(start=10)
    play_round(slots, 0.0, use=0.7)
    assert slots.limit == 10

    play_round(slots, 1.0, use=0.8)
    assert slots.limit == 15


def test_congestion_within_a_round_starts_it_anew() -> None:
    slots = Adaptive(start=10)
    slots.congested(0.0)
    assert slots.limit == 8
    slots.taken(8)
    for _ in range(7):
        slots.succeeded(1.0)
    slots.congested(2.0)  # debounced, but the round is not clean
    slots.succeeded(3.0)

    assert slots.limit == 8


def test_faults_pause_growth_and_shrink_nothing() -> None:
    slots = Adaptive(start=10)
    slots.faulted(0.0)
    play_round(slots, 14.9)
    assert slots.limit == 10

    play_round(slots, 15.0)
    assert slots.limit == 15


@given(st.lists(st.sampled_from(["round", "congested", "faulted"]), max_size=60))
def test_adaptive_slots_stay_between_one_and_the_cap(signals: list[str]) -> None:
    slots = Adaptive()
    for second, signal in enumerate(signals):
        now = second * 20.0
        before = slots.limit
        match signal:
            case "round":
                play_round(slots, now)
                assert slots.limit >= before
            case "congested":
                slots.congested(now)
                assert slots.limit <= max(1, before)
            case _:
                slots.faulted(now)
                assert slots.limit == before
        assert 1 <= slots.limit <= AUTO_CAP


def test_adaptive_slots_find_the_level_that_a_provider_bears() -> None:
    slots = Adaptive()
    bearable, levels = 60, []
    for second in range(0, 2_000, 5):
        now = float(second)
        if slots.limit > bearable:
            slots.congested(now)
        else:
            play_round(slots, now)
        levels.append(slots.limit)

    assert max(levels) <= bearable * 1.5
    assert sum(levels[40:]) / len(levels[40:]) == pytest.approx(bearable * 0.9, rel=0.08)


@pytest.mark.parametrize("setting", [100, "auto"])
def test_a_restart_begins_with_few_slots_and_grows_as_fast_as_at_first(setting: Any) -> None:
    slots = concurrency_for(setting)
    first = slots.limit
    for round_number in range(4):
        play_round(slots, float(round_number))
    slots.congested(5.0)
    slots.restart()
    assert slots.limit == first

    play_round(slots, 30.0)
    assert slots.limit >= first * 1.5
