"""What is told about wrong fields of the job file: place, problem, remedy."""

from pathlib import Path

import pytest

from batchai.errors import SpecError
from batchai.spec import find_mistakes, load_job
from tests.spec.jobs import mistakes, only_mistake, write_job


@pytest.mark.parametrize(
    ("field", "mistake"),
    [
        (
            "limits: {requests_per_minute: 0}",
            "limits.requests_per_minute: must be a whole number above 0",
        ),
        ("limits: {requests_per_minute: 1.5}", "must be a whole number above 0"),
        (
            "limits: {concurrency: '8'}",
            "not text: write 8 without quotes (or the word auto)",
        ),
        ("limits: {concurrency: }", "must be a whole number above 0, not nothing"),
        ("limits: {concurrency: [8]}", "must be a whole number above 0, not a list"),
        (
            "limits: {max_wait: 3600}",
            'or 2d, not "3600": write 3600s for seconds',
        ),
        ("limits: {max_wait: 12:30}", "must be a time such as 90s"),
        ("limits: fast", "limits: must be a map (requests_per_minute,"),
        ("attempts: many", 'attempts: must be a whole number above 0, not "many"'),
        ("attempts: 99999999999999999999", "must be a whole number above 0"),
        ("budget_usd: 0", "budget_usd: must be an amount in USD above 0 such as 2.50"),
        ("budget_usd: -1", "must be an amount in USD above 0"),
        ("budget_usd: $5", 'must be an amount in USD above 0 such as 2.50, not "$5"'),
        ("budget_usd: 1e3", "must be an amount in USD"),
        ("budget_usd: 0.0000000000001", "must have at most 12 decimal places"),
        (
            "stop_if: {failed: 0.5}",
            "must be a share such as 50%, above 0% and up to 100%, not",
        ),
        ("stop_if: {failed: 0%}", "must be a share such as 50%"),
        ("stop_if: {failed: 120%}", "must be a share such as 50%"),
        ("stop_if: never", "(or the word none)"),
        (
            "allow_failed: few",
            "must be a number of items such as 10, or a share such",
        ),
        ("version: 2", 'version: must be 1, not "2"'),
        ("name: openai/b", "name: must be a name of letters, digits, space, . _ and -"),
        ("name: ..", "name: must be a name of letters"),
        ("name: ''", "name: must be a name of letters, digits, space, . _ and -, not empty"),
        ("retain: {items: maybe}", 'retain.items: must be true or false, not "maybe"'),
        ("retain: {items: yes}", "retain.items: must be true or false"),
        ("retain: {items: 'true'}", "retain.items: must be true or false"),
        ("delivery: batch", "delivery: is not available yet: only live is"),
        ("finish_by: 06:00", "finish_by: is not available yet"),
        ("cache: true", "cache: must be auto, off, 5m or 1h, not"),
        ("steps: []", "steps: must be a map of named steps, not a list"),
        ("on_truncated: {grow: 0}", "on_truncated.grow: must be a whole number above 0"),
        ("on_truncated: {repair: 2}", "on_truncated.repair: unknown field"),
        ("on_truncated: maybe", "must be retry, fail or {grow: 4096}, not"),
        ("on_truncated: {}", "on_truncated.grow: is missing"),
        ("on_invalid: {then: fail}", "on_invalid.repair: is missing"),
        ("on_invalid: {repair: 1, then: retry}", "must be a map of result fields to fixed values"),
        ("on_invalid: {repair: 1, then: {}}", "must be a map of result fields to fixed values"),
        ("on_refused: {a: 1}", "on_refused: fixed values need a `schema:`"),
        ("on_refused: hold", "must be retry, fail or a map of fixed values"),
        ("on_unknown: fail", "on_unknown: must be retry or hold"),
        ("expect: {sentiment: gold}", "expect.sentiment: is no result field; known here: result"),
        ("output: {path: out.csv, failed: skip}", "output.failed: must be keep or drop"),
        ("output: .", "is a folder: name a file in it"),
        ("output: a.yaml", "would overwrite the job file itself"),
        ("output: data.csv", "would be read as input by the next run"),
        ("input: {key: id}", "input: needs one of `path:` and `sql:`"),
        ("input: {path: a, sql: {url: 'sqlite:///a.db', query: x}}", "not both"),
        (
            "input: {sql: {url: 'sqlite:///a.db', query: x}, format: csv}",
            "are for files",
        ),
        ("input: {path: a.csv, limit: 0}", "input.limit: must be a whole number above 0"),
        (
            "input: {path: a.csv, encoding: utf8000}",
            "must be a text encoding such as utf-8",
        ),
        (
            "input: {path: a.csv, encoding: base64}",
            "must be a text encoding such as utf-8",
        ),
        ("input: {path: a.csv, format: xml}", "input.format: must be csv, tsv, jsonl"),
        ("input: {path: a.csv, sample: {seed: 1}}", "input.sample.n: is missing"),
        ("input: {path: a.csv, where: item.plan = 1}", "input.where: "),
        (
            "input: {path: a.csv, where: plan == 1}",
            "a column is written item.plan",
        ),
        (
            "model: claude-haiku-4-5",
            "model: must be provider/name, such as anthropic/claude-haiku-4-5",
        ),
        ("model: {temperature: 1}", "model.name: is missing"),
        ("model: antropic/x", "no provider antropic; did you mean anthropic?"),
        (
            "model: {name: openai/b, temperature: 3}",
            "model.temperature: must be a number from 0 to 2",
        ),
        ("model: {name: openai/b, temperature: '1'}", "not text: write 1 without quotes"),
        ("model: {name: openai/b, metadata: {year: 2024}}", "model.metadata.year: must be text"),
        ("model: {name: openai/b, effort: extreme}", "model.effort: must be none, minimal, low"),
        (
            "model: {name: openai/b, extra_body: {max_tokens: 9}}",
            "is set by batchai itself",
        ),
        ("model: {name: openai/b, extra_body: {n: 9}}", "extra_body.n is set by"),
        ("model: {name: openai/b, price: {input_mtok: 1}}", "model.price.output_mtok: is missing"),
        ("model: {name: openai/b, price: free}", "(or the word none)"),
        ("prompt: {system: x}", "prompt: needs `user:`"),
        ("prompt: {usr: x}", "prompt.usr: unknown field; did you mean user?"),
        ("prompt: ''", "must be text, not empty"),
        (
            "prompt: [a]",
            "prompt: must be a map (system, messages, user, attachments, turns), not a list",
        ),
        ("prompt: {user: [a]}", "prompt.user: must be text, not a list"),
        ("prompt: {user: {text: a}}", "prompt.user: must be text or {file: path}, not a map"),
        (
            "prompt: {user: x, messages: [{role: system, content: a}]}",
            "prompt.messages[0].role: must",
        ),
        (
            "prompt: {user: x, messages: [{role: user, content: a}]}",
            "must be the assistant's turn",
        ),
        ("prompt: '{{ item.text'", "prompt, line 1 of the template: "),
        ("prompt: '{{ text }}'", "`text` is unknown: a column is written item.text"),
        ("prompt: '{{ vars.knd }}'", "vars.knd is not given: add it under `vars:` or --var knd=…"),
        ("prompt: '{{ steps.a }}'", "`steps`: there is no earlier step"),
        ("prompt: '{% include \"x\" %}'", "include is not available"),
        ("vars: [a]", "vars: must be a map, not a list"),
    ],
)
def test_a_wrong_value_is_told_with_place_and_remedy(field: str, mistake: str) -> None:
    found = [told for told in mistakes(field) if mistake in told]

    assert len(found) == 1, mistakes(field)
    assert found[0].startswith("a.yaml:")


