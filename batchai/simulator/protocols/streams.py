"""A whole reply as the server-sent events in which a provider would have streamed it.

Pure: reply in, one `bytes` an event out. As anthropic 2.14 and openai 3.57 read them.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

PIECE_CHARS = 16  # a few tokens, as the providers send them
_MOST_PIECES = 2_000  # a huge answer comes in larger pieces


def message_events(message: Mapping[str, Any]) -> Iterator[bytes]:
    """The events of an Anthropic Message, a ping among them; counts are cumulative."""
    usage = message.get("usage")
    opening = {**message, "content": [], "stop_reason": None, "stop_sequence": None}
    del opening["stop_details"]
    if usage is not None:
        opening["usage"] = {**usage, "output_tokens": min(1, usage["output_tokens"])}
    yield _named("message_start", message=opening)
    yield _named("ping")
    for index, block in enumerate(message["content"] or ()):
        yield _named("content_block_start", index=index, content_block={**block, "text": ""})
        for piece in _pieces(block["text"]):
            delta = {"type": "text_delta", "text": piece}
            yield _named("content_block_delta", index=index, delta=delta)
        yield _named("content_block_stop", index=index)
    delta = {name: message[name] for name in ("stop_reason", "stop_sequence", "stop_details")}
    closing = {"delta": delta} if usage is None else {"delta": delta, "usage": usage}
    yield _named("message_delta", **closing)
    yield _named("message_stop")


def completion_events(
    completion: Mapping[str, Any], *, includes_usage: bool = False
) -> Iterator[bytes]:
    """The chunks of an OpenAI ChatCompletion and `[DONE]`.

    With `stream_options.include_usage`, usage is null in every chunk but the last, which has no
    choices.
    """
    constant = {
        **{name: completion[name] for name in ("id", "created", "model", "service_tier")},
        "object": "chat.completion.chunk",
        "system_fingerprint": completion["system_fingerprint"],
    }
    if includes_usage:
        constant["usage"] = None
    for choice in completion["choices"]:
        for delta, finish in _deltas(choice):
            part = {"index": choice["index"], "delta": delta, "logprobs": None}
            yield _data({**constant, "choices": [{**part, "finish_reason": finish}]})
    if includes_usage and "usage" in completion:
        yield _data({**constant, "choices": [], "usage": completion["usage"]})
    yield b"data: [DONE]\n\n"


def broken_off(events: list[bytes], error: Mapping[str, Any], *, name: str | None) -> list[bytes]:
    """The first half of a stream, then an error; providers that name their events name it."""
    last = _data(error) if name is None else f"event: {name}\n".encode() + _data(error)
    return [*events[: len(events) // 2], last]


def _deltas(choice: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str | None]]:
    message = choice["message"]
    field = "content" if message["refusal"] is None else "refusal"
    yield {"role": "assistant", "content": message["content"] and "", "refusal": None}, None
    for piece in _pieces(message[field] or ""):
        yield {field: piece}, None
    yield {}, choice["finish_reason"]


def _pieces(text: str) -> Iterator[str]:
    size = max(PIECE_CHARS, -(-len(text) // _MOST_PIECES))
    return (text[at : at + size] for at in range(0, len(text), size))


def _named(name: str, **fields: Any) -> bytes:
    return f"event: {name}\n".encode() + _data({"type": name, **fields})


def _data(value: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"
