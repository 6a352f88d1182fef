"""What the simulator saw: the judge's evidence. Written by the server's thread, read by any."""

import threading
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal

from batchai.domain import Usage
from batchai.simulator.faults import Fault

_MILLION = Decimal(1_000_000)


class Served(StrEnum):
    """What became of a request on the server's side."""

    PENDING = "pending"  # not answered yet
    ANSWERED = "answered"
    FAULTY = "faulty"  # a planned fault
    LIMITED = "limited"  # over the account's limits
    OVERLOADED = "overloaded"  # over the capacity
    REJECTED = "rejected"  # no such key, model or field


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it arrived and what was served.

    arrived_at, served_at: seconds of the server's loop, as of `time.monotonic()` unless the loop
    skips time. headers: lower case, without the key.
    key_hash: first 16 hex digits of the key's SHA-256, "" without a key. usage: what is billed,
    also where the reply did not say; None = nothing. client_present: whether the connection was
    still open when the answer was ready.
    """

    sequence: int
    arrived_at: float
    provider: str
    model: str
    prompt: str
    system: str | None
    max_tokens: int | None
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    key_hash: str
    served: Served = Served.PENDING
    fault: Fault | None = None
    status: int | None = None
    usage: Usage | None = None
    service_tier: str | None = None  # None: the standard one
    answer: str | None = None
    served_at: float | None = None
    client_present: bool | None = None


@dataclass(frozen=True, slots=True)
class Rates:
    """USD per million tokens; a cache rate that is not given is the input rate, a reasoning rate
    the output rate. tiers: what all is multiplied by at other service tiers than the standard."""

    input_mtok: Decimal
    output_mtok: Decimal
    cache_read_mtok: Decimal | None = None
    cache_write_5m_mtok: Decimal | None = None
    cache_write_1h_mtok: Decimal | None = None
    reasoning_mtok: Decimal | None = None
    tiers: Mapping[str, Decimal] = field(default_factory=dict)


class Record:
    """Requests in order of arrival."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._entries: list[Received] = []
        self._arrivals = array("d")
        self._served = 0
        self._in_flight = 0
        self._peak = 0

    # --- written by the server

    def tick(self, now: float) -> None:
        """Count an arrival that was served at once and is not kept."""
        with self._changed:
            self._arrivals.append(now)
            self._served += 1
            self._changed.notify_all()

    def arrive(self, entry: Received) -> None:
        """Keep a request; its sequence is the number of earlier ones."""
        with self._changed:
            self._entries.append(entry)
            self._arrivals.append(entry.arrived_at)
            self._changed.notify_all()

    def finish(self, sequence: int, **served: Any) -> None:
        """Write down what was served to a request that arrived."""
        with self._changed:
            self._entries[sequence] = replace(self._entries[sequence], **served)
            self._served += 1
            self._changed.notify_all()

    @contextmanager
    def flight(self) -> Iterator[int]:
        """Counts a request as in flight; gives how many there are with it."""
        self._in_flight += 1
        self._peak = max(self._peak, self._in_flight)
        try:
            yield self._in_flight
        finally:
            self._in_flight -= 1

    # --- read by tests

    @property
    def entries(self) -> list[Received]:
        """A copy of everything received so far."""
        with self._changed:
            return list(self._entries)

    @property
    def arrived_count(self) -> int:
        """Requests that arrived."""
        return len(self._arrivals)

    @property
    def served_count(self) -> int:
        """Requests whose answer (or fault) was decided."""
        return self._served

    @property
    def in_flight_peak(self) -> int:
        """The most requests that were in flight at once."""
        return self._peak

    def wait_until(self, reached: Callable[[], bool], *, timeout_seconds: float, what: str) -> None:
        """Block until the condition holds; TimeoutError says what was missing."""
        with self._changed:
            if not self._changed.wait_for(reached, timeout_seconds):
                raise TimeoutError(
                    f"simulator: {what} not reached in {timeout_seconds} s: "
                    f"{len(self._arrivals)} arrived, {self._served} served; "
                    "look at what the client did, or wait longer"
                )

    def worst_window(self, seconds: float) -> int:
        """The most requests that arrived in any window of that length (its end excluded)."""
        with self._changed:
            points = [(at, 1) for at in self._arrivals]
        return _worst(points, seconds)

    def worst_token_window(self, seconds: float, kind: Literal["total", "input", "output"]) -> int:
        """The most tokens billed in any window, each request's at its arrival."""
        points = [
            (e.arrived_at, _tokens(e.usage, kind)) for e in self.entries if e.usage is not None
        ]
        return _worst(points, seconds)

    def bill(self, rates: Rates | Mapping[str, Rates]) -> Decimal:
        """USD for everything that was generated, at one rate or at a rate per requested model."""
        total = Decimal(0)
        for entry in self.entries:
            if entry.usage is not None:
                own = rates if isinstance(rates, Rates) else rates[entry.model]
                factor = own.tiers[entry.service_tier] if entry.service_tier else 1
                total += _cost(entry.usage, own) * factor
        return total


def _cost(usage: Usage, rates: Rates) -> Decimal:
    def rate(given: Decimal | None) -> Decimal:
        return rates.input_mtok if given is None else given

    dear = (
        usage.uncached_input * rates.input_mtok
        + usage.cache_read * rate(rates.cache_read_mtok)
        + usage.cache_write_5m * rate(rates.cache_write_5m_mtok)
        + usage.cache_write_1h * rate(rates.cache_write_1h_mtok)
        + usage.output * rates.output_mtok
    )
    if rates.reasoning_mtok is not None:
        dear += usage.reasoning * (rates.reasoning_mtok - rates.output_mtok)
    return dear / _MILLION


def _tokens(usage: Usage, kind: Literal["total", "input", "output"]) -> int:
    match kind:
        case "input":
            return usage.input
        case "output":
            return usage.output
        case "total":
            return usage.input + usage.output


def _worst(points: list[tuple[float, int]], seconds: float) -> int:
    """The largest sum over any half-open window; it begins at one of the points."""
    points.sort()
    worst = running = first = 0
    for at, amount in points:
        running += amount
        while points[first][0] <= at - seconds:
            running -= points[first][1]
            first += 1
        worst = max(worst, running)
    return worst
