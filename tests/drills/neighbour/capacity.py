"""A server that bears so many requests at once, and what a gate makes of it."""

import asyncio
import math
import random
from contextlib import suppress
from dataclasses import dataclass, field

from batchai.domain import NO_COST, Outcome, Reply
from batchai.engine.outage import Outage
from batchai.limits import Ask, Gate, Permit
from batchai.spec.models import Limits
from tests.virtual import START_SECONDS, VirtualClock, run_virtual

MEDIAN_SECONDS = 1.0
SPREAD = 0.4  # of the logarithm
MEAN_SECONDS = MEDIAN_SECONDS * math.exp(SPREAD**2 / 2)


@dataclass(frozen=True, slots=True)
class Capacity:
    """From `at` on so many slots."""

    at: float
    slots: int


@dataclass
class Sample:
    """One second: slots in use on average, requests served, and refused."""

    busy: float = 0.0
    served: int = 0
    refused: int = 0


@dataclass
class Server:
    """Beyond its slots it refuses, or works on all of them more slowly."""

    capacities: tuple[Capacity, ...]
    seconds: float
    is_refusing: bool = True
    seed: int = 0
    clock: VirtualClock = field(default_factory=VirtualClock)
    in_service: int = 0
    samples: list[Sample] = field(default_factory=list)
    levels: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        self.samples = [Sample() for _ in range(int(self.seconds) + 1)]

    def now(self) -> float:
        return self.clock.monotonic() - START_SECONDS

    def slots(self, now: float) -> int:
        return [c.slots for c in self.capacities if c.at <= now][-1]

    def sample(self) -> Sample:
        return self.samples[min(int(self.now()), len(self.samples) - 1)]

    async def ask(self) -> Reply:
        await self.clock.sleep(self._rng.uniform(0.01, 0.05))
        slots = self.slots(self.now())
        if self.is_refusing and self.in_service >= slots:
            self.sample().refused += 1
            return Reply(Outcome.OVERLOADED, status=529)
        self.in_service += 1
        slower = 1.0 if self.is_refusing else max(1.0, self.in_service / slots)
        latency = MEDIAN_SECONDS * self._rng.lognormvariate(0, SPREAD)
        await self.clock.sleep(latency * slower)
        self.in_service -= 1
        self.sample().served += 1
        return Reply(Outcome.SUCCEEDED, "yes", status=200)


def run(server: Server) -> Server:
    """Play it with a gate of adaptive concurrency."""
    run_virtual(_run(server))
    return server


async def _run(server: Server) -> None:
    gate = Gate(Limits(concurrency="auto"), clock=server.clock, rng=random.Random(1))
    outage = Outage(patience_seconds=3600, clock=server.clock)

    async def attempt(permit: Permit) -> None:
        reply = await server.ask()
        if (held := outage.take(reply)) is not None:
            gate.hold(*held)
        if reply.outcome is Outcome.SUCCEEDED:
            gate.succeeded()
        else:
            gate.congested()
        permit.settle(input_tokens=0, output_tokens=0, cost=NO_COST)
        permit.release()

    async def watch() -> None:
        while True:
            server.levels.append(gate.concurrency)
            await server.clock.sleep(1.0)

    with suppress(TimeoutError):
        async with asyncio.timeout(server.seconds), asyncio.TaskGroup() as tasks:
            tasks.create_task(watch())
            while True:
                permit = await gate.acquire(Ask(10, 10))
                tasks.create_task(attempt(permit))
