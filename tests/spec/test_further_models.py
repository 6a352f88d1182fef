"""`fallback`, `escalate` and `on_too_long` of the job file."""

from pathlib import Path

import pytest

from batchai.domain import Outcome
from batchai.spec import Overrides, load_job
from batchai.spec.models import Job
from tests.spec.jobs import load, only_mistake

SCHEMA = "schema: {confidence: number}"


def test_a_fallback_is_a_list_of_models_or_a_map_with_outcomes() -> None:
    (plain,) = load("fallback: [openai/gpt-5.4, {name: openai/o3, max_tokens: 9}]").steps
    (named,) = load("fallback: {models: openai/gpt-5.4, on: [refused, overloaded]}").steps

    assert [model.name for model in plain.policies.fallbacks] == ["openai/gpt-5.4", "openai/o3"]
    assert named.policies.fallback is not None
    assert named.policies.fallback.on == (Outcome.REFUSED, Outcome.OVERLOADED)


def test_who_is_asked_is_numbered_with_the_larger_model_last() -> None:
    (step,) = load(
        SCHEMA,
        "fallback: openai/gpt-5.4",
        "escalate: {if: result.confidence < 0.7, model: openai/o3}",
    ).steps

    assert [model.name for model in step.policies.further_models] == ["openai/gpt-5.4", "openai/o3"]
    assert step.policies.larger == 2


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("fallback: []", "must name at least a model"),
        ("fallback: {models: openai/gpt-5.4, on: [refusd]}", "refused"),
        ("fallback: {models: opnai/gpt-5.4}", "did you mean openai"),
        ("escalate: {if: result.confidence < 0.7}", "escalate.model: is missing"),
        ("escalate: {if: result.confidense < 0.7, model: openai/o3}", "did you mean confidence"),
        ("on_too_long: shorten", "truncate"),
    ],
)
def test_a_wrong_policy_is_told_with_its_place(field: str, words: str) -> None:
    told = only_mistake(SCHEMA, field)

    assert told.startswith("a.yaml:")
    assert words in told


def test_a_budget_needs_the_price_of_every_model() -> None:
    told = only_mistake(
        "budget_usd: 1",
        "fallback: {name: openai/x, base_url: 'https://x.example', api_key_env: none, price: none}",
    )

    assert "price: none" in told


FURTHER = (
    "fallback: {models: [openai/gpt-5.4, local/x], on: refused}",
    "escalate: {if: result.confidence < 0.7, model: {name: openai/o3, max_tokens: 9, price: none}}",
)
STEPS = """\
input: data.csv
model: openai/gpt-5.4
fallback: openai/o3
steps:
  one:
    prompt: {turns: [Go]}
    history: {summarise_after: 2, model: openai/o3}
  two:
    prompt: Go on
    schema: {sure: boolean}
    fallback: openai/o3
    escalate: {if: not result.sure, model: openai/o3}
  three:
    model: anthropic/claude-haiku-4-5
    prompt: End
    reduce: two
"""


def asked(job: Job) -> list[str]:
    """The names of all models that the job may ask."""
    histories = [step.history.model for step in job.steps if step.history]
    models = [model for step in job.steps for model in (step.model, *step.policies.further_models)]
    return [model.name for model in (*models, *histories)]


def test_another_model_leaves_the_further_ones_as_they_are() -> None:
    job = load(SCHEMA, *FURTHER, overrides=Overrides(model="openai/x"))

    assert asked(job) == ["openai/x", "openai/gpt-5.4", "local/x", "openai/o3"]


def test_with_a_local_model_no_other_is_asked() -> None:
    """What failed would fail again, so there is no fallback; a doubted answer is asked for again,
    with the larger model's own parameters."""
    job = load(SCHEMA, *FURTHER, overrides=Overrides(model="local/small"))
    (step,) = job.steps

    assert asked(job) == ["local/small", "local/small"]
    assert step.policies.fallback is None
    assert step.policies.escalate is not None
    assert step.policies.escalate.condition == "result.confidence < 0.7"
    assert step.policies.escalate.model.max_tokens == 9
    assert step.policies.escalate.model.price is None


def test_with_a_local_model_no_step_asks_another() -> None:
    path = Path("steps.yaml")
    path.write_text(STEPS)

    job = load_job(path, overrides=Overrides(model="local//m.gguf"))

    assert asked(job) == ["local//m.gguf"] * 5  # three steps, a second look, a history


@pytest.mark.parametrize(
    ("setting", "models"),
    [
        ("escalate.model=openai/x", ["local/small", "openai/x"]),
        ("escalate.model.name=openai/x", ["local/small", "openai/x"]),
        ("escalate.model.temperature=0", ["local/small", "local/small"]),
        ("fallback=openai/x", ["local/small", "openai/x", "local/small"]),
        ("fallback.models=openai/x", ["local/small", "openai/x", "local/small"]),
        ("fallback.on=invalid", ["local/small", "local/small"]),
    ],
)
def test_a_further_model_that_the_command_line_names_stays_beside_a_local_one(
    setting: str, models: list[str]
) -> None:
    job = load(SCHEMA, *FURTHER, overrides=Overrides(model="local/small", settings=(setting,)))

    assert asked(job) == models
