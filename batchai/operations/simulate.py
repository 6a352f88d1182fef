"""`batchai simulator`: the simulated provider in the foreground, until somebody ends it."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from batchai.domain import NO_COST, Usage
from batchai.errors import PricingError
from batchai.pricing import price_for
from batchai.simulator import AccountLimits, Settings, Simulator
from batchai.simulator.summary import MINUTE_SECONDS, Summary, summary_of
from batchai.spec.models import Model


@dataclass(frozen=True, slots=True)
class Bill:
    """What one model was asked, as its provider would bill it; cost_usd: None without a price."""

    model: str
    answers: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Service:
    """What a simulator did while it served. seconds: how long that was."""

    summary: Summary
    bills: tuple[Bill, ...]
    limits: AccountLimits
    seconds: float


def simulate(settings: Settings, *, announce: Callable[[Simulator], None]) -> Service:
    """Serve until SIGINT or SIGTERM; `announce` is called once it listens.

    Main thread only. Raises ProviderError where the port is taken.
    """
    limits = settings.limits or AccountLimits()
    began = datetime.now(UTC)
    with _ended_by_signal() as end, Simulator(settings) as simulator:
        announce(simulator)
        end.wait()
        summary = summary_of(simulator, window_seconds=limits.window_seconds or MINUTE_SECONDS)
    now = datetime.now(UTC)
    bills = tuple(
        _bill(f"{provider}/{model}", usages, at=now)
        for (provider, model), usages in summary.billed.items()
    )
    return Service(summary, bills, limits, (now - began).total_seconds())


@contextmanager
def _ended_by_signal() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set, while the block lasts."""
    end = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: end.set()) for number in numbers]
    try:
        yield end
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _bill(name: str, usages: list[Usage], *, at: datetime) -> Bill:
    try:
        rates = price_for(Model(name=name))
        cost = sum((rates.cost(usage, at=at) for usage in usages), NO_COST)
    except PricingError:
        cost = None
    return Bill(
        model=name,
        answers=len(usages),
        input_tokens=sum(usage.input for usage in usages),
        output_tokens=sum(usage.output for usage in usages),
        cost_usd=cost,
    )
