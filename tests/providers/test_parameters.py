"""What a model does not take is said before anything is sent."""

from typing import Any

import pytest

from batchai.providers import parameter_mistakes, turn_mistakes
from batchai.spec.models import Model, Prompt, PromptMessage


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("anthropic/claude-haiku-4-5", {"temperature": 0.0}),
        ("anthropic/claude-haiku-4-5-20251001", {"top_p": 0.5}),
        ("anthropic/claude-opus-4-6", {"temperature": 0.0, "effort": "low"}),
        ("anthropic/claude-sonnet-4-20250514", {"temperature": 0.0}),
        ("anthropic/claude-opus-5-5", {"effort": "max", "stop": ("END",)}),
        ("anthropic/claude-haiku-4-5", {"metadata": {"user_id": "u"}, "max_tokens": 21_333}),
        ("openai/gpt-5.4-mini", {"temperature": 0.0, "top_p": 0.5}),
        ("openai/gpt-5.4-mini", {"temperature": 0.0, "effort": "none"}),
        ("openai/gpt-5-mini", {"temperature": 1.0, "effort": "minimal"}),
        ("openai/gpt-4o", {"stop": ("a", "b"), "temperature": 1.5, "metadata": {"a": "b"}}),
        ("openai/some-future-model", {"temperature": 0.2, "effort": "low", "stop": ("x",)}),
        ("local/smollm2-135m", {"temperature": 0.0}),
        ("openai/qwen3", {"base_url": "http://127.0.0.1:8000/v1", "stop": ("a",) * 6}),
        ("openai/qwen3", {"base_url": "https://llm.example/v1", "api_key_env": "LLM_KEY"}),
    ],
    ids=str,
)
def test_what_a_model_takes_is_no_mistake(name: str, parameters: dict[str, Any]) -> None:
    assert parameter_mistakes(Model(name=name, **parameters)) == []


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("anthropic/claude-opus-4-7", {"temperature": 0.0}, "neither temperature nor top_p"),
        ("anthropic/claude-sonnet-5", {"top_p": 0.5}, "model.top_p: claude-sonnet-5 takes neither"),
        ("anthropic/claude-fable-5-2", {"temperature": 0.0}, "remove it"),
        ("anthropic/claude-haiku-5-5", {"temperature": 0.0}, "remove it"),
        ("anthropic/claude-haiku-4-5", {"temperature": 1.5}, "takes 0 to 1"),
        ("anthropic/claude-haiku-4-5", {"temperature": 0.1, "top_p": 0.1}, "not both"),
        ("anthropic/claude-haiku-4-5", {"effort": "low"}, "model.effort: claude-haiku-4-5"),
        ("anthropic/claude-opus-5", {"effort": "minimal"}, "none of low, medium"),
        ("anthropic/claude-haiku-4-5", {"metadata": {"team": "a"}}, "user_id only"),
        ("anthropic/claude-haiku-4-5", {"stop": ("\n",)}, "white space"),
        ("openai/o3", {"temperature": 0.0}, "always reasons"),
        ("openai/gpt-5-mini", {"temperature": 0.0}, "always reasons"),
        ("openai/gpt-5.4-mini", {"temperature": 0.0, "effort": "high"}, "with effort high"),
        ("openai/gpt-5.4-mini", {"stop": ("END",)}, "stop sequences"),
        ("openai/gpt-4o", {"stop": ("a",) * 5}, "at most 4"),
        ("openai/gpt-4o", {"effort": "low"}, "does not reason"),
        ("openai/gpt-5.4-mini", {"effort": "enormous"}, "none of none, minimal"),
        ("openai/gpt-4o-mini", {"max_tokens": 20_000}, "at most 16,384"),
        ("openai/gpt-4o", {"metadata": {"a" * 65: "b"}}, "names to 64"),
        ("openai/gpt-4o", {"stop": ("",)}, "empty stop sequence"),
        ("openai/gpt-4o", {"extra_body": {"n": 3}}, "model.extra_body.n"),
        ("openai/gpt-4o", {"extra_body": {"max_tokens": 3}}, "use model.max_tokens"),
        ("openai/gpt-4o", {"extra_body": {"temperature": 3}}, "write it as model.temperature"),
        ("openai/x", {"base_url": "http://llm.example/v1"}, "use https://"),
        ("openai/x", {"base_url": "https://llm.example/v1"}, "needs its own key variable"),
        (
            "openai/x",
            {"base_url": "https://llm.example/v1", "api_key_env": "OPENAI_API_KEY"},
            "would be shown to https://llm.example/v1",
        ),
        ("opanai/x", {}, "did you mean openai/x"),
    ],
    ids=str,
)
def test_what_a_model_does_not_take_is_named_with_the_remedy(
    name: str, parameters: dict[str, Any], words: str
) -> None:
    (mistake,) = parameter_mistakes(Model(name=name, **parameters))

    assert words in mistake


def test_turns_begin_and_end_with_the_user() -> None:
    user = PromptMessage(role="user", content="q")
    assistant = PromptMessage(role="assistant", content="a")

    assert turn_mistakes(Prompt(messages=(user, assistant), user="next")) == []
    assert "last turn" in turn_mistakes(Prompt(messages=(user, assistant)))[0]
    assert "first turn" in turn_mistakes(Prompt(messages=(assistant,), user="q"))[0]
    assert "nothing to ask" in turn_mistakes(Prompt())[0]
