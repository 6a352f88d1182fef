"""What changes a spec's identity, and what does not."""

import json
from typing import Any

import pytest

from batchai.domain import MAIN_STEP
from batchai.spec import Overrides, spec_identity, step_identity
from batchai.spec.models import Job
from tests.spec.jobs import load

PARTS = ("prompt", "model", "parameters", "schema", "policies")


def the_step(job: Job) -> dict[str, Any]:
    """The identity of the one step of a job without `steps:`."""
    identity: dict[str, Any] = spec_identity(job)[MAIN_STEP]
    return identity


def changed(*fields: str) -> set[str]:
    before, after = (
        the_step(load("vars: {kind: general}")),
        the_step(
            load(
                *({"vars": "vars: {kind: general}"} | {f.split(":")[0]: f for f in fields}).values()
            )
        ),
    )
    return {part for part in PARTS if before[part] != after[part]}


@pytest.mark.parametrize(
    ("field", "part"),
    [
        ("prompt: 'Sort: {{ item.text }}'", "prompt"),
        ("prompt: {system: x, user: 'Classify: {{ item.text }}'}", "prompt"),
        ("model: anthropic/claude-haiku-5-5", "model"),
        ("model: {name: anthropic/claude-haiku-4-5, base_url: 'http://localhost:1'}", "model"),
        ("model: {name: anthropic/claude-haiku-4-5, max_tokens: 9}", "parameters"),
        ("model: {name: anthropic/claude-haiku-4-5, temperature: 0}", "parameters"),
        ("model: {name: anthropic/claude-haiku-4-5, extra_body: {a: 1}}", "parameters"),
        ("schema: {a: string}", "schema"),
        ("on_refused: retry", "policies"),
        ("on_truncated: {grow: 9}", "policies"),
    ],
)
def test_a_change_of_the_spec_changes_its_own_part_only(field: str, part: str) -> None:
    assert changed(field) == {part}


@pytest.mark.parametrize(
    "field",
    [
        "name: other",
        "input: {path: other.csv, where: item.x, limit: 5}",
        "output: {path: other.csv, lineage: true}",
        "limits: {concurrency: 1}",
        "budget_usd: 5",
        "attempts: 1",
        "stop_if: none",
        "allow_failed: 5%",
        "retain: {items: false}",
        "vars: {kind: legal}",
        "model: {name: anthropic/claude-haiku-4-5, price: none, api_key_env: OTHER_KEY}",
    ],
)
def test_what_changes_no_answer_changes_nothing(field: str) -> None:
    assert changed(field) == set()


@pytest.mark.parametrize(
    ("prompt", "is_part"),
    [
        ("{{ vars.kind }} {{ item.text }}", True),
        ("{{ vars['kind'] }}", True),
        ("{{ vars[item.which] }}", True),
        ("{% for name in vars %}{{ name }}{% endfor %}", True),
        ("{{ vars.other }}", False),
    ],
)
def test_a_variable_belongs_to_the_prompt_that_uses_it(prompt: str, is_part: bool) -> None:
    fields = ("vars: {kind: general, other: x}", f'prompt: "{prompt}"')
    legal = Overrides(variables=("kind=legal",))

    before, after = the_step(load(*fields)), the_step(load(*fields, overrides=legal))

    assert (before["prompt"] != after["prompt"]) is is_part


@pytest.mark.parametrize(
    ("address", "identity"),
    [
        ("", "default"),
        (", base_url: 'http://127.0.0.1:8000/v1'", "loopback"),
        (", base_url: 'http://localhost:9'", "loopback"),
        (", base_url: 'https://LLM.example.com:8443/v1', api_key_env: none", "llm.example.com"),
    ],
)
def test_an_address_counts_by_its_host(address: str, identity: str) -> None:
    job = load(f"model: {{name: openai/x{address}}}")

    assert the_step(job)["model"] == {"name": "openai/x", "address": identity}


def test_an_identity_survives_a_round_trip_through_json() -> None:
    job = load(
        "model: {name: openai/x, stop: [a], temperature: 0.1, metadata: {a: b}}",
        "schema: {a: [x, y]}",
        "on_invalid: {repair: 1, then: {a: x}}",
        "prompt: {user: hi, messages: [{role: assistant, content: x}]}",
    )
    identity = the_step(job)

    assert json.loads(json.dumps(identity)) == identity
    assert step_identity(job.steps[0]) == identity
