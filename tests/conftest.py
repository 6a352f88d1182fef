"""Fixtures of the end-to-end tests."""

import pytest

from tests.kit import KEY


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key for the simulator, and none of the person who runs the tests."""
    monkeypatch.setenv("SIM_KEY", KEY)
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
