"""`batchai simulator`, `batchai run --rehearse`, and their words."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from batchai.cli import main
from tests.kit import ENVIRONMENT, Workspace

Printed = pytest.CaptureFixture[str]


def test_a_simulator_serves_a_job_and_tells_what_it_saw(tmp_path: Path, capsys: Printed) -> None:
    command = ["simulator", "--rpm", "500", "--neighbours", "5", "--fault", "server_error=10%"]
    server = subprocess.Popen(
        [sys.executable, "-m", "batchai", *command],
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
    )
    assert server.stdout is not None
    url = server.stdout.readline().split()[-1]
    space = Workspace(tmp_path, url).write(20)
    assert main(["run", str(space.job_path), "--yes", "--set", "model.api_key_env=none"]) == 0
    server.send_signal(signal.SIGINT)
    said = server.stdout.read()
    server.stdout.close()

    assert server.wait(timeout=10) == 0
    assert f"--base-url {url}" in said
    assert "20 answered" in said
    assert " of 500 requests" in said
    assert "Most in flight at once: " in said
    assert "Other users of the account: " in said
    assert "Bill of openai/gpt-5.4-mini: 20 answers" in said
    assert "at list price" in said
    assert "20 succeeded" in capsys.readouterr().out


def test_a_simulator_that_nobody_asked_says_so_and_a_wrong_fault_is_refused(
    capsys: Printed,
) -> None:
    assert main(["simulator", "--fault", "gremlins=1"]) == 2
    assert "must be usual, or FAULT=SHARE" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["simulator", "--help"])
    assert "context_exceeded" in capsys.readouterr().out


def test_a_rehearsal_takes_limit_and_faults_and_exits_as_the_run_would(
    tmp_path: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Workspace(tmp_path, "https://nowhere.example/v1").write(20)

    assert main(["run", "job", "--rehearse", "usual", "hang=5%", "--limit", "10"]) == 0
    said = capsys.readouterr()
    assert "Rehearsing job on a simulated provider" in said.err
    assert "10 succeeded" in said.out
    assert main(["run", "job", "--rehearse", "auth=100%"]) == 3
    assert "For real it would have stopped: the provider refused the key." in (
        capsys.readouterr().out
    )
    assert main(["run", "job", "--rehearse", "--retry", "failed"]) == 2
    assert "begins anew" in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()
    assert not (tmp_path / ".batchai" / "job.db").exists()
