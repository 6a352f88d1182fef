"""Every field of the job file: what it takes, and what it says to the rest."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from batchai.domain import MAIN_STEP
from batchai.spec import load_job
from batchai.spec.models import (
    Allowed,
    Fixed,
    Grow,
    Limits,
    Model,
    Output,
    Policies,
    Price,
    PromptMessage,
    Repair,
    Retain,
    Sample,
    StopIf,
)
from tests.spec.jobs import load

EVERYTHING = """
version: 1
name: feedback
vars: {kind: general}
input:
  path: data/{{ vars.kind }}.csv
  key: [region, customer_id]
  format: csv
  encoding: latin-1
  where: item.plan != "free"
  limit: 1000
  sample: {n: 500, seed: 7}
  on_bad_row: skip
model:
  name: openai/gpt-5.4-mini
  max_tokens: 256
  temperature: 0
  top_p: 0.9
  stop: [END]
  metadata: {team: blue}
  effort: low
  extra_body: {seed: 7}
  base_url: http://127.0.0.1:8000/v1/
  api_key_env: MY_SERVER_KEY
  price: {input_mtok: 0.75, output_mtok: 4.50, cache_read_mtok: 0.075}
prompt:
  system: You classify {{ vars.kind }} feedback.
  messages:
    - {role: user, content: Good!}
    - {role: assistant, content: positive}
  user: "{{ item.text }}"
schema:
  sentiment: [positive, negative]
output: {path: out/feedback.csv, failed: drop, lineage: true}
expect: {sentiment: gold}
limits:
  requests_per_minute: 50
  requests_per_day: 1000
  tokens_per_minute: 40000
  input_tokens_per_minute: 30000
  output_tokens_per_minute: 8000
  concurrency: 16
  max_wait: 1h30m
