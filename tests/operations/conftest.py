"""Folders to work in."""

from pathlib import Path

import pytest

from tests.operations.beginnings import KEY


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, empty; no proxy and no address in the environment."""
    for name in ("HTTPS_PROXY", "https_proxy", "ANTHROPIC_BASE_URL", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def keyed(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, with a key of Anthropic's."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    return here
