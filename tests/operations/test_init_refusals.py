import re
import subprocess
from pathlib import Path

import pytest

from batchai.errors import RefusedError, SourceError, SpecError
from batchai.operations.init import init
from tests.operations.beginnings import (
    ODD_ROWS,
    last_line,
    names_in,
    ready,
    write_csv,
)


def test_a_job_file_that_is_there_is_replaced_only_by_force(keyed: Path) -> None:
    write_csv(keyed / "data.csv", ODD_ROWS)
    (keyed / "job.yaml").write_text("mine")

    with pytest.raises(RefusedError, match=r"job\.yaml: is there already; give another NAME"):
        init("job", Path("data.csv"), folder=keyed)
    assert (keyed / "job.yaml").read_text() == "mine"

    ready(init("job", Path("data.csv"), folder=keyed, force=True))
    assert names_in(keyed) == ["data.csv", "job.yaml"]


def test_data_outside_is_named_with_the_way_to_allow_it(
    keyed: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "data.csv"
    write_csv(outside, ODD_ROWS)

    result = init("job", outside, folder=keyed)

    assert f"allow it with --allow-path {outside.parent}" in result.text
    assert last_line(result).endswith("next: batchai check job")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", "", "empty.csv: .*"),
        ("header.csv", "id,text\n", "header.csv: holds no records"),
        ("empty.json", "[]", "empty.json: holds no records"),
        ("bad.jsonl", "{no\n{no\n", "bad.jsonl: has no row that can be used"),
        ("nothing.jsonl", "{}\n{}\n", "nothing.jsonl: its rows have no columns"),
        ("data.gz", "x", "data.gz: the suffix .gz names no known format; unpack it first"),
    ],
)
def test_data_without_a_usable_row_is_refused_and_nothing_is_written(
    keyed: Path, name: str, content: str, message: str
) -> None:
    (keyed / name).write_text(content)

    with pytest.raises(SourceError, match=message):
        init("job", Path(name), folder=keyed)
    assert names_in(keyed) == [name]


def test_a_misspelt_data_file_is_guessed(keyed: Path) -> None:
    write_csv(keyed / "feedback.csv", ODD_ROWS)

    with pytest.raises(SourceError, match=r"did you mean feedback\.csv"):
        init("job", Path("feedbak.csv"), folder=keyed)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("batchai", "names the project file"),
        ("../job", "must lie below this folder"),
        ("?", "is no job's name"),
        (None, "init needs a NAME or a data file"),
    ],
)
def test_names_that_no_job_can_have_are_refused(
    keyed: Path, name: str | None, message: str
) -> None:
    with pytest.raises(SpecError, match=re.escape(message)):
        init(name, None, folder=keyed)
    assert names_in(keyed) == []


def test_an_unknown_template_is_guessed(keyed: Path) -> None:
    with pytest.raises(SpecError, match=r"--template summarize: .*summarise"):
        init("job", None, folder=keyed, template="summarize")


def test_the_folder_that_holds_the_job_is_no_folder_of_documents(keyed: Path) -> None:
    (keyed / "letter.txt").write_text("Dear all")

    with pytest.raises(SpecError, match="keep them in a folder of their own"):
        init("job", Path(), folder=keyed)


def test_paths_that_a_job_would_read_as_code_are_refused(keyed: Path) -> None:
    write_csv(keyed / "{{x}}.csv", ODD_ROWS)

    with pytest.raises(SpecError, match="rename it"):
        init("job", Path("{{x}}.csv"), folder=keyed)


def test_a_repository_that_would_take_in_keys_is_told(keyed: Path) -> None:
    write_csv(keyed / "data.csv", ODD_ROWS)
    assert ".gitignore" not in init("outside", Path("data.csv"), folder=keyed).text

    subprocess.run(["git", "init", "--quiet"], cwd=keyed, check=True)
    assert "echo .env >> .gitignore" in init("before", Path("data.csv"), folder=keyed).text

    (keyed / ".gitignore").write_text(".env*\n")
    assert ".gitignore" not in init("after", Path("data.csv"), folder=keyed).text