budget_usd: 2.50
stop_if: {failed: 20%, of_last: 50}
allow_failed: 5%
attempts: 3
on_truncated: {grow: 8192}
on_invalid: {repair: 1, then: {sentiment: positive}}
on_refused: {sentiment: negative}
on_unknown: hold
retain: {items: false, answers: false}
delivery: live
"""


def test_every_field_of_the_job_file_reaches_the_job(folder: Path) -> None:
    Path("a.yaml").write_text(EVERYTHING)

    job = load_job(Path("a.yaml"))

    assert (job.name, job.path, job.vars) == ("feedback", folder / "a.yaml", {"kind": "general"})
    assert job.input.path == str(folder / "data/general.csv")
    assert job.input.key == ("region", "customer_id")
    assert (job.input.format, job.input.encoding, job.input.limit) == ("csv", "latin-1", 1000)
    assert (job.input.where, job.input.on_bad_row) == ('item.plan != "free"', "skip")
    assert job.input.sample == Sample(n=500, seed=7)
    assert job.output == Output(path=folder / "out/feedback.csv", failed="drop", lineage=True)
    assert job.expect == {"sentiment": "gold"}
    assert job.limits == Limits(
        requests_per_minute=50,
        requests_per_day=1000,
        tokens_per_minute=40000,
        input_tokens_per_minute=30000,
        output_tokens_per_minute=8000,
        concurrency=16,
        max_wait_seconds=5400.0,
    )
    assert str(job.budget_usd) == "2.50"
    assert job.stop_if == StopIf(failed_share=Decimal("0.2"), of_last=50)
    assert job.allow_failed == Allowed(number=None, share=Decimal("0.05"))
    assert job.attempts == 3
    assert job.retain == Retain(items=False, answers=False)
    assert job.store_path == folder / ".batchai" / "feedback.db"


def test_model_prompt_schema_and_policies_become_the_one_step() -> None:
    Path("a.yaml").write_text(EVERYTHING)

    (step,) = load_job(Path("a.yaml")).steps

    assert step.name == MAIN_STEP
    assert step.model == Model(
        name="openai/gpt-5.4-mini",
        max_tokens=256,
        temperature=0.0,
        top_p=0.9,
        stop=("END",),
        metadata={"team": "blue"},
        effort="low",
        extra_body={"seed": 7},
        base_url="http://127.0.0.1:8000/v1",
        api_key_env="MY_SERVER_KEY",
        price=Price(
            input_mtok=Decimal("0.75"),
            output_mtok=Decimal("4.50"),
            cache_read_mtok=Decimal("0.075"),
        ),
    )
    assert step.prompt.system == "You classify {{ vars.kind }} feedback."
    assert step.prompt.messages == (
        PromptMessage(role="user", content="Good!"),
        PromptMessage(role="assistant", content="positive"),
    )
    assert step.prompt.user == "{{ item.text }}"
    assert step.json_schema is not None
    assert step.policies == Policies(
        on_truncated=Grow(grow=8192),
        on_invalid=Repair(repair=1, then={"sentiment": "positive"}),
        on_refused=Fixed(values={"sentiment": "negative"}),
        on_unknown="hold",
    )


def test_three_keys_are_enough_and_the_rest_has_safe_defaults(folder: Path) -> None:
    job = load()

    assert job.name == "a"
    assert job.steps[0].json_schema is None
    assert job.steps[0].policies == Policies()
    assert (job.limits, job.stop_if, job.allow_failed) == (Limits(), StopIf(), Allowed())
    assert (job.attempts, job.budget_usd, job.retain) == (5, None, Retain())
    assert job.output == Output(path=folder / "a.results.csv")


@pytest.mark.parametrize(
    ("source", "suffix"),
    [
        ("input: data.csv", "csv"),
        ("input: data.XLSX", "csv"),
        ("input: 'data/*.parquet'", "csv"),
        ("input: {sql: {url: 'sqlite:///a.db', query: SELECT 1}}", "csv"),
        ("input: {path: data.txt, format: tsv}", "csv"),
        ("input: data.jsonl", "jsonl"),
        ("input: data.json", "jsonl"),
        ("input: texts", "jsonl"),
        ("input: '-'", "jsonl"),
    ],
)
def test_results_go_beside_the_job_in_the_shape_of_the_input(
    folder: Path, source: str, suffix: str
) -> None:
    assert load(source, "name: b").output.path == folder / f"b.results.{suffix}"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("limits: {concurrency: auto}", {"limits": Limits(concurrency="auto")}),
        ("limits: {max_wait: 90s}", {"limits": Limits(max_wait_seconds=90.0)}),
        ("limits: {max_wait: 1.5h}", {"limits": Limits(max_wait_seconds=5400.0)}),
        ("limits: {max_wait: 2d}", {"limits": Limits(max_wait_seconds=172800.0)}),
        ("stop_if: none", {"stop_if": None}),
        ("stop_if: {of_last: 10}", {"stop_if": StopIf(of_last=10)}),
        ("allow_failed: 10", {"allow_failed": Allowed(number=10)}),
        ("allow_failed: 0.5%", {"allow_failed": Allowed(number=None, share=Decimal("0.005"))}),
        ("budget_usd: 0.10", {"budget_usd": Decimal("0.10")}),
        ('budget_usd: "3"', {"budget_usd": Decimal(3)}),
    ],
)
def test_short_forms_of_values_are_understood(field: str, value: dict[str, Any]) -> None:
    job = load(field)

    assert {name: getattr(job, name) for name in value} == value


def test_money_keeps_every_digit_of_the_file() -> None:
    assert str(load("budget_usd: 0.1000000001").budget_usd) == "0.1000000001"


@pytest.mark.parametrize(
    ("field", "policies"),
    [
        ("on_truncated: retry", Policies(on_truncated="retry")),
        ("on_truncated: fail", Policies(on_truncated="fail")),
        ("on_invalid: retry", Policies(on_invalid="retry")),
        ("on_invalid: {repair: 0}", Policies(on_invalid=Repair(repair=0))),
        ("on_refused: retry", Policies(on_refused="retry")),
    ],
)
def test_policies_have_short_forms(field: str, policies: Policies) -> None:
    assert load(field).steps[0].policies == policies


def test_texts_may_come_from_files(folder: Path) -> None:
    Path("prompts").mkdir()
    Path("prompts/x.md").write_text("\ufeffHello {{ item.text }}", encoding="utf-8")
    Path("q.sql").write_text("SELECT 1")

    job = load(
        "input: {sql: {url: 'sqlite:///a.db', query: {file: q.sql}}}",
        "prompt: {system: {file: prompts/x.md}, user: {file: prompts/x.md}}",
    )

    assert job.steps[0].prompt.system == "Hello {{ item.text }}"
    assert job.steps[0].prompt.user == "Hello {{ item.text }}"
    assert job.input.sql is not None
    assert job.input.sql.query == "SELECT 1"
    assert job.input.sql.url == f"sqlite:///{folder}/a.db"
    assert load("prompt: {file: prompts/x.md}").steps[0].prompt.user == "Hello {{ item.text }}"
