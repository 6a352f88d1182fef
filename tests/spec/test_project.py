"""The project file: defaults that a job overrides, limits that it does not."""

import os
from decimal import Decimal
from pathlib import Path

import pytest

from batchai.errors import SpecError
from batchai.spec import Overrides, find_mistakes, load_job
from batchai.spec.models import Job, Price
from batchai.spec.project import find_project
from tests.spec.jobs import job_text, load, mistakes


def with_project(project: str, *fields: str, overrides: Overrides | None = None) -> Job:
    Path("batchai.yaml").write_text(project)
    return load(*fields, overrides=overrides or Overrides())


def project_mistake(project: str, *fields: str) -> str:
    Path("batchai.yaml").write_text(project)
    (mistake,) = mistakes(*fields)
    return mistake


def test_a_job_has_the_defaults_that_it_does_not_give_itself() -> None:
    job = with_project(
        "defaults:\n  attempts: 2\n  limits: {concurrency: 4, max_wait: 5m}\n"
        "  vars: {a: 1, b: 2}\n",
        "limits: {concurrency: 6}",
        "vars: {b: 3}",
    )

    assert job.attempts == 2
    assert (job.limits.concurrency, job.limits.max_wait_seconds) == (6, 300.0)
    assert job.vars == {"a": 1, "b": 3}


def test_short_forms_merge_with_maps() -> None:
    job = with_project(
        "defaults:\n  input: {encoding: latin-1}\n  output: {lineage: true}\n"
        "  model: {name: openai/b, top_p: 1}\n",
        "output: x.csv",
    )

    assert (job.input.encoding, job.output.lineage) == ("latin-1", True)
    assert job.steps[0].model.name == "anthropic/claude-haiku-4-5"
    assert job.steps[0].model.top_p == 1.0


def test_the_price_of_another_model_is_not_inherited() -> None:
    project = "defaults: {model: {name: openai/b, price: {input_mtok: 1, output_mtok: 1}}}"

    assert with_project(project, "model: openai/c").steps[0].model.price is None
    assert isinstance(with_project(project, "model: openai/b").steps[0].model.price, Price)


def test_a_schema_is_replaced_whole() -> None:
    job = with_project("defaults: {schema: {a: string}}", "schema: {b: string}")

    assert job.steps[0].json_schema is not None
    assert list(job.steps[0].json_schema["properties"]) == ["b"]


def test_a_job_with_its_own_source_does_not_inherit_another() -> None:
    project = "defaults: {input: {sql: {url: 'sqlite:///a.db', query: SELECT 1}}}"

    assert with_project(project).input.sql is None


def test_the_command_line_wins_over_both() -> None:
    project = "defaults: {attempts: 2}"

    job = with_project(project, "attempts: 3", overrides=Overrides(settings=("attempts=4",)))

    assert job.attempts == 4


def test_paths_of_defaults_are_relative_to_the_project_file(folder: Path) -> None:
    Path("house.md").write_text("Be brief.")
    Path("batchai.yaml").write_text("defaults: {prompt: {system: {file: house.md}}}")
    job = Path("jobs/a.yaml")
    job.parent.mkdir()
    job.write_text(job_text("prompt: {user: '{{ item.x }}'}", "input: ../data.csv"))

    loaded = load_job(job)

    assert loaded.steps[0].prompt.system == "Be brief."
    assert loaded.input.path == str(folder / "data.csv")


ACCOUNTS = "accounts: {anthropic: {limits: {requests_per_minute: 50, concurrency: 4}}}"


def test_the_smaller_limit_of_job_and_account_counts() -> None:
    assert with_project(ACCOUNTS).limits.requests_per_minute == 50
    assert with_project(ACCOUNTS).limits.concurrency == 4
    assert (
        with_project(ACCOUNTS, "limits: {requests_per_minute: 20}").limits.requests_per_minute == 20
    )
    assert (
        with_project(ACCOUNTS, "limits: {requests_per_minute: 90}").limits.requests_per_minute == 50
    )
    assert with_project(ACCOUNTS, "limits: {concurrency: auto}").limits.concurrency == 4


def test_the_limits_of_an_account_are_of_its_own_address_only() -> None:
    local = "model: {name: anthropic/x, base_url: 'http://localhost:1'}"

    assert with_project(ACCOUNTS, local).limits.requests_per_minute is None
    assert with_project(ACCOUNTS, "model: openai/x").limits.requests_per_minute is None


