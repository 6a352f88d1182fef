"""The gate on a virtual clock: hours of admission in milliseconds."""

import asyncio
import random
from collections.abc import Callable
from decimal import Decimal
from functools import partial

import pytest

from batchai.domain import NO_COST
from batchai.errors import BudgetExhaustedError, OverLimitError
from batchai.limits import Ask, Budget, Gate, Past, Permit
from batchai.spec.models import Limits
from tests.virtual import VirtualClock, run_virtual

SMALL = Ask(input_tokens=10, output_tokens=5, worst_cost=Decimal("0.01"))
CENT = Decimal("0.01")


def most_in_any(seconds: float, stamps: list[float]) -> int:
    """The largest number of stamps in a window [t, t + seconds)."""
    worst, begin = 0, 0
    for end, stamp in enumerate(stamps):
        while stamps[begin] <= stamp - seconds:
            begin += 1
        worst = max(worst, end - begin + 1)
    return worst


def finish(permit: Permit, *, cost: Decimal = NO_COST) -> None:
    permit.settle(input_tokens=10, output_tokens=5, cost=cost)
    permit.release()


async def settle_down() -> None:
    """Let every task that is ready run until it waits for time or for an event."""
    for _ in range(10):
        await asyncio.sleep(0)


async def hammer(gate: Gate, clock: VirtualClock, *, seconds: float, latency: float) -> list[float]:
    """Stamps of the admissions that 64 eager workers get."""
    begin, stamps = clock.monotonic(), list[float]()

    async def work() -> None:
        while clock.monotonic() - begin < seconds:
            permit = await gate.acquire(SMALL)
            stamps.append(clock.monotonic() - begin)
            await clock.sleep(latency)
            gate.succeeded()
            finish(permit)

    async with asyncio.TaskGroup() as group:
        for _ in range(64):
            group.create_task(work())
    return [stamp for stamp in stamps if stamp < seconds]


@pytest.mark.parametrize(
    "lateness",
    [
        lambda: 0.0,
        partial(random.Random(1).uniform, 0, 0.02),
        partial(random.Random(2).choice, (0.0, 0.0, 0.15)),
    ],
    ids=["punctual", "20 ms late", "stalls of 150 ms"],
)
def test_at_least_98_percent_of_600_a_minute_are_used_and_never_more(
    lateness: Callable[[], float],
) -> None:
    clock = VirtualClock()

    async def main() -> list[float]:
        gate = Gate(Limits(requests_per_minute=600, concurrency=64), clock=clock)
        return await hammer(gate, clock, seconds=150, latency=1.0)

    stamps = run_virtual(main(), lateness=lateness)

    assert len(stamps) >= 1_470
    assert most_in_any(60, stamps) <= 600


@pytest.mark.parametrize(
    ("per_minute", "minutes"), [(1, 30), (7, 10), (60, 10), (90, 5), (3_000, 2)]
)
def test_starts_are_paced_and_the_limit_is_used_at_any_size(per_minute: int, minutes: int) -> None:
    clock = VirtualClock()

    async def main() -> list[float]:
        gate = Gate(Limits(requests_per_minute=per_minute, concurrency=64), clock=clock)
        return await hammer(gate, clock, seconds=60 * minutes, latency=0.5)

    stamps = run_virtual(main())

    assert most_in_any(60, stamps) <= per_minute
    assert len(stamps) >= 0.98 * per_minute * minutes - 1
    assert most_in_any(1, stamps) <= max(1, per_minute / 60 * 1.25 + 2)


def test_a_full_start_does_not_admit_twice_the_limit_in_the_first_minute() -> None:
    clock = VirtualClock()

    async def main() -> list[float]:
        gate = Gate(Limits(tokens_per_minute=1_500, concurrency=64), clock=clock)
        return await hammer(gate, clock, seconds=180, latency=0.1)

    stamps = run_virtual(main())

    assert most_in_any(60, stamps) == 100
    assert len(stamps) == 300


def test_arrival_jitter_of_a_quarter_second_breaks_no_limit_at_the_server() -> None:
    clock, rng = VirtualClock(), random.Random(3)

    async def main() -> list[float]:
        gate = Gate(Limits(requests_per_minute=120, concurrency=64), clock=clock)
        return await hammer(gate, clock, seconds=1_800, latency=0.3)

    arrivals = sorted(stamp + rng.uniform(0, 0.25) for stamp in run_virtual(main()))

    assert most_in_any(60, arrivals) <= 120


