"""Replies with status 200: sound ones and odd ones."""

import asyncio
import json
from typing import Any

import anthropic
import openai
import pytest

from batchai.domain import Usage
from batchai.simulator import Fault, Served, Settings, Simulator
from batchai.simulator.protocols.openai import REFUSAL
from tests.simulator.clients import SCHEMA, ask_claude, ask_gpt, claude, failing, gpt


async def test_structured_output_fits_the_schema_over_both_protocols() -> None:
    with Simulator() as sim:
        message = await ask_claude(sim)
        completion = await ask_gpt(sim)

    assert message.stop_reason == "end_turn"
    assert completion.choices[0].finish_reason == "stop"
    for text in (message.content[0].text, completion.choices[0].message.content):
        answer = json.loads(text)
        assert answer["sentiment"] in SCHEMA["properties"]["sentiment"]["enum"]
        assert any(word in answer["key_issue"] for word in ("The", "app", "crashes"))


async def test_plain_text_echoes_the_prompt_and_the_same_request_gets_the_same_answer() -> None:
    with Simulator() as sim:
        first = await ask_claude(sim, "Say hello.", schema=None)
        again = await ask_claude(sim, "Say hello.", schema=None)
        other = await ask_gpt(sim, "Say hello.", schema=None)

    assert first.content[0].text == again.content[0].text == "Answer to: Say hello."
    assert other.choices[0].message.content == "Answer to: Say hello."


async def test_a_hook_writes_the_answer_and_names_the_model() -> None:
    settings = Settings(
        answer=lambda request: f"{request.attempt}: {request.prompt} / {request.system}",
        resolve_model=lambda request: f"{request.model}-2026-10-01",
    )
    with Simulator(settings) as sim:
        await ask_claude(sim, "Hi", schema=None, system="Be brief.")
        message = await ask_claude(sim, "Hi", schema=None, system="Be brief.")

    assert message.content[0].text == "2: Hi / Be brief."
    assert message.model == "claude-haiku-4-5-2026-10-01"


def test_what_a_hook_raises_is_raised_at_the_end_of_the_block() -> None:
    def broken(_request: object) -> str:
        raise LookupError("no answer for this")

    with (
        pytest.raises(LookupError, match="no answer for this"),
        Simulator(Settings(answer=broken)) as sim,
        pytest.raises(openai.InternalServerError),
    ):
        asyncio.run(ask_gpt(sim))


async def test_usage_is_disjoint_for_anthropic_and_inclusive_for_openai() -> None:
    settings = Settings(cache_read_share=0.5, cache_write_share=0.25, reasoning_tokens=7)
    with Simulator(settings) as sim:
        message = await ask_claude(sim)
        completion = await ask_gpt(sim)
        billed = [entry.usage for entry in sim.received]

    usage = message.usage
    assert billed[0] == Usage(
        uncached_input=usage.input_tokens,
        cache_read=usage.cache_read_input_tokens,
        cache_write_5m=usage.cache_creation_input_tokens,
        output=usage.output_tokens,
        reasoning=7,
    )
    assert usage.cache_read_input_tokens > 0
    assert usage.output_tokens_details.thinking_tokens == 7
    assert billed[1] is not None
    assert completion.usage.prompt_tokens == billed[1].input
    assert completion.usage.prompt_tokens_details.cached_tokens == billed[1].cache_read > 0
    assert completion.usage.completion_tokens == billed[1].output
    assert completion.usage.completion_tokens_details.reasoning_tokens == 7


async def test_an_answer_stops_at_a_stop_sequence() -> None:
    with Simulator(Settings(answer=lambda _request: "one two three two")) as sim:
        message = await ask_claude(sim, schema=None, stop_sequences=["three", "two"])
        completion = await ask_gpt(sim, schema=None, stop="two")

    assert message.content[0].text == completion.choices[0].message.content == "one "
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "two")
    assert completion.choices[0].finish_reason == "stop"


async def test_an_answer_longer_than_max_tokens_is_truncated_and_billed_in_full() -> None:
    with Simulator(Settings(answer=lambda _request: "word " * 100)) as sim:
        message = await ask_claude(sim, schema=None, max_tokens=10)
        completion = await ask_gpt(sim, schema=None, max_completion_tokens=10)

    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 10)
    assert len(message.content[0].text) == 40
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage.completion_tokens == 10


async def test_token_counts_and_model_lists_are_served() -> None:
    turns: Any = [{"role": "user", "content": "The app crashes."}]
    with Simulator() as sim:
        message = await ask_claude(sim, schema=None)
        async with claude(sim) as client:
            count = await client.messages.count_tokens(model="claude-haiku-4-5", messages=turns)
            models = await client.models.list()
        async with gpt(sim) as other:
            offered = await other.models.list()
        assert len(sim.received) == 1

    assert count.input_tokens == message.usage.input_tokens
    assert models.data[0].id == offered.data[0].id == "claude-haiku-4-5"


# --- 200, and yet no message


async def test_an_html_page_with_status_200_reaches_the_caller_as_text() -> None:
    with Simulator(failing(Fault.OK_HTML)) as sim:
        assert "<html>" in await ask_claude(sim)
        assert "<html>" in await ask_gpt(sim)


