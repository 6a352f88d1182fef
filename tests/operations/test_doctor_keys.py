import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from batchai.operations.doctor import doctor
from batchai.operations.findings import (
    Finding,
    Level,
    findings_json,
    findings_text,
)
from tests.operations.doctoring import CANARY, NOVEMBER, STRAY, about, repository


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


def test_a_file_name_cannot_steer_the_terminal(here: Path) -> None:
    (here / "a\x1b[2J\n.txt").write_text(STRAY)

    text = findings_text(doctor(here, clock=NOVEMBER))

    assert "\x1b" not in text
    assert "a·[2J·.txt:1: looks like" in text


def test_a_key_in_a_file_that_git_ignores_is_a_note(here: Path) -> None:
    repository(here)
    (here / ".gitignore").write_text(".env*\n")
    (here / ".env.production").write_text(f"A_KEY={STRAY}\n")

    (found,) = about(here, "keys in files")

    assert found.level is Level.NOTE


def test_many_strings_like_keys_are_counted_the_most_urgent_file_first(here: Path) -> None:
    repository(here)
    (here / ".gitignore").write_text("a*\n")
    for number in range(13):
        (here / f"a{number}.txt").write_text(STRAY)
    (here / "notes.txt").write_text(f"{STRAY}\n" * 14)

    found = about(here, "keys in files")

    assert found[0].level is Level.PROBLEM
    assert "notes.txt:1: looks like an Anthropic key (and 13 more there); " in found[0].text
    assert len(found) == 11
    assert found[-1] == Finding(Level.NOTE, "keys in files", "and in 4 more files")