def test_a_restart_allows_no_second_minute() -> None:
    clock = VirtualClock()

    async def main() -> list[float]:
        limits = Limits(requests_per_minute=60, concurrency=64)
        stamps = await hammer(Gate(limits, clock=clock), clock, seconds=45, latency=0.1)
        now = clock.monotonic() - 1_000.0
        past = [Past(now - stamp, input_tokens=10, output_tokens=5) for stamp in stamps]
        rng = random.Random(1)
        rng.shuffle(past)
        gate = Gate(limits, clock=clock, past=past)
        later = await hammer(gate, clock, seconds=60, latency=0.1)
        return stamps + [now + stamp for stamp in later]

    stamps = run_virtual(main())

    assert len(stamps) >= 95
    assert most_in_any(60, stamps) <= 60


def test_a_past_from_the_future_counts_as_now_and_an_old_one_not_at_all() -> None:
    clock = VirtualClock()

    async def main() -> float:
        past = [Past(-3_600, 0, 0), Past(61, 0, 0), Past(90_000, 0, 0)]
        gate = Gate(Limits(requests_per_minute=1), clock=clock, past=past)
        begin = clock.monotonic()
        await gate.acquire(SMALL)
        return clock.monotonic() - begin

    assert run_virtual(main()) == pytest.approx(60.25, abs=0.1)


def test_a_day_limit_holds_over_days() -> None:
    clock = VirtualClock()

    async def main() -> list[float]:
        gate = Gate(Limits(requests_per_day=50, concurrency=4), clock=clock)
        begin, stamps = clock.monotonic(), list[float]()
        for _ in range(180):
            permit = await gate.acquire(SMALL)
            stamps.append(clock.monotonic() - begin)
            await clock.sleep(600)
            finish(permit)
        return stamps

    stamps = run_virtual(main())

    assert most_in_any(86_400, stamps) == 50
    assert stamps[-1] < 3.6 * 86_400


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


def test_without_limits_acquisition_is_only_slots_and_they_ramp_up() -> None:
    clock = VirtualClock()

    async def main() -> list[int]:
        gate = Gate(Limits(concurrency=16), clock=clock)
        assert (gate.waiting_for, gate.next_admission_seconds) == (None, 0.0)
        levels: list[int] = []

        async def work() -> None:
            permit = await gate.acquire(Ask(10**9, 10**9))
            await clock.sleep(1)
            gate.succeeded()
            permit.release()

        async with asyncio.TaskGroup() as group:
            for _ in range(60):
                group.create_task(work())
            for _ in range(5):
                await clock.sleep(0.5)
                levels.append(gate.in_flight)
                await clock.sleep(0.5)
        return levels

    assert run_virtual(main()) == [4, 8, 16, 16, 16]


def test_a_success_alone_makes_room_for_the_head() -> None:
    async def main() -> None:
        gate = Gate(Limits(concurrency=5), clock=VirtualClock())
        for _ in range(4):
            await gate.acquire(SMALL)
        waiter = asyncio.create_task(gate.acquire(SMALL))
        await settle_down()
        assert gate.waiting_for == "slots"
        gate.succeeded()
        await waiter

    run_virtual(main())


def test_adaptive_slots_follow_the_signals_given_to_the_gate() -> None:
    clock = VirtualClock()

    async def main() -> list[int]:
        gate = Gate(Limits(concurrency="auto"), clock=clock)
        levels = [gate.concurrency]
        for _ in range(2):
            for permit in [await gate.acquire(SMALL) for _ in range(gate.concurrency)]:
                gate.succeeded()
                permit.release()
            levels.append(gate.concurrency)
            gate.faulted()
        gate.congested()
        return [*levels, gate.concurrency]

    assert run_virtual(main()) == [8, 12, 12, 9]


def test_limits_tuned_in_mid_run_hold_at_once() -> None:
    clock = VirtualClock()

    async def main() -> None:
        gate = Gate(Limits(concurrency=1, tokens_per_minute=1_000), clock=clock)
        await gate.acquire(SMALL)
        slots = asyncio.create_task(gate.acquire(Ask(500, 0)))
        await settle_down()
        assert gate.waiting_for == "slots"
        gate.tune(Limits(concurrency=3, tokens_per_minute=600))
        await slots
        assert gate.concurrency == 3

        waiter = asyncio.create_task(gate.acquire(Ask(200, 0)))
        await settle_down()
        assert gate.waiting_for == "tokens per minute"  # what was counted still counts
        gate.tune(Limits(concurrency=3, tokens_per_minute=199))
        with pytest.raises(OverLimitError):
            await waiter

    run_virtual(main())


def test_a_tuned_rate_is_paced_anew() -> None:
    clock = VirtualClock()

    async def main() -> list[float]:
        gate = Gate(Limits(concurrency=64), clock=clock)
        gate.tune(Limits(concurrency=64, requests_per_minute=60))
        return await hammer(gate, clock, seconds=120, latency=0.1)

    stamps = run_virtual(main())

    assert most_in_any(1, [stamp + 1e-3 for stamp in stamps]) <= 2
    assert most_in_any(60, stamps) <= 60
