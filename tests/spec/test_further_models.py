"""`fallback`, `escalate` and `on_too_long` of the job file."""

import pytest

from batchai.domain import Outcome
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