@pytest.mark.parametrize(
    ("field", "remedy"),
    [
        ("modle: a/b", "did you mean model?"),
        ("limits: {request_per_minute: 5}", "did you mean requests_per_minute?"),
        ("requests_per_minute: 5", "unknown field here: write it under `limits:`"),
        ("temperature: 0", "unknown field here: write it under `model:`"),
        ("key: id", "unknown field here: write it under `input:`"),
        ("zzz: 1", "unknown field; known here: version, name,"),
    ],
)
def test_an_unknown_field_is_told_with_the_right_one(field: str, remedy: str) -> None:
    assert remedy in only_mistake(field)


def test_all_mistakes_are_told_at_once_and_the_first_is_raised() -> None:
    path = write_job(
        "limits: {concurrency: x, max_wait: y}", "model: {name: z, stop: [1, 2]}", "name: openai/b"
    )

    found = find_mistakes(path)

    assert [mistake.split(": ")[1] for mistake in found] == [
        "model.name",
        "model.stop[0]",
        "model.stop[1]",
        "limits.concurrency",
        "limits.max_wait",
        "name",
    ]
    with pytest.raises(SpecError) as caught:
        load_job(path)
    assert str(caught.value) == f"{found[0]} (and 5 more: batchai check --all)"


def test_missing_fields_are_told_with_what_they_are() -> None:
    Path("a.yaml").write_text("name: x\n")

    assert find_mistakes(Path("a.yaml")) == [
        "a.yaml: input: is missing: Where the items come from.",
        "a.yaml: model: is missing: Which model answers: provider/name, or a map.",
        "a.yaml: prompt: is missing: What is sent for each item.",
    ]


def test_a_budget_without_a_price_is_refused() -> None:
    assert only_mistake("model: {name: openai/b, price: none}", "budget_usd: 2") == (
        "a.yaml:4: budget_usd: cannot be kept with `price: none`: "
        "give model.price, or leave the budget out"
    )


def test_fixed_values_and_expected_columns_must_name_result_fields() -> None:
    schema = "schema: {sentiment: [good, bad]}"

    assert "expect.sentimant: is no result field; did you mean sentiment?" in only_mistake(
        schema, "expect: {sentimant: gold}"
    )
    assert "then: mood is no result field" in only_mistake(
        schema, "on_invalid: {repair: 1, then: {mood: good}}"
    )
    assert "mood is no result field" in only_mistake(schema, "on_refused: {mood: good}")


@pytest.mark.parametrize("source", ["input: data", "input: 'data/*.csv'", "input: '**/*.csv'"])
def test_an_output_that_the_next_run_would_read_is_refused(source: str) -> None:
    Path("data").mkdir()

    assert "would be read as input by the next run" in only_mistake(source, "output: data/out.csv")


def test_a_text_file_is_named_in_what_is_wrong_with_it() -> None:
    Path("x.md").write_text("line one\n{{ item.text")

    assert only_mistake("prompt: {user: {file: x.md}}").startswith(
        "a.yaml:3: prompt.user (x.md), line 2 of the template: "
    )
    assert only_mistake("prompt: {user: {file: y.md}}").endswith("y.md is not there")
    assert "without other fields" in only_mistake("prompt: {user: {file: x.md, a: b}}")


def test_a_file_whose_name_cannot_name_a_job_needs_a_name() -> None:
    path = write_job(name="-odd.yaml")

    (mistake,) = find_mistakes(path)

    assert mistake == "-odd.yaml: name: is missing, and the file's name -odd cannot stand for it"
