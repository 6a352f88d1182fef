"""CPU time per item against the bare SDK loop, in pairs, so that a busy machine disturbs both."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.benchmarks import children
from tests.benchmarks.figures import Figure, at_most
from tests.benchmarks.scenario import write_input, write_job

LIMITS = {64: 0.40, 256: 0.30}


@dataclass(frozen=True, slots=True)
class Pairs:
    """So many pairs of runs of so many items, for each provider and concurrency."""

    items: int
    repeats: int
    providers: Sequence[str] = ("openai", "anthropic")
    concurrencies: Sequence[int] = tuple(LIMITS)


def cpu(pairs: Pairs) -> Iterator[Figure]:
    """The share of the bare loop's CPU time that the engine takes: the median over the pairs."""
    with children.server() as url:
        for provider in pairs.providers:
            for concurrency in pairs.concurrencies:
                measured = [
                    (
                        _bare(url, provider, concurrency, pairs.items),
                        _engine(url, provider, concurrency, pairs.items),
                    )
                    for _ in range(pairs.repeats)
                ]
                yield _figure(f"CPU, {provider}, concurrency {concurrency}", measured, concurrency)


def _bare(url: str, provider: str, concurrency: int, count: int) -> float:
    used = children.measured_bare(provider, url, concurrency=concurrency, count=count)
    return float(used["cpu_seconds"]) / count * 1e6


def _engine(url: str, provider: str, concurrency: int, count: int) -> float:
    with TemporaryDirectory() as folder:
        write_input(Path(folder) / "items.jsonl", count)
        job = write_job(Path(folder), provider=provider, url=url, concurrency=concurrency)
        used = children.measured_engine(provider, job)
        return float(used["cpu_seconds"]) / count * 1e6


def _figure(name: str, measured: Sequence[tuple[float, float]], concurrency: int) -> Figure:
    ratios = [engine / bare for bare, engine in measured]
    bare, engine = (median(run[i] for run in measured) for i in range(2))
    return at_most(
        name,
        median(ratios),
        LIMITS.get(concurrency, max(LIMITS.values())),
        unit="of the bare loop",
        detail=f"{engine:,.0f} of {bare:,.0f} µs an item; {min(ratios):.2f} to {max(ratios):.2f}",
    )
