"""Fixtures of the end-to-end tests."""

import os
from collections.abc import Generator

import pytest
from xdist.scheduler import WorkStealingScheduling

from tests.kit import KEY


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """CI installs every tool, so that a test which skips there is one that proves nothing."""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config) -> WorkStealingScheduling:
    """A worker that is done takes over what others still have: the slow tests lie together."""
    return WorkStealingScheduling(config)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key for the simulator, and none of the person who runs the tests."""
    monkeypatch.setenv("SIM_KEY", KEY)
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
