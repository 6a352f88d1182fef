"""The queue at the gate: order, cancellation, Retry-After, refusals."""

import asyncio
import random

import pytest

from batchai.domain import NO_COST
from batchai.errors import BudgetExhaustedError, OverLimitError
from batchai.limits import Ask, Budget, Gate, Permit
from batchai.spec.models import Limits
from tests.limits.loads import CENT, SMALL, finish, settle_down
from tests.virtual import VirtualClock, run_virtual


def test_admission_is_first_come_first_served_whatever_the_sizes() -> None:
    clock = VirtualClock()

    async def main() -> list[int]:
        gate = Gate(Limits(tokens_per_minute=100, concurrency=4), clock=clock)
        order: list[int] = []

        async def work(number: int) -> None:
            permit = await gate.acquire(Ask(90 if number % 3 == 0 else 1, 0))
            order.append(number)
            await clock.sleep(1)
            permit.release()

        async with asyncio.TaskGroup() as group:
            for number in range(30):
                group.create_task(work(number))
        return order

    assert run_virtual(main()) == list(range(30))


def test_a_cancelled_waiter_returns_everything_and_lets_the_next_one_pass() -> None:
    clock = VirtualClock()

    async def main() -> None:
        budget = Budget(2 * CENT)
        gate = Gate(Limits(concurrency=1, requests_per_minute=60), clock=clock, budget=budget)
        held = await gate.acquire(SMALL)
        waiters = [asyncio.create_task(gate.acquire(SMALL)) for _ in range(3)]
        await settle_down()
        assert gate.waiting_for == "slots"

        waiters[0].cancel()
        waiters[1].cancel()
        await settle_down()
        assert budget.reserved == CENT
        assert gate.in_flight == 1

        finish(held)
        permit = await waiters[2]
        assert (gate.in_flight, budget.reserved) == (1, CENT)
        finish(permit)
        assert (gate.in_flight, budget.reserved) == (0, NO_COST)

    run_virtual(main())


def test_a_waiter_cancelled_after_its_place_in_the_pacer_leaves_the_place_to_the_next() -> None:
    clock = VirtualClock()

    async def main() -> float:
        gate = Gate(Limits(requests_per_minute=6), clock=clock)  # one start in ten seconds
        (await gate.acquire(SMALL)).release()
        begin = clock.monotonic()
        first, second = (asyncio.create_task(gate.acquire(SMALL)) for _ in range(2))
        await clock.sleep(5)
        gate.hold(20)  # ends within 27 s: the first has its place then, and waits for the hold
        await clock.sleep(10)
        assert gate.waiting_for == "retry-after"
        first.cancel()
        await second
        return clock.monotonic() - begin

    assert 25 <= run_virtual(main()) <= 27


def test_retry_after_is_never_undercut_also_by_one_who_waits_in_the_pacer() -> None:
    clock = VirtualClock()

    async def main() -> list[float]:
        gate = Gate(Limits(requests_per_minute=6), clock=clock, rng=random.Random(5))
        (await gate.acquire(SMALL)).release()
        begin = clock.monotonic()
        waiter = asyncio.create_task(gate.acquire(SMALL))
        await clock.sleep(9)
        gate.hold(30)
        gate.hold(2)  # a shorter one does not shorten it
        gate.hold(0)
        await waiter
        return [clock.monotonic() - begin]

    (waited,) = run_virtual(main())

    assert 39 < waited <= 42


def test_the_jitter_of_a_hold_repeats_with_its_seed() -> None:
    clock = VirtualClock()

    async def main(seed: int) -> float:
        gate = Gate(Limits(), clock=clock, rng=random.Random(seed))
        begin = clock.monotonic()
        gate.hold(10)
        await gate.acquire(SMALL)
        return clock.monotonic() - begin

    assert run_virtual(main(1)) == pytest.approx(run_virtual(main(1)), abs=1e-6)
    assert run_virtual(main(1)) != pytest.approx(run_virtual(main(2)), abs=1e-6)


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        (Limits(input_tokens_per_minute=9), "input_tokens_per_minute"),
        (Limits(output_tokens_per_day=4), "output_tokens_per_day"),
        (Limits(tokens_per_minute=14), "tokens_per_minute"),
        (Limits(requests_per_day=0), "requests_per_day"),
    ],
    ids=["input", "output of a day", "combined", "none at all"],
)
def test_a_request_above_a_limit_is_refused_at_once_and_named(limits: Limits, name: str) -> None:
    async def main() -> None:
        gate = Gate(limits, clock=VirtualClock())
        with pytest.raises(OverLimitError, match=rf"limits\.{name}: one request needs"):
            await gate.acquire(SMALL)
        assert gate.in_flight == 0

    run_virtual(main())


def test_an_estimate_of_nothing_reserves_nothing() -> None:
    clock = VirtualClock()

    async def main() -> None:
        limits = Limits(input_tokens_per_minute=10, tokens_per_minute=10, concurrency=4)
        gate, begin = Gate(limits, clock=clock), clock.monotonic()
        for _ in range(3):
            await gate.acquire(Ask(0, 0))
        await gate.acquire(Ask(10, 0))
        assert clock.monotonic() == begin

    run_virtual(main())


def test_a_refusal_takes_nothing_and_the_next_in_line_is_admitted() -> None:
    async def main() -> None:
        gate = Gate(Limits(tokens_per_minute=100), clock=VirtualClock(), budget=Budget(CENT))
        large = asyncio.create_task(gate.acquire(Ask(101, 0)))
        dear = asyncio.create_task(gate.acquire(Ask(1, 0, 2 * CENT)))
        exact = asyncio.create_task(gate.acquire(Ask(99, 1, CENT)))
        results = await asyncio.gather(large, dear, exact, return_exceptions=True)

        kinds = [type(result) for result in results]
        assert kinds == [OverLimitError, BudgetExhaustedError, Permit]

    run_virtual(main())


def test_a_probed_provider_gets_one_request_at_a_time_until_one_is_served() -> None:
    clock = VirtualClock()

    async def main() -> None:
        gate = Gate(Limits(concurrency=50), clock=clock)
        for _ in range(40):
            gate.succeeded()
        assert gate.concurrency > 40
        begin = clock.monotonic()

        gate.hold(10, probe=True)
        probe = await gate.acquire(SMALL)
        assert 10 <= clock.monotonic() - begin <= 11
        following = asyncio.create_task(gate.acquire(SMALL))
        await settle_down()
        assert (gate.waiting_for, gate.in_flight) == ("probe", 1)

        gate.succeeded()
        finish(probe)
        finish(await following)
        assert gate.concurrency == 5  # all at once would push it over again

    run_virtual(main())


def test_nothing_leaves_a_paused_gate_however_long_until_it_is_resumed() -> None:
    clock = VirtualClock()

    async def main() -> None:
        gate = Gate(Limits(requests_per_minute=60), clock=clock)
        await gate.acquire(SMALL)
        waiter = asyncio.create_task(gate.acquire(SMALL))
        await settle_down()
        gate.pause()
        await clock.sleep(3600)
        assert gate.waiting_for == "resume"
        assert not waiter.done()
        gate.resume()
        await waiter
        assert gate.in_flight == 2

    run_virtual(main())
