"""Do the tests notice? `python -m tests.drills.mutants [--full] [NAME …]`.

Breaks a promise in a copy of the package, one textual change at a time, and runs the tests that
must fail then; before that without a change, when they must pass. The short form runs one test a
mutant, `--full` each that is named for it. Exit code 1 where a mutant survived.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
_HANGS_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Mutant:
    """A textual change in a file of the package; the tests that notice it, the fastest first."""

    name: str
    file: str
    old: str
    new: str
    tests: Sequence[str]


class Fate(StrEnum):
    """What became of a mutant, or of the package as it is."""

    KILLED = "killed"
    SURVIVED = "survived"
    BROKEN = "broken"  # the tests could not even be run


_FATES = {0: Fate.SURVIVED, 1: Fate.KILLED}  # by pytest's exit code


_POWER_CUT = "tests/drills/test_power_cuts.py::test_no_acknowledged_result_is_lost_in_a_power_cut"

MUTANTS = (
    Mutant(
        "FULL to NORMAL",
        "store/dialect.py",
        '"synchronous=full"',
        '"synchronous=normal"',
        [_POWER_CUT],
    ),
    Mutant(
        "acknowledge before commit",
        "store/ledger.py",
        """                await loop.run_in_executor(self._thread, self._commit, group)
                _resolve(waiters, None)
""",
        """                _resolve(waiters, None)
                await loop.run_in_executor(self._thread, self._commit, group)
""",
        [
            "tests/store/test_ledger.py::"
            "test_an_attempt_is_acknowledged_only_when_its_commit_is_durable",
            _POWER_CUT,
        ],
    ),
    Mutant(
        "slot released before commit",
        "engine/worker.py",
        "        await self._ledger.close_attempt(",
        "        permit.release()\n        await self._ledger.close_attempt(",
        [
            "tests/engine/test_disk.py::test_an_answer_holds_its_slot_until_it_is_durable",
        ],
    ),
    Mutant(
        "reserve after send",
        "engine/worker.py",
        """        await self._ledger.open_attempt(attempt)
        started = clock.monotonic()
        reply, result = await self._exchange(work, prepared)
""",
        """        started = clock.monotonic()
        reply, result = await self._exchange(work, prepared)
        await self._ledger.open_attempt(attempt)
""",
        [
            "tests/engine/test_kills.py::"
            "test_attempts_in_flight_at_a_kill_count_as_unconfirmed_money",
            "tests/drills/test_budgets.py",
        ],
    ),
    Mutant(
        "monotonic to time",
        "clock.py",
        "return asyncio.get_running_loop().time()",
        "return self.utcnow().timestamp()",
        [
            "tests/test_clock.py::test_durations_do_not_follow_the_wall_clock",
            "tests/limits/test_gate_rates.py",
        ],
    ),
)


def fate_of(mutant: Mutant | None, tests: Iterable[str]) -> Fate:
    """Run tests over a mutant; None: over the package as it is."""
    with TemporaryDirectory(prefix="mutant-") as name:
        folder = Path(name)
        for part in ("batchai", "tests", "pyproject.toml", "jobs", "data"):
            _copy(ROOT / part, folder / part)
        if mutant is not None:
            _change(folder / "batchai" / mutant.file, mutant)
        return _FATES.get(_run(folder, tests), Fate.BROKEN)


def _change(file: Path, mutant: Mutant) -> None:
    text = file.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        raise LookupError(f"{mutant.name}: {mutant.file} does not hold its text exactly once")
    file.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    elif source.exists():
        shutil.copy(source, target)


def _run(folder: Path, tests: Iterable[str]) -> int:
    """pytest's exit code: 1 where a test failed."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        timeout=_HANGS_SECONDS,
        check=False,
    )
    return done.returncode


def _main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.drills.mutants")
    parser.add_argument("name", nargs="*", help="mutants whose name holds this (default: all)")
    parser.add_argument("--full", action="store_true", help="each of a mutant's tests, one by one")
    options = parser.parse_args()
    pairs = [
        (mutant, test)
        for mutant in MUTANTS
        if not options.name or any(name in mutant.name for name in options.name)
        for test in (mutant.tests if options.full else mutant.tests[:1])
    ]
    if fate_of(None, {test: None for _, test in pairs}) is not Fate.SURVIVED:
        print("The tests fail over the package as it is: they say nothing about mutants.")
        return 1
    fates = []
    for mutant, test in pairs:
        fates.append(fate_of(mutant, [test]))
        print(f"{mutant.name:<28} {fates[-1]:<9} {test}", flush=True)
    return int(set(fates) != {Fate.KILLED})


if __name__ == "__main__":
    sys.exit(_main())
