"""Options and fixtures of the drills: how much to drill, and where the figures go.

`pytest tests/drills` is the short form, `--full` the one with the table's numbers; both end with a
table of all figures.
"""

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable

import pytest

Scale = Callable[[int, int], int]
Figures = Callable[..., None]

_FIGURES = "figures"  # a property of a test's report, so that worker processes can tell too
_TOTALS = (
    *("kills", "cuts", "faults", "races", "signals", "stalls", "mutations"),
    *("lost", "doubled", "over_budget", "leaked"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--full`; known where `tests/drills` is named on the command line."""
    group = parser.getgroup("drills")
    group.addoption("--full", action="store_true", help="as often as the promises' table says")


def pytest_configure(config: pytest.Config) -> None:
    """`@pytest.mark.full`: a drill that is for `--full` only."""
    config.addinivalue_line("markers", "full: a drill that takes too long for the short form")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is for the full form."""
    if not config.getoption("--full", default=False):
        items[:] = [item for item in items if item.get_closest_marker("full") is None]


@pytest.fixture
def scale(request: pytest.FixtureRequest) -> Scale:
    """`scale(short, full)` is the number that counts in this test run."""
    is_full = request.config.getoption("--full", default=False)
    return lambda short, full: full if is_full else short


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """`figures(promise=1, cuts=400, lost=0)` prints a JSON line, and a row of the final table.

    The words that are summed up: kills, cuts, faults, races, signals, stalls, mutations; lost,
    doubled (paid twice), over_budget, leaked. Other words stand in the drill's row only.
    """

    def write(**values: object) -> None:
        name = str(request.node.name)
        print(json.dumps({"drill": name, **values}))
        request.node.user_properties.append((_FIGURES, (name, values)))

    return write


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A table of all figures, ready for the README."""
    written = [
        figures
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
        for word, figures in report.user_properties
        if word == _FIGURES
    ]
    if not written:
        return
    terminalreporter.section("figures of the drills")
    terminalreporter.line("| promise | drill | figures |")
    terminalreporter.line("|---|---|---|")
    totals = Counter[str]()
    for name, values in sorted(written, key=lambda pair: _number(pair[1].get("promise"))):
        rest = {word: value for word, value in values.items() if word != "promise"}
        totals.update({word: _number(rest[word]) for word in _TOTALS if word in rest})
        promise, words = values.get("promise", ""), _words(rest)
        terminalreporter.line(f"| {promise} | {_sentence(name)} | {words} |")
    sums = _words({word: totals[word] for word in _TOTALS if word in totals})
    terminalreporter.line(f"| | **all** | {sums} |")


@pytest.fixture(scope="session")
def strace() -> None:
    """Skips where system calls cannot be traced."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace: apt-get install strace")
    probe = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "true"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"strace may not trace here: {done.stderr.strip()}")


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _sentence(name: str) -> str:
    return name.removeprefix("test_").replace("_", " ")


def _words(values: dict[str, object]) -> str:
    return ", ".join(f"{word.replace('_', ' ')} {_value(value)}" for word, value in values.items())


def _value(value: object) -> str:
    if isinstance(value, dict):
        return " + ".join(f"{count} × {word}" for word, count in sorted(value.items()))
    return f"{value:,}" if isinstance(value, int) else str(value)
