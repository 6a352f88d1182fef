"""Memory that does not grow with the input, and the size of the store."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks import children
from tests.benchmarks.figures import Figure, at_most
from tests.benchmarks.scenario import write_input, write_job

_PROVIDER = "anthropic"  # whose SDK takes 27 MB more than openai's
_CONCURRENCY = 64
_GROWTH = 1.2
MOST_MB = 150
_STORE_BYTES = 1200


def memory(*counts: int) -> Iterator[Figure]:
    """The peak of the largest run beside that of the smallest, and what its store takes of disk."""
    few, many = min(counts), max(counts)
    with children.server() as url:
        peaks, store_bytes = zip(*(_run(url, count) for count in sorted(counts)), strict=True)
    small, large = peaks[0], peaks[-1]
    yield at_most(
        f"peak memory, {many:,} against {few:,} items",
        large / small,
        _GROWTH,
        unit="times",
        detail=f"{large:.0f} against {small:.0f} MB",
    )
    yield at_most(f"peak memory, {many:,} items", large, MOST_MB, unit="MB")
    yield at_most(
        f"store, {many:,} items", store_bytes[-1] / many, _STORE_BYTES, unit="bytes an item"
    )


def _run(url: str, count: int) -> tuple[float, int]:
    """Peak memory in MB, and the store's bytes."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_input(folder / "items.jsonl", count)
        job = write_job(folder, provider=_PROVIDER, url=url, concurrency=_CONCURRENCY)
        peak = children.measured_engine(_PROVIDER, job)["peak_mb"]
        stores = (folder / ".batchai").glob("*.db*")
        return peak, sum(file.stat().st_size for file in stores)
