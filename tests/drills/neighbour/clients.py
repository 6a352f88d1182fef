"""Clients beside the other users: ours, and the two that people write first."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiolimiter import AsyncLimiter

from batchai.domain import NO_COST
from batchai.limits import Ask, Gate, Past, Permit
from batchai.spec.models import Limits
from tests.drills.neighbour.account import Load
from tests.drills.neighbour.drill import Client, Evening

MAX_TOKENS = 256
SLOTS = 64


def draw_load(evening: Evening) -> Load:
    """A prompt of ours, and an answer of uncertain length."""
    length = evening.rng.lognormvariate(4.0, 0.5)
    return Load(100, min(MAX_TOKENS, int(length)), max_tokens=MAX_TOKENS)


def gated(
    limits: Limits | None = None, *, life: float | None = None, downtime: float = 3.0
) -> Client:
    """batchai's gate; killed after every `life` seconds, and back after the downtime."""

    async def run(evening: Evening) -> None:
        sent: list[tuple[float, Load]] = []
        while not evening.is_over:
            left = evening.seconds - evening.now()
            now = evening.now()
            past = [Past(now - at, load.input_tokens, load.output_tokens) for at, load in sent]
            gate = Gate(limits or Limits(concurrency=SLOTS), clock=evening.clock, past=past)
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, life or left)), asyncio.TaskGroup() as tasks:
                    await _dispatch(evening, gate, sent, tasks)
            await evening.clock.sleep(downtime)

    return run


async def _dispatch(
    evening: Evening, gate: Gate, sent: list[tuple[float, Load]], tasks: asyncio.TaskGroup
) -> None:
    while True:
        load = draw_load(evening)
        permit = await gate.acquire(Ask(load.input_tokens, MAX_TOKENS))
        sent.append((evening.now(), load))
        tasks.create_task(_attempt(evening, gate, permit, load))


async def _attempt(evening: Evening, gate: Gate, permit: Permit, load: Load) -> None:
    answer = await evening.ask(load)
    if answer.retry_after > 0:
        gate.hold(answer.retry_after)
        gate.congested()
        permit.settle(input_tokens=0, output_tokens=0, cost=NO_COST)
    else:
        gate.succeeded()
        permit.settle(
            input_tokens=load.input_tokens, output_tokens=load.output_tokens, cost=NO_COST
        )
    permit.heed(answer.notice)
    permit.release()


def bucket(per_minute: int) -> Client:
    """A token bucket of the account's whole limit, as the limiters from the shelf are."""

    async def run(evening: Evening) -> None:
        limiter = AsyncLimiter(per_minute, 60)

        async def work() -> None:
            while not evening.is_over:
                await limiter.acquire()
                answer = await evening.ask(draw_load(evening))
                if answer.retry_after > 0:
                    await evening.clock.sleep(answer.retry_after)

        await _all(work)

    return run


def pool() -> Client:
    """So many at a time, and exponential backoff."""

    async def run(evening: Evening) -> None:
        async def work() -> None:
            failures = 0
            while not evening.is_over:
                answer = await evening.ask(draw_load(evening))
                failures = failures + 1 if answer.retry_after > 0 else 0
                if failures:
                    delay = min(8.0, 0.5 * 2**failures)
                    await evening.clock.sleep(delay * evening.rng.uniform(0.75, 1))

        await _all(work)

    return run


async def _all(work: Callable[[], Awaitable[None]]) -> None:
    await asyncio.gather(*(work() for _ in range(SLOTS)))
