"""Overrides of the command line: they win, and name themselves in messages."""

from decimal import Decimal
from pathlib import Path

import pytest

from batchai.spec import Overrides, find_mistakes, load_job
from batchai.spec.models import Input, Job, Model, Sample
from tests.spec.jobs import load, mistakes, write_job

MODEL = (
    "model: {name: openai/x, temperature: 1, base_url: 'http://localhost:1', extra_body: {a: 1}, "
    "api_key_env: MY_KEY, price: {input_mtok: 1, output_mtok: 2}}"
)


def with_settings(*settings: str, fields: tuple[str, ...] = ()) -> Job:
    return load(*fields, overrides=Overrides(settings=settings))


def model_of(overrides: Overrides, *fields: str) -> Model:
    return load(*fields, overrides=overrides).steps[0].model


def test_a_setting_replaces_a_field_of_the_file() -> None:
    job = with_settings("limits.concurrency=16", fields=("limits: {concurrency: 4, max_wait: 5m}",))

    assert (job.limits.concurrency, job.limits.max_wait_seconds) == (16, 300.0)


def test_a_setting_makes_the_maps_on_its_way() -> None:
    assert with_settings("limits.max_wait=90s").limits.max_wait_seconds == 90.0
    assert with_settings("model.temperature=0.5").steps[0].model.temperature == 0.5
    assert with_settings("input.sample.n=5").input.sample == Sample(n=5)
    assert with_settings("output.lineage=true", fields=("output: x.csv",)).output.lineage


def test_a_setting_takes_lists_and_maps() -> None:
    job = with_settings(
        "input.key=[a, b]",
        "on_truncated={grow: 99}",
        "schema={mood: [good, bad]}",
        "prompt=Hi = ho",
    )

    assert job.input.key == ("a", "b")
    assert job.steps[0].json_schema is not None
    assert job.steps[0].prompt.user == "Hi = ho"


def test_a_dash_is_standard_input_and_no_list() -> None:
    assert with_settings("input.path=-").input.path == "-"


def test_later_settings_win() -> None:
    assert with_settings("attempts=1", "attempts=2").attempts == 2


@pytest.mark.parametrize(
    ("setting", "mistake"),
    [
        ("limits.concurrency=x", "--set limits.concurrency: must be a whole number above 0, not"),
        (
            "limits.concurency=8",
            "--set limits.concurency: unknown field; did you mean concurrency?",
        ),
        ("limits={rpm: 8}", "--set limits: rpm: unknown field"),
        ("prompt.messages=[{role: x, content: y}]", "--set prompt.messages[0].role: must be user"),
        ("attempts", "--set attempts: must be NAME=VALUE, such as --set limits.concurrency=8"),
        ("=8", "--set =8: must be NAME=VALUE"),
        ("limits..x=8", "--set limits..x: name a field"),
        ("attempts=[", "--set attempts: is not YAML"),
        ("=a\nb", "--set =a·b: must be NAME=VALUE"),
        ("attempts=", "--set attempts: must be a whole number above 0, not nothing"),
        ("attempts=\udcff", "--set attempts: is not proper Unicode text"),
        ("name=NO", 'write "NO"'),
        ("input.path.x=1", "--set input.path.x"),
        ("vars.x=&a 1", "--set vars.x: anchors and aliases"),
    ],
)
def test_a_wrong_setting_names_itself(setting: str, mistake: str) -> None:
    (told,) = mistakes("vars: {}", overrides=Overrides(settings=(setting,)))

    assert told.startswith("--set ")
    assert mistake in told


def test_another_model_leaves_behind_what_belonged_to_the_first() -> None:
    same = model_of(Overrides(model="openai/x"), MODEL)
    sibling = model_of(Overrides(model="openai/y"), MODEL)
    stranger = model_of(Overrides(model="anthropic/y"), MODEL)

    assert same.price is not None
    assert (sibling.price, sibling.base_url, sibling.temperature) == (
        None,
        "http://localhost:1",
        1.0,
    )
    assert stranger == Model(name="anthropic/y", temperature=1.0)


def test_model_and_address_are_given_together() -> None:
    model = model_of(Overrides(model="openai/y", base_url="http://127.0.0.1:9/v1"))

    assert (model.name, model.base_url) == ("openai/y", "http://127.0.0.1:9/v1")


