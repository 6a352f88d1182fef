"""Streaming, read by the SDKs' own helpers."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import openai
import pytest

from batchai.domain import Usage
from batchai.simulator import Fault, Latency, Settings, Simulator
from tests.simulator.clients import CLAUDE, GPT, SCHEMA, claude, failing, gpt

TEXT = "A plain answer that takes more than one piece to arrive, with ü and 🎉 in it."
TURNS: Any = [{"role": "user", "content": "The app crashes."}]


@asynccontextmanager
async def claude_stream(sim: Simulator, **extra: Any) -> AsyncIterator[Any]:
    options = {name: extra.pop(name) for name in ("timeout",) if name in extra}
    async with (
        claude(sim, **options) as client,
        client.messages.stream(
            **{"model": CLAUDE, "max_tokens": 256, "messages": TURNS, **extra}
        ) as stream,
    ):
        yield stream


@asynccontextmanager
async def gpt_stream(sim: Simulator, **extra: Any) -> AsyncIterator[Any]:
    options = {name: extra.pop(name) for name in ("timeout",) if name in extra}
    extra.setdefault("stream_options", {"include_usage": True})
    async with (
        gpt(sim, **options) as client,
        client.chat.completions.stream(
            **{"model": GPT, "max_completion_tokens": 256, "messages": TURNS, **extra}
        ) as stream,
    ):
        yield stream


async def final(sim: Simulator) -> tuple[Any, Any]:
    """What both helpers make of a stream in the end."""
    async with claude_stream(sim) as stream:
        message = await stream.get_final_message()
    async with gpt_stream(sim) as stream:
        completion = await stream.get_final_completion()
    return message, completion


async def test_text_arrives_in_pieces_and_adds_up_over_both_protocols() -> None:
    with Simulator(Settings(answer=lambda _request: TEXT)) as sim:
        async with claude_stream(sim) as stream:
            said = [piece async for piece in stream.text_stream]
            message = await stream.get_final_message()
        async with gpt_stream(sim) as stream:
            heard = [event.delta async for event in stream if event.type == "content.delta"]
            completion = await stream.get_final_completion()

    assert "".join(said) == "".join(heard) == TEXT
    assert said == [piece for piece in heard if piece]
    assert len(said) > 3
    assert (message.content[0].text, message.stop_reason) == (TEXT, "end_turn")
    choice = completion.choices[0]
    assert (choice.message.content, choice.finish_reason) == (TEXT, "stop")


async def test_a_streamed_answer_carries_the_usage_that_is_billed() -> None:
    settings = Settings(cache_read_share=0.5, cache_write_share=0.25, reasoning_tokens=7)
    with Simulator(settings) as sim:
        message, completion = await final(sim)
        billed = [entry.usage for entry in sim.received]

    usage = message.usage
    assert billed[0] == Usage(
        uncached_input=usage.input_tokens,
        cache_read=usage.cache_read_input_tokens,
        cache_write_5m=usage.cache_creation_input_tokens,
        output=usage.output_tokens,
        reasoning=7,
    )
    assert billed[1] is not None
    assert completion.usage.prompt_tokens == billed[1].input
    assert completion.usage.completion_tokens == billed[1].output


async def test_openai_tells_usage_only_where_it_is_asked_for() -> None:
    with Simulator() as sim:
        async with gpt(sim) as client:
            plain: Any = await client.chat.completions.create(
                model=GPT, messages=TURNS, stream=True
            )
            chunks = [chunk async for chunk in plain]
    assert all(chunk.choices for chunk in chunks)
    assert all(chunk.usage is None for chunk in chunks)


async def test_structured_output_is_streamed() -> None:
    form: Any = {"type": "json_schema", "schema": SCHEMA}
    with Simulator() as sim:
        async with claude_stream(sim, output_config={"format": form}) as stream:
            message = await stream.get_final_message()
    sentiments = SCHEMA["properties"]["sentiment"]["enum"]
    assert json.loads(message.content[0].text)["sentiment"] in sentiments


async def test_how_an_answer_ended_is_told_at_the_end_of_the_stream() -> None:
    with Simulator(failing(Fault.REFUSED)) as sim:
        message, completion = await final(sim)
    assert (message.stop_reason, message.stop_details.category) == ("refusal", "general_harms")
    assert completion.choices[0].message.refusal
    with Simulator(failing(Fault.TRUNCATED)) as sim:
        async with claude_stream(sim) as stream:
            assert (await stream.get_final_message()).stop_reason == "max_tokens"
        with pytest.raises(openai.LengthFinishReasonError):
            async with gpt_stream(sim) as stream:
                await stream.get_final_completion()


async def test_a_stream_may_have_no_content_or_no_usage() -> None:
    with Simulator(failing(Fault.NO_CONTENT)) as sim:
        async with claude_stream(sim) as stream:
            assert (await stream.get_final_message()).content == []
    with Simulator(failing(Fault.NULL_CONTENT)) as sim:
        message, completion = await final(sim)
        assert (message.content, completion.choices[0].message.content) == ([], None)
    with Simulator(failing(Fault.MISSING_USAGE)) as sim:
        async with gpt_stream(sim) as stream:
            assert (await stream.get_final_completion()).usage is None


async def test_an_error_in_mid_stream_follows_a_status_of_200() -> None:
    with Simulator(failing(Fault.STREAM_ERROR)) as sim:
        with pytest.raises(anthropic.APIStatusError) as told:
            async with claude_stream(sim) as stream:
                await stream.get_final_message()
        with pytest.raises(openai.APIError, match="had an error"):
            async with gpt_stream(sim) as stream:
                await stream.get_final_completion()
        assert all(entry.usage is not None for entry in sim.received)

    assert told.value.status_code == 200
    assert told.value.body["error"]["type"] == "overloaded_error"  # type: ignore[index]


async def test_errors_come_before_the_stream_as_json() -> None:
    with Simulator(failing(Fault.OVERLOADED)) as sim:
        with pytest.raises(anthropic.InternalServerError) as told:
            async with claude_stream(sim):
                pass
        with pytest.raises(openai.InternalServerError):
            async with gpt_stream(sim):
                pass
    assert told.value.status_code == 529


@pytest.mark.parametrize("fault", [Fault.STALL, Fault.HANG], ids=str)
async def test_a_stream_that_stalls_ends_with_the_clients_timeout(fault: Fault) -> None:
    with Simulator(failing(fault)) as sim:
        for open_stream in (claude_stream, gpt_stream):
            with pytest.raises(Exception, match=r"(?i)time") as told:
                async with open_stream(sim, timeout=0.2) as stream:
                    async for _ in stream:
                        pass
            assert "imeout" in type(told.value).__name__


async def test_a_reset_breaks_off_a_stream_that_has_begun() -> None:
    with Simulator(failing(Fault.RESET_MID_BODY)) as sim:
        seen: list[str] = []
        with pytest.raises(openai.APIConnectionError):
            async with gpt_stream(sim) as stream:
                seen.extend([event.type async for event in stream])
        async with claude(sim) as client:
            raw: Any = await client.messages.create(
                model=CLAUDE, max_tokens=99, messages=TURNS, stream=True
            )
            events = []
            with pytest.raises(Exception, match=r"(?i)connection|payload|reset"):
                async for event in raw:
                    events.append(event.type)  # noqa: PERF401 what came before the error counts
    assert events[0] == "message_start"
    assert "message_stop" not in events


async def test_a_stream_that_is_cut_ends_without_its_last_event() -> None:
    with Simulator(failing(Fault.CUT_BODY)) as sim:
        async with claude(sim) as client:
            raw: Any = await client.messages.create(
                model=CLAUDE, max_tokens=99, messages=TURNS, stream=True
            )
            events = [event.type async for event in raw]
    assert events[0] == "message_start"
    assert "message_delta" not in events


async def test_the_first_piece_does_not_wait_for_the_answer_to_be_written() -> None:
    latency = Latency(per_output_token_seconds=0.02)
    with Simulator(Settings(answer=lambda _request: "word " * 20, latency=latency)) as sim:
        began = time.monotonic()
        async with claude_stream(sim) as stream:
            times = [time.monotonic() - began async for _ in stream.text_stream]
    # 25 tokens take half a second in all, more on a busy machine
    assert times[-1] - times[0] > 0.15


async def test_who_leaves_a_stream_early_is_billed_and_harms_nobody() -> None:
    latency = Latency(per_output_token_seconds=0.01)
    with Simulator(Settings(answer=lambda _request: "word " * 200, latency=latency)) as sim:
        async with asyncio.timeout(30):
            async with claude_stream(sim) as stream:
                async for _ in stream.text_stream:
                    break
            message, _ = await final(sim)
        assert len(sim.received) == 3
        assert sim.received[0].usage is not None
    assert message.stop_reason == "end_turn"


async def test_the_fast_path_streams_too() -> None:
    with Simulator(Settings(fixed_answer="ok")) as sim:
        message, completion = await final(sim)
    assert message.content[0].text == completion.choices[0].message.content == "ok"
    assert completion.usage.prompt_tokens == 100


async def test_a_huge_answer_streams_in_larger_pieces() -> None:
    with Simulator(failing(Fault.HUGE, huge_bytes=1_000_000)) as sim:
        async with claude_stream(sim) as stream:
            pieces = [len(piece) async for piece in stream.text_stream]
    assert sum(pieces) > 900_000
    assert len(pieces) <= 2_000
