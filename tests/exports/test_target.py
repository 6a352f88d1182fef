import fcntl
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from batchai.domain import ResultRow
from batchai.errors import ExportError, StoreError, UnwritableError
from batchai.exports import check_export, write_export
from batchai.spec.models import Output
from tests.exports.rows import export, row
from tests.kit import as_nobody

ONE = row("1", {"id": "1"}, "x")


def test_a_file_of_the_user_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("mine")

    with pytest.raises(
        ExportError, match=r"out\.csv: exists and was not written by this job.*--overwrite"
    ):
        export(path, ONE)

    assert path.read_text() == "mine"
    assert [left.name for left in tmp_path.iterdir()] == ["out.csv"]


def test_a_file_of_the_user_is_overwritten_when_told_so(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("mine")

    export(path, ONE, overwrite=True)

    assert path.read_text().startswith("id,result")


def test_what_batchai_wrote_is_overwritten_until_somebody_changes_it(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    first = exported(path, ONE)
    os.utime(path)  # touched, or copied back: the content is still what was written
    second = exported(path, ONE, ONE, ours=first)
    path.write_text(path.read_text().replace("x", "y"))

    with pytest.raises(ExportError, match="was changed since batchai wrote it"):
        export(path, ONE, ours=second)
    with pytest.raises(ExportError, match="was changed since batchai wrote it"):
        check_export(path, ours=first)


def test_the_file_is_ours_however_the_export_ends_once_it_is_announced(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    before = exported(path, ONE)
    announced: list[str] = []

    def dies(identities: list[str]) -> None:
        announced.extend(identities)
        raise StoreError("killed just before the file takes its place")

    with pytest.raises(StoreError):
        export(path, ONE, ONE, ours=before, announce=dies)
    check_export(path, ours=announced)
    export(path, ONE, ONE, ours=announced)
    check_export(path, ours=announced)


def exported(path: Path, *rows: ResultRow, ours: Collection[str] = ()) -> list[str]:
    """Export; returns what is known to be ours from then on."""
    known: list[str] = []
    export(path, *rows, ours=ours, announce=known.extend)
    return known


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out.csv").mkdir()

    with pytest.raises(ExportError, match="is a folder or device"):
        export(tmp_path / "out.csv", ONE, overwrite=True)


def test_a_folder_that_cannot_be_written_is_refused_beforehand() -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)  # pytest's own folders are closed to others
        with as_nobody(), pytest.raises(ExportError, match="is no folder that can be written"):
            check_export(folder / "new" / "out.csv")
        (folder / "out.csv").write_text("of before\n")  # a new file takes its place
        with as_nobody(), pytest.raises(ExportError, match="is no folder that can be written"):
            check_export(folder / "out.csv", overwrite=True)
        folder.chmod(0o777)
        with as_nobody():
            check_export(folder / "new" / "out.csv")
            check_export(folder / "out.csv", overwrite=True)


def test_missing_folders_are_made(tmp_path: Path) -> None:
    export(tmp_path / "new" / "er" / "out.csv", ONE)

    assert (tmp_path / "new" / "er" / "out.csv").exists()


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out.csv").symlink_to(tmp_path / "real" / "out.csv")

    export(tmp_path / "out.csv", ONE)

    assert (tmp_path / "out.csv").is_symlink()
    assert (tmp_path / "real" / "out.csv").read_text().startswith("id,result")


def test_permissions_are_the_users_and_stay(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    before = os.umask(0o022)
    try:
        ours = exported(path, ONE)
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        path.chmod(0o600)
        export(path, ONE, ours=ours)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_a_failure_in_the_middle_leaves_the_file_of_before(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    ours = exported(path, ONE)
    before = path.read_bytes()
    passes = 0

    def rows() -> Iterator[ResultRow]:
        nonlocal passes
        passes += 1
        yield ONE
        if passes == 2:
            raise StoreError("the store is gone")
        yield ONE

    with pytest.raises(StoreError):
        write_export(rows, path=path, output=Output(), result_fields=(), ours=ours)

    assert path.read_bytes() == before
    assert [left.name for left in tmp_path.iterdir()] == ["out.csv"]


@pytest.fixture
def full_disk() -> Iterator[None]:
    """The kernel refuses to let a file grow beyond 64 kB, as a full disk does at some size."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "json", "parquet", "xlsx"])
@pytest.mark.usefixtures("full_disk")
def test_a_disk_that_is_full_leaves_the_file_of_before(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out.{suffix}"
    ours = exported(path, ONE)
    before = path.read_bytes()
    large = [row(str(n), {"id": n}, os.urandom(1000).hex()) for n in range(200)]

    with pytest.raises(
        UnwritableError, match=r"cannot be written: File too large; the results are safe"
    ):
        export(path, *large, ours=ours)

    assert path.read_bytes() == before
    assert [left.name for left in tmp_path.iterdir()] == [path.name]


_KILLED = """
import os, signal, sys
from pathlib import Path
from batchai.exports import write_export
from batchai.spec.models import Output
from tests.exports.rows import row

passes = 0
def rows():
    global passes
    passes += 1
    for number in range(20_000):
        yield row(str(number), {"id": number}, "x" * 100)
    if passes == 2:
        os.kill(os.getpid(), signal.SIGKILL)

write_export(
    rows,
    path=Path(sys.argv[1]),
    output=Output(),
    result_fields=(),
    overwrite=True,
)
"""


def test_a_kill_during_an_export_leaves_the_file_of_before_and_the_next_export_cleans_up(
    tmp_path: Path,
) -> None:
    path = tmp_path / "out.csv"
    ours = exported(path, ONE)
    before = path.read_bytes()

    killed = subprocess.run([sys.executable, "-c", _KILLED, str(path)], check=False)

    assert killed.returncode == -signal.SIGKILL
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2
    export(path, ONE, ours=ours)
    assert [left.name for left in tmp_path.iterdir()] == ["out.csv"]


def test_the_unfinished_file_of_a_living_export_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / ".out.csv.0123abcd.tmp"
    with other.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)

        export(tmp_path / "out.csv", ONE)

        assert other.exists()
