"""Settling: what a permit gives back to the budget and to the windows, and who then may go."""

import asyncio

import pytest

from batchai.domain import NO_COST
from batchai.errors import BudgetExhaustedError
from batchai.limits import Ask, Budget, Gate
from batchai.spec.models import Limits
from tests.limits.loads import CENT, SMALL, finish, settle_down
from tests.virtual import VirtualClock, run_virtual


def test_the_head_waits_for_settlements_that_can_make_room_in_the_budget() -> None:
    clock = VirtualClock()

    async def main() -> None:
        budget = Budget(3 * CENT, spent=CENT)
        gate = Gate(Limits(), clock=clock, budget=budget)
        first, second = await gate.acquire(SMALL), await gate.acquire(SMALL)
        third = asyncio.create_task(gate.acquire(SMALL))
        await settle_down()
        assert gate.waiting_for == "budget"
        assert gate.next_admission_seconds is None

        first.settle(input_tokens=1, output_tokens=1, cost=CENT)  # its full price: no room yet
        await settle_down()
        assert not third.done()
        second.settle(input_tokens=1, output_tokens=1, cost=NO_COST)
        permit = await third
        assert budget.available == NO_COST
        finish(permit, cost=CENT)

        with pytest.raises(BudgetExhaustedError, match=r"\$0\.03 of \$0\.03 is spent"):
            await gate.acquire(SMALL)

    run_virtual(main())


def test_a_raised_budget_wakes_the_head() -> None:
    async def main() -> None:
        budget = Budget(CENT)
        gate = Gate(Limits(), clock=VirtualClock(), budget=budget)
        await gate.acquire(SMALL)
        waiter = asyncio.create_task(gate.acquire(SMALL))
        await settle_down()
        assert gate.waiting_for == "budget"
        budget.limit = 2 * CENT
        await waiter

    run_virtual(main())


def test_a_settlement_at_one_gate_makes_room_at_another_that_shares_the_budget() -> None:
    async def main() -> None:
        clock, budget = VirtualClock(), Budget(CENT)
        one, other = (Gate(Limits(), clock=clock, budget=budget) for _ in range(2))
        permit = await one.acquire(SMALL)
        waiter = asyncio.create_task(other.acquire(SMALL))
        await settle_down()
        assert other.waiting_for == "budget"
        permit.settle(input_tokens=1, output_tokens=1, cost=NO_COST)
        await waiter

    run_virtual(main())


def test_settle_and_release_count_once() -> None:
    async def main() -> None:
        budget = Budget(CENT)
        gate = Gate(Limits(tokens_per_minute=100), clock=VirtualClock(), budget=budget)
        permit = await gate.acquire(SMALL)
        for _ in range(3):
            permit.settle(input_tokens=20, output_tokens=-3, cost=CENT / 2, unconfirmed=CENT / 4)
        for _ in range(3):
            permit.release()

        assert (budget.spent, budget.unconfirmed, budget.reserved) == (CENT / 2, CENT / 4, NO_COST)
        assert gate.in_flight == 0
        waiter = asyncio.create_task(gate.acquire(Ask(81, 0)))
        await settle_down()
        assert gate.waiting_for == "tokens per minute"  # it holds 20 tokens, not 17
        waiter.cancel()
        (await gate.acquire(Ask(80, 0))).release()

    run_virtual(main())


def test_a_permit_released_unsettled_leaves_its_worst_cost_unconfirmed() -> None:
    async def main() -> None:
        budget = Budget(CENT)
        gate = Gate(Limits(), clock=VirtualClock(), budget=budget)
        permit = await gate.acquire(SMALL)
        permit.release()
        permit.settle(input_tokens=0, output_tokens=0, cost=NO_COST)  # too late

        assert (budget.spent, budget.unconfirmed, budget.reserved) == (NO_COST, CENT, NO_COST)

    run_virtual(main())


def test_a_settlement_makes_room_for_more_within_the_same_minute() -> None:
    clock = VirtualClock()

    async def main() -> float:
        gate = Gate(Limits(output_tokens_per_minute=1_000), clock=clock)
        begin = clock.monotonic()
        permit = await gate.acquire(Ask(0, 900))
        waiter = asyncio.create_task(gate.acquire(Ask(0, 900)))
        await settle_down()
        assert gate.waiting_for == "output tokens per minute"
        assert gate.next_admission_seconds == pytest.approx(60.25, abs=0.01)
        await clock.sleep(2)
        permit.settle(input_tokens=0, output_tokens=100, cost=NO_COST)
        await waiter
        return clock.monotonic() - begin

    assert run_virtual(main()) == pytest.approx(2, abs=0.01)
