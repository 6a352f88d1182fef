from pathlib import Path

import pytest

from batchai.operations.doctor import doctor
from batchai.operations.findings import (
    Finding,
    Level,
    findings_exit_code,
    findings_json,
    findings_text,
)
from tests.operations.doctoring import CANARY, NOVEMBER, about


def test_an_empty_folder_has_no_problem(here: Path) -> None:
    findings = doctor(here, clock=NOVEMBER)

    assert findings_exit_code(findings) == 0
    assert {f.level for f in findings} <= {Level.OK, Level.NOTE}
    assert [f.subject for f in findings][:4] == ["versions", "pyarrow", "openpyxl", "apprise"]
    assert about(here, "folder") == [
        Finding(Level.OK, "folder", f"{here}: can be written, fit for a store")
    ]
    assert list(here.iterdir()) == []


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

    assert about(folder, "folder")[0].level is Level.PROBLEM


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