@pytest.mark.parametrize(
    ("overrides", "mistake"),
    [
        (Overrides(model="claude"), "--model: must be provider/name, such as"),
        (Overrides(base_url="http://example.com"), "--base-url: must begin with https://"),
        (Overrides(base_url="https://example.com"), "--base-url: example.com is not"),
        (Overrides(limit="few"), '--limit: must be a whole number above 0, not "few"'),
        (Overrides(limit=0), '--limit: must be a whole number above 0, not "0"'),
        (Overrides(budget="much"), "--budget: must be an amount in USD above 0"),
        (Overrides(variables=("kind",)), "--var kind: must be NAME=VALUE, such as"),
        (Overrides(variables=("n=x",)), "--var n: must be"),
        (Overrides(allow_paths=(Path("nowhere"),)), "--allow-path nowhere: is not a folder"),
    ],
    ids=range(9),
)
def test_a_wrong_option_names_itself(overrides: Overrides, mistake: str) -> None:
    found = mistakes("vars: {n: 1}", overrides=overrides)

    if "n=x" in overrides.variables:
        assert found == []
    else:
        assert len(found) == 1
        assert found[0].startswith(mistake)


def test_a_budget_on_the_command_line_cannot_be_kept_without_a_price() -> None:
    fields = "model: {name: openai/b, price: none}"

    (told,) = mistakes(fields, overrides=Overrides(budget="2"))

    assert told.startswith("--budget: cannot be kept with `price: none`")


def test_limit_and_budget_replace_those_of_the_file() -> None:
    source = "input: {path: a.csv, limit: 5}"

    assert load(source, overrides=Overrides(limit=7)).input.limit == 7
    assert load(source, overrides=Overrides(limit="all")).input.limit is None
    assert load(overrides=Overrides(limit="all")).input.limit is None
    assert load(overrides=Overrides(limit="3")).input.limit == 3
    assert load("budget_usd: 9", overrides=Overrides(budget="2.50")).budget_usd == Decimal("2.50")
    assert load(overrides=Overrides(budget=Decimal("0.1"))).budget_usd == Decimal("0.1")


def test_a_variable_is_text_unless_the_file_says_otherwise() -> None:
    job = load(
        "vars: {n: 1, kind: general, flag: true}",
        overrides=Overrides(variables=("n=5", "kind=NO", "flag=false")),
    )

    assert job.vars == {"n": 5, "kind": "NO", "flag": False}


def test_a_variable_that_only_the_prompt_speaks_of_is_given() -> None:
    job = load("prompt: '{{ vars.new }}'", overrides=Overrides(variables=("new=7",)))

    assert job.vars == {"new": "7"}


def test_a_variable_that_the_job_does_not_know_is_told_with_the_nearest_name() -> None:
    (told,) = mistakes("vars: {kind: general}", overrides=Overrides(variables=("knd=legal",)))

    assert told == "--var knd: the job has no such variable; did you mean kind?"


def test_a_setting_reaches_a_model_in_short_form_within_a_step() -> None:
    path = write_job()
    path.write_text(
        "input: data.csv\nmodel: openai/x\n"
        "steps: {a: {model: openai/y, prompt: x}, b: {prompt: y}}\n"
    )
    settings = ("steps.a.model.temperature=0", "steps.b.model.temperature=1")
    job = load_job(path, overrides=Overrides(settings=settings))

    models = [(step.model.name, step.model.temperature) for step in job.steps]
    assert models == [("openai/y", 0.0), ("openai/x", 1.0)]


def test_a_variable_reaches_paths_and_schema(folder: Path) -> None:
    job = load(
        "vars: {kind: general}",
        "input: '{{ vars.kind }}.csv'",
        overrides=Overrides(variables=("kind=legal",)),
    )

    assert job.input == Input(path=str(folder / "legal.csv"), roots=(folder, folder))


def test_a_mistake_of_the_file_that_an_override_replaces_is_none() -> None:
    path = write_job("model: nonsense")

    assert find_mistakes(path, overrides=Overrides(model="anthropic/claude-haiku-4-5")) == []
