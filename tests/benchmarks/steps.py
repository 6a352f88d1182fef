"""What steps cost beside the same requests of one step, and what a reduction keeps in memory."""

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks import children
from tests.benchmarks.figures import Figure, at_most
from tests.benchmarks.scenario import write_input, write_job

_PROVIDER = "openai"
_CONCURRENCY = 64
_MOST_CPU = 1.05
_MOST_GROWTH = 1.2


def steps(items: int, *, repeats: int, reduced: tuple[int, int]) -> Iterator[Figure]:
    """Two steps of `items` against one of twice as many; a reduction of few and of many."""
    with children.server() as url:
        pairs = [
            (
                _run(url, 2 * items, {})["cpu_seconds"],
                _run(url, items, {"first": {}, "second": {}})["cpu_seconds"],
            )
            for _ in range(repeats)
        ]
        ratios = [two / one for one, two in pairs]
        yield at_most(
            f"CPU, two steps of {items:,} items",
            median(ratios),
            _MOST_CPU,
            unit="of one step's",
            detail=f"one step of {2 * items:,}; {min(ratios):.2f} to {max(ratios):.2f}",
        )
        blocks = {"first": {}, "all": {"reduce": {"of": "first", "fan_in": 20}}}
        small, large = (_run(url, count, blocks)["peak_mb"] for count in reduced)
        yield at_most(
            f"peak memory, a reduction of {reduced[1]:,} against {reduced[0]:,} results",
            large / small,
            _MOST_GROWTH,
            unit="times",
            detail=f"{large:.0f} against {small:.0f} MB",
        )


def _run(url: str, items: int, blocks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_input(folder / "items.jsonl", items)
        path = write_job(folder, provider=_PROVIDER, url=url, concurrency=_CONCURRENCY)
        if blocks:
            path.write_text(json.dumps(_with_steps(json.loads(path.read_text()), blocks)))
        return children.measured_engine(_PROVIDER, path)


def _with_steps(job: dict[str, Any], blocks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The job with its one prompt in each of these steps."""
    prompt, schema = job.pop("prompt"), job.pop("schema")
    summed = {**prompt, "user": "{{ results | tojson }}"}
    job["steps"] = {
        name: {"prompt": summed if "reduce" in block else prompt, "schema": schema, **block}
        for name, block in blocks.items()
    }
    return job
