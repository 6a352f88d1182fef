"""Requests and workers that put load on a gate."""

import asyncio
from decimal import Decimal

from batchai.domain import NO_COST
from batchai.limits import Ask, Gate, Permit
from tests.virtual import VirtualClock

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
