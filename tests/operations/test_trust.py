"""`batchai trust` on the command line."""

from pathlib import Path

import pytest

from batchai.cli import main
from tests.kit import Workspace


def test_trust_asks_once_and_remembers_the_text_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "checks.py").write_text("def fine(result, item):\n    return True\n")
    Workspace(tmp_path, "http://127.0.0.1:9/v1", top="checks: checks.py:fine").write(1)

    assert main(["check", "job.yaml"]) == 2
    assert "batchai trust job.yaml" in capsys.readouterr().err
    assert main(["trust", "job.yaml"]) == 2  # nobody is there to be asked
    assert "--yes" in capsys.readouterr().err
    assert main(["trust", "job.yaml", "--yes"]) == 0
    assert capsys.readouterr().out == "Trusted checks.py, until it changes\n"
    assert main(["check", "job.yaml"]) == 0
    assert main(["trust", "job.yaml"]) == 0
    assert "Nothing to trust" in capsys.readouterr().out
