"""Ctrl-C and SIGTERM drain; a second signal leaves at once; both can be resumed."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from batchai.simulator import Latency, Settings, Simulator
from tests.kit import Workspace, prompts_of


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_finishes_what_is_in_flight_and_loses_nothing(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with Simulator(Settings(latency=Latency(0.1))) as sim:
        space = Workspace(tmp_path, sim.openai_url).write(60)
        process = space.start("run", "--yes")
        sim.wait_for(6, timeout_seconds=120)
        process.send_signal(number)
        output, errors = process.communicate(timeout=120)
        sent = len(sim.received)

        assert process.returncode == code
        assert "in flight" in errors
        assert "batchai run job.yaml" in output
        assert sum(row.state == "succeeded" for row in space.results()) == sent < 60

        assert space.run().exit_code == 0
        assert len(prompts_of(sim.received)) == len(set(prompts_of(sim.received))) == 60


def test_a_second_signal_leaves_at_once_and_the_job_resumes(tmp_path: Path) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url).write(20)
        sim.hold()
        process = space.start("run", "--yes")
        sim.wait_for(4, timeout_seconds=120)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        while "in flight" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
        assert process.returncode == 130
        sim.release()

        assert space.run().exit_code == 0
        assert {row.state for row in space.results()} == {"succeeded"}


def test_a_drain_is_bounded_for_containers(tmp_path: Path) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url).write(20)
        sim.hold()
        process = space.start("run", "--yes", "--drain", "0.5s")
        sim.wait_for(4, timeout_seconds=120)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 143
        assert "The time of --drain is over." in errors
        sim.release()

        assert space.run().exit_code == 0
        assert {row.state for row in space.results()} == {"succeeded"}


@pytest.mark.parametrize("signals", [1, 2], ids=["drain", "leave"])
def test_a_pipe_that_stays_open_and_says_nothing_holds_no_process_up(
    tmp_path: Path, signals: int
) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url).write(1)
        job = space.job_path
        job.write_text(job.read_text().replace("path: data.csv", "path: '-'"))
        sim.hold()
        process = space.start("run", "--yes", stdin=subprocess.PIPE)
        assert process.stdin is not None
        for number in range(1100):  # the first thousand are looked at before anything is sent
            process.stdin.write(json.dumps({"id": number, "text": f"text {number}"}) + "\n")
        process.stdin.flush()
        sim.wait_for(4, timeout_seconds=120)
        assert process.stderr is not None
        for _ in range(signals):
            process.send_signal(signal.SIGTERM)
            while "in flight" not in process.stderr.readline():
                pass
        sim.release()
        assert process.wait(timeout=120) == 143
        process.communicate()
