from pathlib import Path

import pytest

from batchai.clock import Clock
from batchai.operations.doctor import doctor
from batchai.operations.findings import Finding, Level, findings_exit_code, findings_text
from tests.operations.doctoring import CANARY, NOVEMBER, On, about, write_job


def test_jobs_here_and_in_jobs_are_checked_and_other_yaml_is_not(here: Path) -> None:
    (here / "jobs").mkdir()
    write_job(here / "jobs")
    write_job(here, name="broken.yaml", model="local/smollm2-135m\nscema: {a: string}\nbudget: 3")
    (here / "compose.yaml").write_text("services: {a: &x {image: b}}\n")
    (here / "pipeline.yml").write_text("steps:\n  - script: echo\n")

    found = {f.subject: f for f in doctor(here, clock=NOVEMBER) if ".y" in f.subject}

    assert set(found) == {"jobs/job.yaml", "broken.yaml"}
    assert found["broken.yaml"].level is Level.PROBLEM
    assert "broken.yaml:3: scema: " in found["broken.yaml"].text
    assert "(and 1 more" in found["broken.yaml"].text


def test_a_job_without_its_key_is_told(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_job(here, model="openai/gpt-6-luna")
    assert about(here, "job.yaml")[0].level is Level.WARNING
    assert "needs a key: set OPENAI_API_KEY" in about(here, "job.yaml")[0].text

    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    assert about(here, "job.yaml") == [
        Finding(Level.OK, "job.yaml", "is in order, openai/gpt-6-luna")
    ]


def test_a_job_whose_input_is_missing_is_a_problem(here: Path) -> None:
    write_job(here)
    (here / "data.csv").unlink()

    findings = doctor(here, clock=NOVEMBER)

    assert findings_exit_code(findings) == 1
    assert "data.csv: no such file" in about(here, "job.yaml")[0].text
    assert findings_text(findings).endswith("\n1 problem")


@pytest.mark.parametrize(
    ("clock", "level", "words"),
    [
        (On(2026, 9, 30), None, ""),
        (On(2026, 10, 1), Level.WARNING, "ends in 60 days, on 2026-11-30"),
        (On(2026, 11, 30), Level.WARNING, "ends today, on 2026-11-30"),
        (On(2026, 12, 1), Level.PROBLEM, "ended on 2026-11-30"),
    ],
    ids=["far", "soon", "today", "past"],
)
def test_a_model_near_its_end_is_told(
    here: Path, clock: Clock, level: Level | None, words: str
) -> None:
    write_job(here, model="anthropic/claude-sonnet-4-5")

    found = about(here, "anthropic/claude-sonnet-4-5", clock)

    assert [f.level for f in found] == ([level] if level else [])
    assert all(words in f.text and "job.yaml" in f.text for f in found)