async def test_an_error_object_or_an_empty_one_with_status_200_has_no_content() -> None:
    for fault in (Fault.OK_ERROR, Fault.OK_EMPTY):
        with Simulator(failing(fault)) as sim:
            assert (await ask_claude(sim)).content is None
            assert (await ask_gpt(sim)).choices is None
            assert sim.received[0].usage is None


async def test_a_cut_body_is_no_json() -> None:
    with Simulator(failing(Fault.CUT_BODY)) as sim:
        with pytest.raises(json.JSONDecodeError):
            await ask_claude(sim)
        with pytest.raises(json.JSONDecodeError):
            await ask_gpt(sim)
        assert all(entry.usage is not None for entry in sim.received)


async def test_a_redirect_points_to_another_host() -> None:
    with (
        Simulator() as other,
        Simulator(failing(Fault.REDIRECT, redirect_url=other.url)) as sim,
        pytest.raises(anthropic.APIStatusError) as raised,
    ):
        async with anthropic.AsyncAnthropic(
            api_key="k",
            base_url=sim.url,
            max_retries=0,
            http_client=anthropic.DefaultAioHttpClient(follow_redirects=False),
        ) as client:
            await client.messages.create(
                model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}]
            )

    assert raised.value.status_code == 307
    assert raised.value.response.headers["location"] == f"{other.url}/v1/messages"
    assert other.received == []


# --- the model answers, and it is no result, or one that needs care


async def test_a_refusal_has_each_providers_shape() -> None:
    with Simulator(failing(Fault.REFUSED)) as sim:
        message = await ask_claude(sim)
        completion = await ask_gpt(sim)

    assert message.stop_reason == "refusal"
    assert message.stop_details.category == "general_harms"
    assert completion.choices[0].message.refusal == REFUSAL
    assert completion.choices[0].message.content is None


async def test_a_content_filter_and_a_full_context_have_their_own_finish() -> None:
    with Simulator(failing(Fault.CONTENT_FILTER)) as sim:
        assert (await ask_gpt(sim)).choices[0].finish_reason == "content_filter"
        assert (await ask_claude(sim)).stop_reason == "refusal"
    with Simulator(failing(Fault.CONTEXT_EXCEEDED)) as sim:
        assert (await ask_claude(sim)).stop_reason == "model_context_window_exceeded"


async def test_a_truncated_answer_is_billed_up_to_max_tokens() -> None:
    with Simulator(failing(Fault.TRUNCATED)) as sim:
        message = await ask_claude(sim)
        completion = await ask_gpt(sim)

    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 256)
    assert completion.choices[0].finish_reason == "length"
    with pytest.raises(json.JSONDecodeError):
        json.loads(message.content[0].text)


async def test_content_is_missing_in_three_ways() -> None:
    with Simulator(failing(Fault.EMPTY_TEXT)) as sim:
        assert (await ask_claude(sim)).content[0].text == ""
        assert (await ask_gpt(sim)).choices[0].message.content == ""
    with Simulator(failing(Fault.NO_CONTENT)) as sim:
        assert (await ask_claude(sim)).content == []
        assert (await ask_gpt(sim)).choices == []
    with Simulator(failing(Fault.NULL_CONTENT)) as sim:
        assert (await ask_claude(sim)).content is None
        assert (await ask_gpt(sim)).choices[0].message.content is None


async def test_usage_is_missing_from_the_reply_but_not_from_the_bill() -> None:
    with Simulator(failing(Fault.MISSING_USAGE)) as sim:
        assert (await ask_claude(sim)).usage is None
        assert (await ask_gpt(sim)).usage is None
        assert all(entry.usage is not None for entry in sim.received)
        assert all(entry.served is Served.FAULTY for entry in sim.received)


async def test_json_comes_broken_or_wrapped() -> None:
    texts = {}
    for fault in (
        Fault.INVALID_JSON,
        Fault.FENCED,
        Fault.PROSE,
        Fault.SCHEMA_VIOLATION,
        Fault.NAN,
    ):
        with Simulator(failing(fault)) as sim:
            texts[fault] = (await ask_claude(sim)).content[0].text

    with pytest.raises(json.JSONDecodeError):
        json.loads(texts[Fault.INVALID_JSON])
    assert json.loads(texts[Fault.FENCED].removeprefix("```json\n").removesuffix("\n```"))
    assert texts[Fault.PROSE].startswith("Here is")
    assert json.loads(texts[Fault.SCHEMA_VIOLATION])["sentiment"] == {"violates": "the schema"}
    assert '"sentiment": NaN' in texts[Fault.NAN]


async def test_a_lone_surrogate_comes_escaped_in_json_and_raw_in_text() -> None:
    with Simulator(failing(Fault.SURROGATES)) as sim:
        assert r"\ud800" in (await ask_gpt(sim)).choices[0].message.content
        assert "\ud800" in (await ask_gpt(sim, schema=None)).choices[0].message.content


async def test_a_huge_answer_arrives_whole_and_stays_json() -> None:
    with Simulator(failing(Fault.HUGE, huge_bytes=3_000_000)) as sim:
        text = (await ask_claude(sim)).content[0].text

    assert len(text) == 3_000_000
    assert json.loads(text)["sentiment"]
