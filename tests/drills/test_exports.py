"""Promise 12: exports are whole or absent, and repeatable."""

import random
import re
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from batchai.operations.export import export
from batchai.simulator import Simulator
from tests.drills.conftest import Figures, Scale
from tests.drills.jobs import workspace
from tests.drills.processes import finish, injecting, recording
from tests.kit import Workspace

ITEMS = 400
OLD_ITEMS = 150
SUFFIXES = ("csv", "jsonl", "xlsx", "parquet")
CALLS = ("write", "fsync", "rename", "unlink", "flock", "fchmod")
SHORT = [("write", 3), ("fsync", 1), ("rename", 1), ("rename", 2)]

pytestmark = pytest.mark.usefixtures("strace")


@dataclass(frozen=True, slots=True)
class Exported:
    """A finished job whose result file is of an earlier time; `whole`: what it would be now."""

    space: Workspace
    file: Path
    old: bytes
    whole: bytes

    @property
    def command(self) -> list[str]:
        """The export."""
        return self.space.command("export", "--to", self.file.name)

    def put_back(self) -> None:
        """As it was before any export of now."""
        shutil.rmtree(self.space.folder / ".batchai")
        shutil.copytree(self.space.folder / "before", self.space.folder / ".batchai")
        self.file.write_bytes(self.old)

    def again(self) -> bytes:
        """What an export writes now, without a word, whatever happened before."""
        export(self.space.job(), to=self.file)
        return self.file.read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_export_is_the_same_to_the_byte_when_it_is_repeated(tmp_path: Path, suffix: str) -> None:
    found = _exported(tmp_path, suffix)

    assert found.again() == found.whole
    assert found.again() == found.whole != found.old


def test_a_kill_leaves_the_file_of_before_or_the_whole_new_one(
    tmp_path: Path, scale: Scale, figures: Figures
) -> None:
    kills: Counter[str] = Counter()
    for suffix in SUFFIXES[: scale(1, len(SUFFIXES))]:
        found = _exported(tmp_path / suffix, suffix)
        for call, number in SHORT if scale(0, 1) == 0 else _points(found):
            found.put_back()
            fault = f"{call}:signal=KILL:when={number}"
            assert finish([*injecting(fault), *found.command], found.space.folder).was_killed
            left = found.file.read_bytes()

            assert left in {found.old, found.whole}, fault
            kills["new" if left == found.whole else "old"] += 1
            assert found.again() == found.whole
            assert not list(found.space.folder.glob(".*.tmp"))
    figures(promise=12, kills=kills.total(), lost=0, left=dict(kills))


@pytest.mark.parametrize("fault", ["write:error=ENOSPC:when=2", "fsync:error=EIO:when=1"])
def test_a_fault_of_the_disk_leaves_the_file_of_before(tmp_path: Path, fault: str) -> None:
    found = _exported(tmp_path, "csv")
    found.put_back()
    done = finish([*injecting(fault), *found.command], found.space.folder)

    assert done.code == 4, done.errors
    assert "the results are safe in the store" in done.errors
    assert found.file.read_bytes() == found.old
    assert found.again() == found.whole


def _exported(folder: Path, suffix: str) -> Exported:
    folder.mkdir(exist_ok=True)
    with Simulator() as sim:
        space = workspace(folder / "job", sim, ITEMS)
        space.write({f"k{n}": f"{n} " + "words " * 50 for n in range(ITEMS)})
        file = space.folder / f"out.{suffix}"
        space.run(f"output.path={file.name}", f"input.limit={OLD_ITEMS}")
        old = file.read_bytes()
        space.run(f"output.path=whole.{suffix}")
    shutil.copytree(space.folder / ".batchai", space.folder / "before")
    return Exported(space, file, old, (space.folder / f"whole.{suffix}").read_bytes())


def _points(found: Exported) -> list[tuple[str, int]]:
    """The calls of an undisturbed export at which it can be killed, as name and number."""
    log = found.space.folder.parent / "log"
    found.put_back()
    done = finish([*recording(log, CALLS), *found.command], found.space.folder)
    assert done.code == 0, done.errors
    calls: Counter[str] = Counter()  # of one thread: an export has no other that writes
    for line in log.read_text().splitlines():
        if match := re.match(r"\d+ +(\w+)\(", line):
            calls[match[1]] += 1
    points = [(name, n) for name, count in calls.items() for n in range(1, count + 1)]
    return random.Random(20261122).sample(points, min(40, len(points)))
