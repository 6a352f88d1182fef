"""Rates and slots over minutes, days and restarts, on a virtual clock."""

import asyncio
import random
from collections.abc import Callable
from functools import partial

import pytest

from batchai.domain import NO_COST
from batchai.errors import OverLimitError
from batchai.limits import Ask, Gate, Past
from batchai.spec.models import Limits
from tests.limits.loads import SMALL, finish, hammer, most_in_any, settle_down
from tests.virtual import VirtualClock, run_virtual


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


@pytest.mark.parametrize(
    ("limits", "slots"),
    [
        (Limits(output_tokens_per_minute=60_000, concurrency=16), 16),
        (Limits(input_tokens_per_minute=60_000, concurrency=16), 16),
        (Limits(tokens_per_minute=60_000, concurrency=8), 8),
    ],
    ids=["output", "input", "both together"],
)
def test_token_limits_are_used_although_the_length_of_answers_is_uncertain(
    limits: Limits, slots: int
) -> None:
    """Slots × what is reserved are 10 % of the limit: no more is lost to what is only reserved."""
    clock, rng = VirtualClock(), random.Random(4)
    limit, most = 60_000, 375
    counted: list[tuple[float, int]] = []

    async def main() -> None:
        gate = Gate(limits, clock=clock)
        begin = clock.monotonic()

        async def work() -> None:
            while clock.monotonic() - begin < 600:
                permit = await gate.acquire(Ask(most, most))
                at = clock.monotonic() - begin
                read, written = rng.randint(1, most), rng.randint(1, most)
                await clock.sleep(rng.lognormvariate(0, 0.5) / 2)
                of_answer = written if limits.input_tokens_per_minute is None else 0
                of_prompt = read if limits.output_tokens_per_minute is None else 0
                counted.append((at, of_prompt + of_answer))
                gate.succeeded()
                permit.settle(input_tokens=read, output_tokens=written, cost=NO_COST)
                permit.release()

        async with asyncio.TaskGroup() as group:
            for _ in range(slots):
                group.create_task(work())

    run_virtual(main())

    assert sum(tokens for at, tokens in counted if at < 600) >= 0.9 * limit * 10
    for end, _ in counted[::50]:
        assert sum(tokens for at, tokens in counted if end - 60 < at <= end) <= limit


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


def test_a_minute_of_earlier_requests_counts_as_many() -> None:
    clock = VirtualClock()

    async def main() -> float:
        past = [Past(3600, 100, 50, requests=48), Past(5, 1, 1)]
        gate = Gate(Limits(requests_per_day=50), clock=clock, past=past)
        begin = clock.monotonic()
        for _ in range(2):
            finish(await gate.acquire(SMALL))
        return clock.monotonic() - begin

    assert run_virtual(main()) == pytest.approx(86_400 - 3600, abs=1)


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
