import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from batchai.clock import Clock
from batchai.operations.doctor import doctor
from batchai.operations.findings import (
    Finding,
    Level,
    findings_exit_code,
    findings_json,
    findings_text,
)

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


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HTTPS_PROXY", "https_proxy", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_job(folder: Path, *, model: str = "local/smollm2-135m", name: str = "job.yaml") -> None:
    (folder / "data.csv").write_text("id,text\n1,hello\n")
    (folder / name).write_text(JOB.format(model=model))


def about(folder: Path, subject: str, clock: Clock = NOVEMBER) -> list[Finding]:
    """What is found on one subject."""
    return [found for found in doctor(folder, clock=clock) if found.subject == subject]


def repository(folder: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)


def test_an_empty_folder_has_no_problem(here: Path) -> None:
    findings = doctor(here, clock=NOVEMBER)

    assert findings_exit_code(findings) == 0
    assert {f.level for f in findings} <= {Level.OK, Level.NOTE}
    assert [f.subject for f in findings][:4] == ["versions", "pyarrow", "openpyxl", "xllamacpp"]
    assert about(here, "folder") == [
        Finding(Level.OK, "folder", f"{here}: can be written, fit for a store")
    ]
    assert list(here.iterdir()) == []


def test_keys_are_named_with_their_place_and_never_shown(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", CANARY)
    (here / ".env").write_text(f"OPENAI_API_KEY={CANARY}2\n")
    (here / ".env").chmod(0o600)

    findings = doctor(here, clock=NOVEMBER)

    assert Finding(Level.OK, "anthropic", "ANTHROPIC_API_KEY from the environment") in findings
    assert Finding(Level.OK, "openai", "OPENAI_API_KEY from .env") in findings
    assert CANARY not in findings_text(findings) + repr(findings) + repr(findings_json(findings))


def test_a_missing_key_is_a_note_since_local_models_need_none(here: Path) -> None:
    (found,) = about(here, "openai")

    assert found.level is Level.NOTE
    assert "no OPENAI_API_KEY in the environment or in .env here" in found.text


def test_two_different_keys_of_one_name_are_told(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    (here / ".env").write_text(f"OPENAI_API_KEY={CANARY}-old\n")

    assert about(here, "openai")[1] == Finding(
        Level.WARNING,
        "openai",
        "OPENAI_API_KEY differs in .env; the one from the environment is used",
    )


def test_a_key_with_a_line_break_is_a_problem(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY + "\n")

    problem = about(here, "openai")[1]

    assert problem.level is Level.PROBLEM
    assert "holds a space, a line break" in problem.text


def test_an_env_file_that_git_would_take_in_is_a_problem(here: Path) -> None:
    repository(here)
    (here / ".env").write_text("")
    (here / ".env").chmod(0o600)

    (found,) = about(here, ".env")
    assert found.level is Level.PROBLEM
    assert "echo .env >> .gitignore" in found.text

    (here / ".gitignore").write_text(".env\n")
    assert about(here, ".env") == [Finding(Level.OK, ".env", "yours alone, ignored by git")]


def test_an_env_file_that_git_has_already_is_a_problem_though_it_is_ignored(here: Path) -> None:
    repository(here)
    (here / ".env").write_text("")
    subprocess.run(["git", "add", ".env"], cwd=here, check=True)
    (here / ".gitignore").write_text(".env\n")

    assert about(here, ".env")[0].level is Level.PROBLEM


def test_a_repository_without_env_file_gets_a_hint(here: Path) -> None:
    repository(here)

    (found,) = about(here, ".env")

    assert found.level is Level.NOTE
    assert "before you put keys there" in found.text


def test_an_env_file_that_others_may_read_is_told_with_the_remedy(here: Path) -> None:
    (here / "jobs").mkdir()
    (here / "jobs" / ".env").write_text("")
    (here / "jobs" / ".env").chmod(0o644)

    assert about(here, "jobs/.env") == [
        Finding(Level.WARNING, "jobs/.env", "others may read it (mode 644): chmod 600 jobs/.env")
    ]


@pytest.mark.parametrize(
    ("prepare", "level"),
    [
        (lambda _folder: None, Level.WARNING),
        (repository, Level.PROBLEM),
    ],
    ids=["in a plain folder", "in a repository"],
)
def test_a_string_like_a_key_in_a_file_is_told_by_its_place(
    here: Path, prepare: Callable[[Path], None], level: Level
) -> None:
    prepare(here)
    (here / "notes.txt").write_text(f"first line\nkey = {STRAY}\n")

    (found,) = about(here, "keys in files")

    assert found.level is level
    assert found.text.startswith("notes.txt:2: looks like an Anthropic key; move it to .env")
    assert STRAY not in found.text


def test_a_key_in_a_file_that_git_ignores_is_a_note(here: Path) -> None:
    repository(here)
    (here / ".gitignore").write_text(".env*\n")
    (here / ".env.production").write_text(f"A_KEY={STRAY}\n")

    (found,) = about(here, "keys in files")

    assert found.level is Level.NOTE


def test_many_strings_like_keys_are_counted(here: Path) -> None:
    (here / "notes.txt").write_text(f"{STRAY}\n" * 14)

    found = about(here, "keys in files")

    assert len(found) == 11
    assert found[-1].text == "and 4 more places"


def test_variables_that_batchai_ignores_are_named_without_their_value(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"https://{CANARY}.example")
    monkeypatch.setenv("ALL_PROXY", f"http://me:{CANARY}@proxy")
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{CANARY}@proxy")

    findings = doctor(here, clock=NOVEMBER)

    levels = {found.subject: found.level for found in findings}
    assert levels["OPENAI_BASE_URL"] is Level.WARNING
    assert levels["ALL_PROXY"] is Level.NOTE
    assert levels["HTTPS_PROXY"] is Level.NOTE
    assert CANARY not in findings_text(findings)


def test_a_folder_that_cannot_be_written_is_a_problem(here: Path) -> None:
    findings = doctor(here / "gone", clock=NOVEMBER)

    (found,) = [found for found in findings if found.subject == "folder"]
    assert found.level is Level.PROBLEM
    assert "gone: cannot be written (No such file or directory)" in found.text
    assert findings_exit_code(findings) == 1


def test_a_folder_of_a_sync_service_is_told(here: Path) -> None:
    folder = here / "Dropbox (Work)" / "jobs"
    folder.mkdir(parents=True)

    assert about(folder, "folder")[0].level is Level.WARNING


def test_the_local_model_is_there_or_not(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
    name = "local/smollm2-135m"
    assert about(here, name)[0].text == "is not downloaded; its first use fetches 98 MB"

    (here / "cache" / "batchai").mkdir(parents=True)
    weights = here / "cache" / "batchai" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    weights.touch()
    assert "is not whole" in about(here, name)[0].text

    with weights.open("wb") as stream:
        stream.truncate(98_362_432)
    assert about(here, name)[0] == Finding(Level.OK, name, f"is downloaded: {weights}")


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
    write_job(here, model="openai/gpt-5.4-mini")
    assert about(here, "job.yaml")[0].level is Level.WARNING
    assert "needs a key: set OPENAI_API_KEY" in about(here, "job.yaml")[0].text

    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    assert about(here, "job.yaml") == [
        Finding(Level.OK, "job.yaml", "is in order, openai/gpt-5.4-mini")
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


def test_findings_read_as_aligned_lines_and_as_json() -> None:
    findings = [
        Finding(Level.OK, "a", "fine"),
        Finding(Level.PROBLEM, "long one", "broken"),
        Finding(Level.WARNING, "b", "hm"),
        Finding(Level.WARNING, "c", "hm"),
    ]

    assert findings_text(findings).splitlines() == [
        "ok       a         fine",
        "problem  long one  broken",
        "warning  b         hm",
        "warning  c         hm",
        "1 problem, 2 warnings",
    ]
    assert findings_text(findings[:1]).endswith("\nNothing needs attention.")
    assert findings_json(findings[:1]) == {
        "schema_version": 1,
        "findings": [{"level": "ok", "subject": "a", "text": "fine"}],
    }
