"""What the tests of `doctor` share."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path

from batchai.clock import Clock
from batchai.operations.doctor import doctor
from batchai.operations.findings import Finding

CANARY = "canary-6b1f0e9d72c3a845"
STRAY = "sk-ant-" + "api03-" + "q" * 24  # in two parts: this file is none to complain about
JOB = "input: data.csv\nmodel: {model}\nprompt: 'Sort: {{{{ item.text }}}}'\n"


class On(Clock):
    """A clock that stands at one day."""

    def __init__(self, year: int, month: int, day: int) -> None:
        self._now = datetime(year, month, day, tzinfo=UTC)

    def utcnow(self) -> datetime:
        return self._now


NOVEMBER = On(2026, 11, 1)


def write_job(folder: Path, *, model: str = "local/smollm2-135m", name: str = "job.yaml") -> None:
    (folder / "data.csv").write_text("id,text\n1,hello\n")
    (folder / name).write_text(JOB.format(model=model))


def about(folder: Path, subject: str, clock: Clock = NOVEMBER) -> list[Finding]:
    """What is found on one subject."""
    return [found for found in doctor(folder, clock=clock) if found.subject == subject]


def repository(folder: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
