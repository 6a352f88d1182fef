"""The demo as it is shown: real processes, a real kill, and the provider's log as judge."""

import tempfile
from pathlib import Path

import pytest

from batchai.errors import BatchaiError
from batchai.operations.demo import demo


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_killed_job_is_resumed_with_nothing_lost_and_nothing_left_behind(
    temporary: Path,
) -> None:
    said: list[str] = []

    assert demo(say=said.append, items=60)

    text = "\n".join(said)
    assert "Killed (SIGKILL, no goodbye) at " in text
    assert "60 of 60, each with exactly one result" in text
    assert text.count("✓") == 3
    assert list(temporary.iterdir()) == []


def test_a_job_that_cannot_run_is_said_with_its_own_words(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(temporary))
    (temporary / "batchai.py").write_text("print('not this one'); raise SystemExit(7)")
    monkeypatch.setattr("batchai.__file__", str(temporary / "batchai" / "__init__.py"))
    with pytest.raises(BatchaiError, match="not this one"):
        demo(say=lambda _line: None)
    assert [path.name for path in temporary.iterdir() if path.is_dir()] in ([], ["__pycache__"])
