"""The socket on which a launch takes commands: private, and proof against its clients."""

import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchai.engine.control_socket import call
from batchai.simulator import Simulator
from batchai.store.erasing import everything_of
from tests.kit import Workspace
from tests.operations.launching import launched

LIMIT = "limits: {concurrency: 4}"
STATUS = {"do": "status"}


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator() as running:
        running.hold()
        yield running


def live(space: Workspace) -> dict[str, object] | None:
    return call(space.job().store_path, STATUS, timeout_seconds=30)


def test_a_launch_tells_what_only_it_knows_and_leaves_no_socket(
    tmp_path: Path, sim: Simulator
) -> None:
    space = Workspace(tmp_path, sim.openai_url, top=LIMIT).write(20)
    path = space.job().store_path.with_suffix(".sock")
    assert live(space) is None
    with launched(space):
        sim.wait_for(4, timeout_seconds=120)
        found = live(space)
        assert found is not None
        assert (found["in_flight"], found["slots"], found["waits_for"]) == (4, 4, "slots")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        sim.release()
    assert not path.exists()
    assert live(space) is None


def test_the_socket_of_a_killed_launch_is_no_obstacle(tmp_path: Path, sim: Simulator) -> None:
    space = Workspace(tmp_path, sim.openai_url, top=LIMIT).write(20)
    process = space.start("run", "--yes")
    sim.wait_for(4, timeout_seconds=120)
    process.kill()
    process.communicate(timeout=120)
    assert space.job().store_path.with_suffix(".sock").exists()
    assert live(space) is None
    assert space.job().store_path.with_suffix(".sock") in everything_of(
        space.job().store_path, job_file="job.yaml"
    )
    with launched(space):
        sim.wait_for(8, timeout_seconds=120)
        assert live(space) is not None
        sim.release()


def test_a_store_at_a_long_path_takes_commands_too(tmp_path: Path, sim: Simulator) -> None:
    folder = tmp_path / ("deep" * 20) / ("down" * 20)
    folder.mkdir(parents=True)
    space = Workspace(folder, sim.openai_url, top=LIMIT).write(20)
    with launched(space):
        sim.wait_for(4, timeout_seconds=120)
        assert live(space) is not None
        sim.release()
    assert live(space) is None


@pytest.mark.parametrize(
    "nonsense",
    [b"", b"{", b"\n", b"\xff\xfe\n", b"[" * 50_000 + b"\n", b"x" * 200_000],
    ids=["hangs", "half a line", "empty", "no text", "deep", "endless"],
)
def test_a_client_that_hangs_or_talks_nonsense_does_no_harm(
    tmp_path: Path, sim: Simulator, caplog: pytest.LogCaptureFixture, nonsense: bytes
) -> None:
    space = Workspace(tmp_path, sim.openai_url, top=LIMIT).write(20)
    with launched(space) as launch:
        sim.wait_for(4, timeout_seconds=120)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(space.job().store_path.with_suffix(".sock")))
            try:
                client.sendall(nonsense)
            except OSError:
                assert len(nonsense) > 64 * 1024  # it was not listened to for so long
            assert live(space) is not None
            sim.release()
    assert launch.summary is not None
    assert launch.summary.exit_code == 0
    assert not caplog.records
