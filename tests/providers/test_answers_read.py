"""Bodies that compatible servers send and the simulator does not; and what details never repeat."""

import asyncio
from typing import Any

import pytest
from aiohttp import web

from batchai.domain import Outcome, Reply, Usage
from batchai.providers.anthropic_messages import read_message
from batchai.providers.anthropic_messages import read_usage as read_anthropic_usage
from batchai.providers.openai_chat import read_completion, read_usage
from batchai.providers.wording import one_line, without_echo
from tests.providers.asking import KEY, PROMPT, ask, model_at


def completion(**choice: Any) -> dict[str, Any]:
    return {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}


def test_a_list_of_parts_is_one_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, {"type": "image"}]

    reply = read_completion(completion(message={"content": parts}, finish_reason="stop"))

    assert (reply.outcome, reply.text) == (Outcome.SUCCEEDED, "ab")


@pytest.mark.parametrize("reason", ["tool_calls", "abort", None, 7])
def test_another_stop_of_openai_is_no_answer(reason: Any) -> None:
    reply = read_completion(completion(message={"content": "x"}, finish_reason=reason))

    assert reply.outcome is Outcome.MALFORMED
    assert reply.usage == Usage(uncached_input=3, output=2)


@pytest.mark.parametrize("reason", ["tool_use", "pause_turn", None])
def test_another_stop_of_anthropic_is_no_answer(reason: Any) -> None:
    reply = read_message({"type": "message", "content": [], "stop_reason": reason})

    assert reply.outcome is Outcome.MALFORMED


def test_thinking_is_not_part_of_the_text() -> None:
    blocks = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "yes"}, "odd", None]

    reply = read_message({"type": "message", "content": blocks, "stop_reason": "end_turn"})

    assert reply.text == "yes"


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"prompt_tokens": 3},
        {"prompt_tokens": -1, "completion_tokens": 2},
        {"prompt_tokens": "3", "completion_tokens": 2},
        {"prompt_tokens": True, "completion_tokens": 2},
        {
            "prompt_tokens": 3,
            "completion_tokens": 2,
            "prompt_tokens_details": {"cached_tokens": 9},
        },
    ],
    ids=str,
)
def test_a_usage_that_makes_no_sense_is_none(usage: Any) -> None:
    assert read_usage(usage) is None


def test_cache_writes_of_anthropic_are_split_by_duration() -> None:
    usage = {
        "input_tokens": 1,
        "output_tokens": 2,
        "cache_creation_input_tokens": 30,
        "cache_read_input_tokens": None,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10},
    }

    assert read_anthropic_usage(usage) == Usage(1, 0, 20, 10, 2)
    assert read_anthropic_usage({"input_tokens": 1, "output_tokens": -2}) is None


def test_a_message_never_repeats_the_request() -> None:
    body = b'{"messages":[{"content":"He said \\"no\\" to the offer of ten million, and left."}]}'
    message = 'invalid content: He said "no" to the offer of ten million, and left. (param: x)'

    said = without_echo(message, body)

    assert "million" not in said
    assert said.startswith("invalid content: ")
    assert said.endswith("(param: x)")


def test_a_message_about_a_large_request_is_withheld() -> None:
    assert "withheld" in without_echo("some words", b"x" * 300_000)


def test_a_detail_is_one_short_line_without_keys_or_escapes() -> None:
    text = f"bad key {KEY}, sk-proj-abc***xyz,\n\x1b[31mred\u202e Bearer abc.def " + "x" * 500

    said = one_line(text, key=KEY)

    assert said.startswith("bad key [key], [key], red [key] xxx")
    assert len(said) == 300


async def served(body: bytes, *, status: int = 200, encoding: str = "identity") -> Reply:
    """The reply of a server that answers everything with these bytes."""

    async def answer(request: web.BaseRequest) -> web.Response:
        await request.read()
        return web.Response(body=body, status=status, headers={"Content-Encoding": encoding})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        return await ask(model_at("openai", f"http://127.0.0.1:{runner.addresses[0][1]}/v1"))
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "an empty body"),
        (b"[1]", "a JSON list"),
        (b"null", "a JSON NoneType"),
        (b'"x"', "a JSON str"),
        (b"[" * 100_000, "not whole JSON"),
        (b"\x1f\x8b\x00", "not whole JSON"),
        (b"<html><title>Sign in</title>", "an HTML page, 'Sign in'"),
        (b'{"choices": [null]}', "200 without a completion"),
        (b'{"choices": {"0": 1}}', "200 without a completion"),
    ],
    ids=lambda value: str(value[:20]),
)
async def test_every_200_is_guarded(body: bytes, words: str) -> None:
    reply = await served(body)

    assert (reply.outcome, reply.may_be_billed) == (Outcome.MALFORMED, True)
    assert words in reply.detail


async def test_a_promised_body_that_ends_early_is_an_answer_lost() -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(half, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reply = await ask(model_at("openai", f"http://127.0.0.1:{port}/v1"))

    assert (reply.outcome, reply.may_be_billed) == (Outcome.CONNECTION_LOST, True)
    assert "broke off" in reply.detail


async def test_broken_compression_is_malformed() -> None:
    reply = await served(b"not gzip", encoding="gzip")

    assert (reply.outcome, reply.may_be_billed) == (Outcome.MALFORMED, True)


async def test_an_error_that_repeats_prompt_and_key_is_cleaned() -> None:
    body = f'{{"error": {{"message": "no: {PROMPT} with {KEY}", "type": "x"}}}}'.encode()

    reply = await served(body, status=400)

    assert reply.outcome is Outcome.REJECTED
    assert "patient" not in reply.detail
    assert KEY not in reply.detail
    assert reply.detail.startswith("HTTP 400: x: no: …")


async def test_an_error_page_is_not_quoted_but_for_its_title() -> None:
    reply = await served(f"<title>Oops</title>{PROMPT}".encode(), status=500)

    assert reply.detail == "HTTP 500: Oops"
