"""`python -m tests.benchmarks [PART …] [--quick]`: figures of speed and size beside their goals.

| part | measures | takes about |
|---|---|---|
| cpu | CPU time an item against a bare SDK loop | 12 min |
| memory | peak memory of 10,000 and 100,000 items, size of the store | 4 min |
| start | time to the first request: 1,000,000 lines; 90 % done; a source that changed | 6 min |
| report | `report` and `status` of 1,000,000 items while a run writes to their store | 2 min |
| calibration | whether what pilots foretell comes true, over 200 jobs | 6 min |
| steps | CPU of two steps beside one of twice the items, memory of a reduction | 4 min |
| rate | use of a limit of 600 requests a minute, in real time | 3 min |

Everything runs on this machine against `batchai.simulator`, each measured run in a process of its
own, and is deleted afterwards. `--quick` takes smaller sizes: a look, not a proof. The exit code is
1 where a goal is not met. CPU figures are ratios of interleaved runs, so other work on the machine
disturbs them little; the times of `start` and `report` are wall time and want a machine at rest.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import chain

from tests.benchmarks.calibration import calibration
from tests.benchmarks.cpu import Pairs, cpu
from tests.benchmarks.figures import Figure, table
from tests.benchmarks.memory import memory
from tests.benchmarks.rate import rate
from tests.benchmarks.reporting import report
from tests.benchmarks.start import resume, start
from tests.benchmarks.steps import steps

Parts = Mapping[str, Callable[[], Iterator[Figure]]]

_FULL: Parts = {
    "cpu": lambda: cpu(Pairs(items=5_000, repeats=5)),
    "memory": lambda: memory(10_000, 100_000),
    "start": lambda: chain(
        start(1_000_000),
        resume(100_000, limit_seconds=1.0),
        resume(1_000_000, limit_seconds=5.0),
    ),
    "report": lambda: report(1_000_000),
    "calibration": lambda: calibration(jobs=100, items=300),
    "steps": lambda: steps(10_000, repeats=3, reduced=(1_000, 10_000)),
    "rate": lambda: rate(150),
}
_QUICK: Parts = {
    "cpu": lambda: cpu(Pairs(items=1_000, repeats=2)),
    "memory": lambda: memory(1_000, 10_000),
    "start": lambda: chain(start(50_000), resume(50_000, limit_seconds=1.0)),
    "report": lambda: report(20_000),
    "calibration": lambda: calibration(jobs=20, items=150),
    "steps": lambda: steps(1_000, repeats=3, reduced=(500, 2_000)),
    "rate": lambda: rate(15),
}


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("part", nargs="*", choices=("all", *_FULL), default="all")
    parser.add_argument("--quick", action="store_true", help="smaller sizes: a look, not a proof")
    options = parser.parse_args()
    parts = _QUICK if options.quick else _FULL
    chosen = list(parts) if "all" in options.part else options.part
    figures = [figure for part in chosen for figure in _measured(part, parts[part])]
    print(table(figures))
    return 0 if all(figure.is_met for figure in figures) else 1


def _measured(name: str, part: Callable[[], Iterator[Figure]]) -> Iterator[Figure]:
    print(f"measuring {name} …", file=sys.stderr, flush=True)
    yield from part()


if __name__ == "__main__":
    sys.exit(main())
