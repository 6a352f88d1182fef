"""Money by reservation."""

from decimal import Decimal

from batchai.limits import Budget

CENT = Decimal("0.01")


def test_a_reservation_fits_up_to_the_last_cent_and_not_beyond() -> None:
    budget = Budget(10 * CENT, spent=4 * CENT, unconfirmed=1 * CENT)
    budget.reserve(3 * CENT)

    assert budget.available == 2 * CENT
    assert budget.fits(2 * CENT)
    assert not budget.fits(2 * CENT + Decimal("1e-12"))


def test_a_settlement_gives_back_what_was_not_spent() -> None:
    budget = Budget(10 * CENT)
    budget.reserve(9 * CENT)
    budget.settle(9 * CENT, cost=2 * CENT, unconfirmed=1 * CENT)

    assert (budget.spent, budget.unconfirmed, budget.reserved) == (2 * CENT, CENT, Decimal(0))
    assert budget.available == 7 * CENT


def test_only_what_is_in_flight_can_make_room_later() -> None:
    budget = Budget(10 * CENT, spent=5 * CENT)
    budget.reserve(3 * CENT)

    assert not budget.fits(5 * CENT)
    assert budget.may_fit_later(5 * CENT)  # if the reservation comes to nothing
    assert not budget.may_fit_later(6 * CENT)  # not even then


def test_no_limit_admits_everything_and_still_counts() -> None:
    budget = Budget(None)
    budget.reserve(Decimal(10**9))
    budget.settle(Decimal(10**9), cost=CENT, unconfirmed=Decimal(0))

    assert budget.fits(Decimal(10**12))
    assert budget.may_fit_later(Decimal(10**12))
    assert budget.available is None
    assert budget.spent == CENT


def test_watchers_hear_of_settlements_and_of_a_new_limit() -> None:
    budget = Budget(CENT)
    heard: list[str] = []
    budget.watch(lambda: heard.append("room"))

    budget.reserve(CENT)
    assert heard == []
    budget.settle(CENT, cost=CENT, unconfirmed=Decimal(0))
    budget.limit = 2 * CENT

    assert heard == ["room", "room"]
    assert budget.limit == 2 * CENT
    assert budget.fits(CENT)
