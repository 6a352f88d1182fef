"""Paths: relative to the job file, and within the current directory or the job's folder."""

from pathlib import Path

import pytest

from batchai.spec import Overrides, find_mistakes, load_job
from tests.spec.jobs import job_text, load, only_mistake, write_job


def load_at(path: Path, *fields: str) -> str | None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(job_text(*fields))
    return load_job(path).input.path


def test_paths_are_relative_to_the_job_file(folder: Path) -> None:
    assert load_at(Path("jobs/a.yaml"), "input: ../data/x.csv") == str(folder / "data/x.csv")


def test_a_job_elsewhere_may_read_its_own_folder(tmp_path: Path) -> None:
    elsewhere = (tmp_path / "elsewhere").resolve()

    assert load_at(elsewhere / "a.yaml", "input: x.csv") == str(elsewhere / "x.csv")


def test_a_path_outside_is_refused_until_it_is_allowed(tmp_path: Path, folder: Path) -> None:
    outside = (tmp_path / "outside").resolve()
    outside.mkdir()
    path = write_job(f"input: {outside}/x.csv")

    assert find_mistakes(path) == [
        f"a.yaml:1: input: {outside}/x.csv lies outside the current directory and the job's "
        f"folder: allow it with --allow-path {outside}"
    ]
    job = load_job(path, overrides=Overrides(allow_paths=(outside,)))
    assert job.input.path == f"{outside}/x.csv"
    assert job.input.roots == (folder, folder, outside)


@pytest.mark.parametrize(
    "field",
    [
        "output: ../x.csv",
        "input: ../*.csv",
        "prompt: {file: ../x.md}",
        "schema: {file: ../x.json}",
        "input: {sql: {url: 'sqlite:///../x.db', query: SELECT 1}}",
        "input: {sql: {url: 'sqlite:////etc/x.db', query: SELECT 1}}",
        "vars: {kind: ../..}\noutput: '{{ vars.kind }}/x.csv'",
    ],
)
def test_every_kind_of_path_is_kept_inside(field: str) -> None:
    assert "lies outside the current directory" in only_mistake(*field.split("\n"))


def test_a_symlink_that_leads_outside_is_refused(tmp_path: Path, folder: Path) -> None:
    (folder / "link").symlink_to(tmp_path)

    assert "lies outside" in only_mistake("input: link/x.csv")
    assert "lies outside" in only_mistake("input: link/*.csv")


def test_a_loop_of_symlinks_is_no_usable_path(folder: Path) -> None:
    (folder / "a").symlink_to(folder / "b")
    (folder / "b").symlink_to(folder / "a")

    assert "is no usable path" in only_mistake("input: a/x.csv")


def test_environment_variables_are_filled_into_paths(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_DIR", str(folder / "d"))

    assert load("input: ${DATA_DIR}/x.csv").input.path == str(folder / "d/x.csv")


@pytest.mark.parametrize(
    ("path", "mistake"),
    [
        ("${NOT_SET}/x.csv", "the environment variable NOT_SET is not set: export NOT_SET=…"),
        ("${ANTHROPIC_API_KEY}/x.csv", "${ANTHROPIC_API_KEY} may hold a key"),
        ("${DB_PASSWORD}/x.csv", "${DB_PASSWORD} may hold a key"),
        ("${a-b}/x.csv", "${…} must hold the name of an environment variable"),
        ("'${HOME'", "${ is not closed: write ${NAME}"),
        ("~/x.csv", "~ is not expanded"),
        ("data/*/../../x", "must not go up (..) after a wildcard"),
        ("'{{ vars.nope }}.csv'", "a.yaml:1: input: there is no `nope`"),
        ("'{{ item.x }}.csv'", "a.yaml:1: input: 'item' is undefined"),
        ("{path: [a]}", "input.path: must be a path or address, not a list"),
        ("{path: ''}", "must be a path or address, not empty"),
        ('"a\\0b"', "must be a path or address"),
        ("x" * 300, "is no usable path: "),
        ("'*" + "x" * 300 + "/../..'", "must not go up"),
    ],
)
def test_a_path_that_cannot_be_is_told(
    path: str, mistake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOME")

    assert mistake in only_mistake(f"input: {path}")


def test_dollar_signs_elsewhere_are_text() -> None:
    assert load('prompt: "Is ${x} more than $5?"').steps[0].prompt.user == "Is ${x} more than $5?"


def test_a_glob_keeps_its_wildcards_and_a_real_name_is_none(folder: Path) -> None:
    (folder / "data[1].csv").touch()

    assert load("input: 'd/**/*.csv'").input.path == str(folder / "d/**/*.csv")
    assert load("input: 'data[1].csv'").input.path == str(folder / "data[1].csv")
    assert load("input: '-'").input.path == "-"


def test_one_job_has_one_store_however_its_file_is_named(folder: Path) -> None:
    write_job(name="jobs/a.yaml")
    (folder / "link").symlink_to(folder / "jobs")

    stores = {
        load_job(Path(way)).store_path
        for way in ("jobs/a.yaml", "jobs/../jobs/a.yaml", "link/a.yaml")
    }

    assert stores == {folder / "jobs/.batchai/a.db"}
