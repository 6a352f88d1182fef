"""What a simulator saw, added up for a person."""

from collections import Counter
from dataclasses import dataclass, field

from batchai.domain import Usage
from batchai.simulator.record import Received, Served
from batchai.simulator.server import Simulator

MINUTE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Worst:
    """The most that came within any one window; tokens as billed, each request's at its arrival."""

    requests: int
    tokens: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Summary:
    """Requests by what became of them, the fullest window, and what was billed.

    outcomes: `answered`, the name of a fault, `limited`, `overloaded`, `rejected` or `pending`.
    billed: one usage a request that was billed, by provider and model.
    """

    requests: int
    outcomes: Counter[str]
    worst: Worst
    in_flight_peak: int
    neighbours_served: int
    neighbours_refused: int
    billed: dict[tuple[str, str], list[Usage]] = field(repr=False)

    @property
    def input_tokens(self) -> int:
        """All that was billed."""
        return sum(usage.input for usages in self.billed.values() for usage in usages)

    @property
    def output_tokens(self) -> int:
        """All that was billed."""
        return sum(usage.output for usages in self.billed.values() for usage in usages)


def summary_of(simulator: Simulator, *, window_seconds: float = MINUTE_SECONDS) -> Summary:
    """Everything so far."""
    entries = simulator.received
    billed: dict[tuple[str, str], list[Usage]] = {}
    for entry in entries:
        if entry.usage is not None:
            billed.setdefault((entry.provider, entry.model), []).append(entry.usage)
    outcomes = Counter(_outcome(entry) for entry in entries)
    if unkept := simulator.arrived_count - len(entries):
        outcomes[Served.ANSWERED] += unkept
    return Summary(
        requests=simulator.arrived_count,
        outcomes=outcomes,
        worst=Worst(
            requests=simulator.worst_window(window_seconds),
            tokens=simulator.worst_token_window(window_seconds),
            input_tokens=simulator.worst_token_window(window_seconds, "input"),
            output_tokens=simulator.worst_token_window(window_seconds, "output"),
        ),
        in_flight_peak=simulator.in_flight_peak,
        neighbours_served=simulator.neighbours_served,
        neighbours_refused=simulator.neighbours_refused,
        billed=billed,
    )


def _outcome(entry: Received) -> str:
    return (entry.fault or entry.served).value
