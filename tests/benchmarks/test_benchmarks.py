"""The smallest form of each part, so that the benchmark cannot rot; no figure is judged here."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from tests.benchmarks.calibration import calibration
from tests.benchmarks.cpu import Pairs, cpu
from tests.benchmarks.figures import Figure, at_least, at_most, table
from tests.benchmarks.memory import memory
from tests.benchmarks.rate import rate
from tests.benchmarks.reporting import report
from tests.benchmarks.start import resume
from tests.benchmarks.steps import steps

_PARTS: tuple[Callable[[], Iterator[Figure]], ...] = (
    lambda: cpu(Pairs(5, 1, ("openai",), (2,))),
    lambda: memory(10),
    lambda: resume(10, limit_seconds=1.0),
    lambda: report(50),
    lambda: calibration(jobs=1, items=35),
    lambda: steps(5, repeats=1, reduced=(5, 30)),
    lambda: rate(0.5),
)


def test_every_part_measures_figures_above_zero() -> None:
    with ThreadPoolExecutor() as threads:  # they wait for processes of their own
        figures = list(chain.from_iterable(threads.map(lambda part: list(part()), _PARTS)))

    assert len(figures) == 22
    assert not any(figure.measured.startswith("0.00") for figure in figures)


def test_a_goal_is_met_by_its_limit_and_missed_beyond_it() -> None:
    figures = [at_most("a", 0.4, 0.4), at_most("b", 0.41, 0.4), at_least("c", 1470, 1470, unit="s")]

    assert [figure.is_met for figure in figures] == [True, False, True]
    assert table(figures).splitlines()[2] == "b       0.41      ≤ 0.40     NOT MET"