@pytest.mark.parametrize(
    ("project", "mistake"),
    [
        ("default: {}", "batchai.yaml:1: default: unknown field; did you mean defaults?"),
        (
            "model: openai/b",
            "batchai.yaml:1: model: unknown field here: write it under `defaults:`",
        ),
        ("defaults: {name: x}", "batchai.yaml:1: defaults.name: unknown field"),
        ("defaults: {attempts: x}", "batchai.yaml:1: defaults.attempts: must be a whole number"),
        ("defaults:\n  limits: {rpm: 1}", "batchai.yaml:2: defaults.limits.rpm: unknown field"),
        ("defaults: [a]", "batchai.yaml:1: defaults: must be a map"),
        (
            "accounts: {anthropic: {limits: {max_wait: 1h}}}",
            "accounts.anthropic.limits.max_wait: unknown",
        ),
        ("accounts: {anthropic: {limits: {concurrency: auto}}}", "must be a whole number above 0"),
        (
            "accounts: {antropic: {limits: {}}}",
            "accounts.antropic: unknown field; did you mean anthropic?",
        ),
        ("a: 1\na: 2", "batchai.yaml:2: a: is given twice"),
    ],
)
def test_a_mistake_in_the_project_file_is_told_there(project: str, mistake: str) -> None:
    assert mistake in project_mistake(project)


def test_a_project_file_is_no_job(folder: Path) -> None:
    Path("batchai.yaml").write_text(job_text())

    with pytest.raises(SpecError, match=r"^batchai\.yaml: is a project file, not a job"):
        load_job(Path("batchai.yaml"))
    assert find_mistakes(folder / "batchai.yaml")[0].startswith("batchai.yaml: is a project file")


def test_the_nearest_project_file_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = folder / "x/y"
    below.mkdir(parents=True)
    (folder / "batchai.yaml").write_text("defaults: {attempts: 2}")

    assert find_project(below) == folder / "batchai.yaml"
    (below / "batchai.yaml").write_text("defaults: {attempts: 3}")
    assert find_project(below) == below / "batchai.yaml"
    monkeypatch.chdir(below)
    assert load().attempts == 3


@pytest.mark.skipif(
    not hasattr(os, "getuid") or os.getuid() != 0, reason="needs to give files away"
)
def test_a_project_file_above_that_somebody_else_planted_is_passed_over(folder: Path) -> None:
    below = folder / "x"
    below.mkdir()
    (folder / "batchai.yaml").write_text("defaults: {attempts: 2}")
    os.chown(folder / "batchai.yaml", 12345, 12345)

    assert find_project(below) is None
    assert find_project(folder) == folder / "batchai.yaml"


def test_prices_stand_in_the_job_in_the_project_file_or_in_files_and_the_nearest_one_holds(
    folder: Path,
) -> None:
    def price(usd: int) -> str:
        return f"{{input_mtok: {usd}, output_mtok: 9}}"

    (folder / "theirs.yaml").write_text(f"openai/a: {price(1)}\nopenai/b: {price(2)}\n")
    (folder / "ours.yaml").write_text(f"openai/b: {price(3)}\n")
    project = "prices: theirs.yaml"

    def input_price(*fields: str) -> Decimal:
        found = with_project(project, *fields).steps[0].model.price
        assert isinstance(found, Price)
        return found.input_mtok

    assert input_price("model: openai/a", "prices: ours.yaml") == 1
    assert input_price("model: openai/b") == 2
    assert input_price("model: openai/b", "prices: ours.yaml") == 3
    assert input_price("model: openai/b", f"prices: {{openai/b: {price(4)}}}") == 4
    own = f"model: {{name: openai/b, price: {price(5)}}}"
    assert input_price(own, "prices: ours.yaml") == 5


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("openai/a: {input_mtok: 1, output_mtok: 2, delivery: {flex: 0}}", "a factor above 0"),
        ("openai/a: {input_mtok: 1, output_mtok: 2, delivery: {flix: 1}}", "did you mean flex"),
        ("openai/a: {input_mtok: 1}", "output_mtok: is missing"),
    ],
)
def test_a_mistake_in_a_prices_file_is_told_with_its_line(
    folder: Path, written: str, problem: str
) -> None:
    (folder / "p.yaml").write_text(f"# USD\n{written}\n")

    assert any(
        "p.yaml:2: " in mistake and problem in mistake for mistake in mistakes("prices: p.yaml")
    )
    assert "no such file" in mistakes("prices: absent.yaml")[0]
