"""The gate against an independent record of what it admitted, under any order of events.

The machine asks, lets time pass, settles, releases, cancels, holds and tunes as Hypothesis likes.
The oracle keeps plain lists and checks every admission at its moment, with sums of its own.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from batchai.domain import NO_COST, LimitNotice, Standing
from batchai.errors import BudgetExhaustedError, GateError, OverLimitError
from batchai.limits import Ask, Budget, Gate, Past, Permit
from batchai.spec.models import Limits
from tests.virtual import VirtualClock, VirtualLoop, run_virtual

T = TypeVar("T")
MINUTE, DAY = 60.0, 86_400.0
CENT = Decimal("0.01")

maybe_few = st.none() | st.integers(1, 8)
maybe_tokens = st.none() | st.integers(5, 60)
limits_strategy = st.builds(
    Limits,
    requests_per_minute=maybe_few,
    requests_per_day=st.none() | st.integers(5, 20),
    input_tokens_per_minute=maybe_tokens,
    output_tokens_per_minute=maybe_tokens,
    tokens_per_minute=maybe_tokens,
    tokens_per_day=st.none() | st.integers(50, 300),
    concurrency=st.integers(1, 6) | st.just("auto"),
)
asks = st.builds(
    Ask,
    input_tokens=st.integers(0, 25),
    output_tokens=st.integers(0, 25),
    worst_cost=st.integers(0, 5).map(CENT.__mul__),
)
standings = st.none() | st.builds(
    Standing,
    limit=st.integers(0, 60),
    remaining=st.integers(0, 60),
    reset_seconds=st.none() | st.floats(0, 100),
)
notices = st.builds(LimitNotice, standings, standings, standings, standings)
delays = st.sampled_from([0.001, 0.3, 1.0, 7.0, 20.0, 59.9, 60.0, 60.25, 61.0, 3_600.0, 86_400.0])


@dataclass
class Admitted:
    """One admission as the oracle knows it; tokens are the reservation until it is settled."""

    at: float
    ask: Ask
    input_tokens: int
    output_tokens: int
    permit: Permit
    is_settled: bool = False
    is_released: bool = False


def check_windows(limits: Limits, log: list[Admitted], now: float) -> None:
    """Nothing in the last minute or day is above its limit, as far as known now."""
    for seconds, caps in (
        (MINUTE, ("requests_per_minute", "input_tokens_per_minute", "output_tokens_per_minute")),
        (DAY, ("requests_per_day", "input_tokens_per_day", "output_tokens_per_day")),
    ):
        recent = [entry for entry in log if entry.at > now - seconds]
        sums = (
            len(recent),
            sum(entry.input_tokens for entry in recent),
            sum(entry.output_tokens for entry in recent),
        )
        for name, amount in zip(caps, sums, strict=True):
            cap = getattr(limits, name)
            assert cap is None or amount <= cap, (name, amount, cap)
        together = limits.tokens_per_minute if seconds == MINUTE else limits.tokens_per_day
        assert together is None or sums[1] + sums[2] <= together


class GateMachine(RuleBasedStateMachine):
    """Every order of asking, settling, releasing, cancelling, holding and tuning."""

    @initialize(limits=limits_strategy, cents=st.none() | st.integers(0, 30))
    def open(self, limits: Limits, cents: int | None) -> None:
        self.loop = VirtualLoop()
        self.clock = VirtualClock()
        self.limits = limits
        self.budget = Budget(None if cents is None else cents * CENT)
        self.gate = self.on_loop(lambda: Gate(limits, clock=self.clock, budget=self.budget))
        self.log: list[Admitted] = []
        self.waiting: dict[int, asyncio.Task[None]] = {}
        self.visits: list[asyncio.Task[None]] = []
        self.asked = 0
        self.last_served = -1
        self.floor = 0.0

    @rule(ask=asks)
    def someone_asks(self, ask: Ask) -> None:
        number, self.asked = self.asked, self.asked + 1
        self.waiting[number] = self.loop.create_task(self.visit(number, ask))
        self.visits.append(self.waiting[number])
        self.let_time_pass(0.0)

    @rule(seconds=delays)
    def time_passes(self, seconds: float) -> None:
        self.let_time_pass(seconds)

    @precondition(lambda self: self.open_permits())
    @rule(data=st.data(), share=st.sampled_from([0.0, 0.3, 1.0, 1.5]), is_paid=st.booleans())
    def one_is_settled(self, data: st.DataObject, share: float, is_paid: bool) -> None:
        """The share above 1 is a reply that came out larger than the estimate."""
        entry = data.draw(st.sampled_from(self.open_permits()))
        entry.input_tokens = int(entry.ask.input_tokens * share)
        entry.output_tokens = int(entry.ask.output_tokens * min(share, 1.0))
        worst = entry.ask.worst_cost
        cost = min(worst, CENT) if is_paid else NO_COST
        self.settle(entry, cost=cost, unconfirmed=NO_COST if is_paid else worst)
        self.let_time_pass(0.0)

    @precondition(lambda self: any(not entry.is_released for entry in self.log))
    @rule(data=st.data())
    def one_is_released(self, data: st.DataObject) -> None:
        entry = data.draw(st.sampled_from([e for e in self.log if not e.is_released]))
        self.release(entry)
        self.let_time_pass(0.0)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def one_gives_up(self, data: st.DataObject) -> None:
        self.waiting[data.draw(st.sampled_from(sorted(self.waiting)))].cancel()
        self.let_time_pass(0.0)

    @rule(seconds=st.sampled_from([0.0, 0.5, 30.0]))
    def the_provider_says_wait(self, seconds: float) -> None:
        def hold() -> None:
            self.floor = max(self.floor, self.loop.time() + seconds)
            self.gate.hold(seconds)

        self.on_loop(hold)
        self.let_time_pass(0.0)

    @rule(signal=st.sampled_from(["succeeded", "congested", "faulted"]))
    def the_provider_answers(self, signal: str) -> None:
        self.on_loop(getattr(self.gate, signal))
        self.let_time_pass(0.0)

    @precondition(lambda self: self.log)
    @rule(data=st.data(), notice=notices)
    def a_reply_names_the_accounts_limits(self, data: st.DataObject, notice: LimitNotice) -> None:
        """Any notice, in any order: it may slow down, but never lift a limit of the user."""
        permit = data.draw(st.sampled_from(self.log)).permit
        self.on_loop(lambda: permit.heed(notice))
        self.let_time_pass(0.0)

    @rule(limits=limits_strategy)
    def limits_are_tuned(self, limits: Limits) -> None:
        self.limits = limits
        self.gate.tune(limits)
        self.let_time_pass(0.0)

    @invariant()
    def slots_are_counted(self) -> None:
        assert self.gate.in_flight == sum(not entry.is_released for entry in self.log)

    @invariant()
    def the_budget_holds(self) -> None:
        budget = self.budget
        reserved = sum((e.ask.worst_cost for e in self.log if not e.is_settled), NO_COST)
        assert budget.reserved == reserved
        if budget.limit is not None:
            assert budget.spent + budget.unconfirmed + budget.reserved <= budget.limit

    @invariant()
    def somebody_waits_for_something_or_nobody_waits(self) -> None:
        assert bool(self.waiting) == (self.gate.waiting_for is not None)

    def teardown(self) -> None:
        """No deadlock: with everything in flight finished, all who wait are served or refused."""
        try:
            for _ in range(10_000):
                if not self.waiting:
                    break
                for entry in self.log:
                    self.settle(entry, cost=NO_COST, unconfirmed=NO_COST)
                    self.release(entry)
                self.let_time_pass(self.on_loop(lambda: self.gate.next_admission_seconds) or 1.0)
            assert not self.waiting
        finally:
            self.loop.run_until_complete(self.cancel_all())
            self.loop.close()

    async def cancel_all(self) -> None:
        for task in self.waiting.values():
            task.cancel()
        await asyncio.gather(*self.visits, return_exceptions=True)

    async def visit(self, number: int, ask: Ask) -> None:
        """One caller of `acquire`; every check is made at the very moment of the admission."""
        try:
            permit = await self.gate.acquire(ask)
        except asyncio.CancelledError:
            return
        except GateError as error:
            self.check_refusal(ask, error)
        else:
            now = self.loop.time()
            self.log.append(Admitted(now, ask, ask.input_tokens, ask.output_tokens, permit))
            check_windows(self.limits, self.log, now)
            assert self.gate.in_flight <= self.gate.concurrency
            assert now >= self.floor
        finally:
            del self.waiting[number]
        assert number > self.last_served, "first come, first served"
        self.last_served = number

    def check_refusal(self, ask: Ask, error: GateError) -> None:
        limits, budget = self.limits, self.budget
        if isinstance(error, BudgetExhaustedError):
            assert budget.limit is not None
            assert (
                budget.spent + budget.unconfirmed + budget.reserved + ask.worst_cost > budget.limit
            )
            return
        assert isinstance(error, OverLimitError)
        pairs = (
            (ask.input_tokens, limits.input_tokens_per_minute),
            (ask.output_tokens, limits.output_tokens_per_minute),
            (ask.input_tokens + ask.output_tokens, limits.tokens_per_minute),
            (ask.input_tokens + ask.output_tokens, limits.tokens_per_day),
        )
        assert any(cap is not None and amount > cap for amount, cap in pairs)

    def open_permits(self) -> list[Admitted]:
        return [entry for entry in self.log if not entry.is_settled]

    def settle(self, entry: Admitted, *, cost: Decimal, unconfirmed: Decimal) -> None:
        if entry.is_settled:
            return
        entry.is_settled = True
        entry.permit.settle(
            input_tokens=entry.input_tokens,
            output_tokens=entry.output_tokens,
            cost=cost,
            unconfirmed=unconfirmed,
        )

    def release(self, entry: Admitted) -> None:
        if not entry.is_released:
            entry.is_released = entry.is_settled = True
            entry.permit.release()

    def on_loop(self, call: Callable[[], T]) -> T:
        async def main() -> T:
            return call()

        return self.loop.run_until_complete(main())

    def let_time_pass(self, seconds: float) -> None:
        """Every task gets its turns before and after."""

        async def pass_time() -> None:
            for _ in range(8 + 4 * len(self.waiting)):
                await asyncio.sleep(0)
            await asyncio.sleep(seconds)
            for _ in range(8 + 4 * len(self.waiting)):
                await asyncio.sleep(0)

        self.loop.run_until_complete(pass_time())
        for task in self.visits:
            if task.done():
                task.result()  # raises what a visit found wrong


GateMachine.TestCase.settings = settings(
    max_examples=80,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestGate = GateMachine.TestCase


@given(
    limits=limits_strategy,
    before=st.lists(st.tuples(delays, asks), max_size=15),
    after=st.lists(st.tuples(delays, asks), max_size=15),
    downtime=delays,
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_window_is_above_a_limit_across_a_restart(
    limits: Limits,
    before: list[tuple[float, Ask]],
    after: list[tuple[float, Ask]],
    downtime: float,
) -> None:
    clock, log = VirtualClock(), list[Admitted]()

    async def send_all(gate: Gate, arrivals: list[tuple[float, Ask]]) -> None:
        for delay, ask in arrivals:
            await clock.sleep(min(delay, 30.0))
            try:
                permit = await gate.acquire(ask)
            except OverLimitError:
                continue
            now = clock.monotonic()
            log.append(Admitted(now, ask, ask.input_tokens, ask.output_tokens // 2, permit))
            check_windows(limits, log, now)
            permit.settle(
                input_tokens=ask.input_tokens, output_tokens=ask.output_tokens // 2, cost=NO_COST
            )
            permit.release()

    async def main() -> None:
        await send_all(Gate(limits, clock=clock), before)
        await clock.sleep(downtime)
        now = clock.monotonic()
        past = [Past(now - e.at, e.input_tokens, e.output_tokens) for e in log]
        await send_all(Gate(limits, clock=clock, past=past), after)

    run_virtual(main())
