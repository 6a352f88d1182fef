"""A second terminal: what is typed there while a job is at work, and what it prints."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchai.cli import main
from batchai.simulator import Simulator
from tests.kit import Workspace

Printed = pytest.CaptureFixture[str]


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator() as running:
        running.hold()
        yield running


@pytest.fixture
def space(tmp_path: Path, sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A job of ten items in the current directory."""
    monkeypatch.chdir(tmp_path)
    return Workspace(tmp_path, sim.openai_url, top="budget_usd: 1").write(10)


def test_a_run_is_paused_tuned_resumed_and_stopped_by_commands(
    space: Workspace, sim: Simulator, capsys: Printed
) -> None:
    process = space.start("run")
    sim.wait_for(4, timeout_seconds=120)
    assert main(["pause", "job"]) == 0
    assert main(["status"]) == 0
    said = capsys.readouterr().out
    assert "paused since" in said.splitlines()[-1]
    assert main(["tune", "job", "--requests-per-minute", "500", "--budget", "20"]) == 0
    assert main(["resume", "job"]) == 0
    assert main(["stop", "job"]) == 0
    said += capsys.readouterr().out
    sim.release()
    output, errors = process.communicate(timeout=120)

    assert "Go on with: batchai resume job" in said
    assert "budget $20.00, requests per minute 500" in said
    assert process.returncode == 3
    assert "Stopped by `batchai stop`" in output
    assert "of $20.00" in output
    assert "Tuned from another terminal: budget $20.00, requests per minute 500." in errors


def test_watch_prints_a_line_each_time_until_nothing_is_at_work(
    space: Workspace, sim: Simulator
) -> None:
    process = space.start("run")
    sim.wait_for(4, timeout_seconds=120)
    watching = [space.start("status", "--watch", *more) for more in ([], ["--json"])]
    first = [watch.stdout.readline() for watch in watching if watch.stdout is not None]
    sim.release()
    last = [watch.communicate(timeout=120)[0].splitlines()[-1] for watch in watching]
    process.communicate(timeout=120)

    assert " · 4 of 4 in flight (up to $" in first[0]
    assert " · finished (" in last[0]
    assert [json.loads(line)["is_working"] for line in (first[1], last[1])] == [True, False]
    assert json.loads(first[1])["slots"] == 4


def test_a_flag_given_to_resume_is_not_silently_left_out(
    space: Workspace, sim: Simulator, capsys: Printed
) -> None:
    process = space.start("run")
    sim.wait_for(4, timeout_seconds=120)
    assert main(["resume", "job", "--budget", "2"]) == 5
    assert "batchai stop job" in capsys.readouterr().err
    sim.release()
    assert process.wait(timeout=120) == 0
    process.communicate()
