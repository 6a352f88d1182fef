"""Anthropic's Messages API: `POST /v1/messages`."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from batchai.documents import PDF
from batchai.domain import CacheMark, Message, ModelSettings, Outcome, Reply, Request, Usage
from batchai.providers.attachments import base64_of
from batchai.providers.bodies import Bodies
from batchai.providers.calls import (
    Line,
    call,
    consistent,
    count,
    delivery,
    malformed,
    stream,
)
from batchai.providers.clients import open_http, parse_once, request_options
from batchai.providers.streaming import Deadlines
from batchai.schemas import normalise
from batchai.spec.models import Model

OFFICIAL_URL = "https://api.anthropic.com"
# The API version under which older models still take temperature and top_p; the SDK's own does not.
SAMPLING_VERSION = "2023-06-01"
_SAMPLING = ("temperature", "top_p", "top_k")

_OUTCOMES = {
    "end_turn": Outcome.SUCCEEDED,
    "stop_sequence": Outcome.SUCCEEDED,
    "max_tokens": Outcome.TRUNCATED,
    "model_context_window_exceeded": Outcome.TRUNCATED,
    "refusal": Outcome.REFUSED,
}


class AnthropicMessages:
    """One account at one address. Built on the running loop, closed by `close`."""

    def __init__(self, model: Model, *, base_url: str, key: str | None) -> None:
        import anthropic

        timeout, http_client = open_http(base_url)
        client = anthropic.AsyncAnthropic(
            api_key=key or "",
            base_url=base_url,
            max_retries=0,
            timeout=timeout,
            http_client=http_client,
            open_telemetry=False,
        )
        # Else ANTHROPIC_CUSTOM_HEADERS of the environment would ride along, even replace the key.
        client._custom_headers = _headers(model, key, omit=anthropic.Omit())
        self._line = Line(
            client=client,
            url=parse_once(client, f"{base_url.rstrip('/')}/v1/messages"),
            status_error=anthropic.APIStatusError,
            connection_error=anthropic.APIConnectionError,
            read=partial(read_message, asked=model.delivery),
            fold=MessageFold,
            key=key,
            # without the timeout the header x-stainless-timeout is NOT_GIVEN
            options=request_options(timeout),
            reconnect=http_client.reconnect,
        )
        self._bodies = Bodies(_constant_part)

    def encode(self, request: Request) -> bytes:
        """The body of the request, as it is sent."""
        own: dict[str, Any] = {"max_tokens": request.max_tokens}
        if request.system:
            own["system"] = request.system
        if request.is_streamed:
            own["stream"] = True
        own["messages"] = [{"role": m.role, "content": _content(m)} for m in request.messages]
        if request.cache is not None:
            _mark(own, request.cache)
        return self._bodies.encode(request.settings, own)

    async def send(self, body: bytes, *, deadline_seconds: float) -> Reply:
        """Exactly one HTTP request; every failure is a Reply with its Outcome."""
        return await call(self._line, body, deadline_seconds=deadline_seconds)

    async def stream(
        self, body: bytes, *, deadlines: Deadlines, on_text: Callable[[str], None]
    ) -> Reply:
        """Exactly one HTTP request, of a request that `is_streamed`; text as it is written."""
        return await stream(self._line, body, deadlines=deadlines, on_text=on_text)

    def counted_input_tokens(self, usage: Usage) -> int:
        """Cache reads are free of the input token limit; cache writes count."""
        return usage.input - usage.cache_read

    def reconnect(self) -> None:
        """Send what follows over new connections."""
        self._line.reconnect()

    async def close(self) -> None:
        """Close connections; a second call does nothing."""
        await self._line.client.close()


class MessageFold:
    """Events of a streamed message → the message. Source: Anthropic's reference, "Streaming"."""

    def __init__(self) -> None:
        self._message: dict[str, Any] = {}
        self._blocks: dict[Any, dict[str, Any]] = {}
        self._is_whole = False

    def take(self, event: dict[str, Any]) -> str | None:
        """Take an event in; its text, None if it is no content."""
        match event.get("type"):
            case "message_start":
                self._message = dict(_mapping(event.get("message")))
            case "content_block_start":
                self._blocks[event.get("index")] = dict(_mapping(event.get("content_block")))
            case "content_block_delta":
                return self._grow(event.get("index"), _mapping(event.get("delta")))
            case "message_delta":
                self._message |= _mapping(event.get("delta"))
                usage = _mapping(self._message.get("usage"))
                self._message["usage"] = {**usage, **_mapping(event.get("usage"))}
            case "message_stop":
                self._is_whole = True
        return None

    def answer(self) -> dict[str, Any] | None:
        """The message; None until its end has come."""
        if not self._is_whole:
            return None
        return {**self._message, "content": list(self._blocks.values())}

    def _grow(self, index: Any, delta: Mapping[str, Any]) -> str:
        text = delta.get("text")
        if not isinstance(text, str):
            return ""  # thinking: content, and billed, but no text of the answer
        block = self._blocks.setdefault(index, {"type": "text"})
        block["text"] = str(block.get("text", "")) + text
        return text


def _mark(own: dict[str, Any], mark: CacheMark) -> None:
    """Make blocks of the text in which the shared beginning ends, with a cache breakpoint there."""
    holders = [(own, "system")] if "system" in own else []
    holders += [(turn, "content") for turn in own["messages"]]
    holder, name = holders[mark.parts if mark.chars else mark.parts - 1]
    text: str = holder[name]
    at = mark.chars or len(text)
    rest = text[at:]
    if not rest.strip():  # a block of white space would be refused
        at, rest = len(text), ""
    control = {"type": "ephemeral"} if mark.ttl == "5m" else {"type": "ephemeral", "ttl": mark.ttl}
    holder[name] = [{"type": "text", "text": text[:at], "cache_control": control}]
    if rest:
        holder[name].append({"type": "text", "text": rest})


def read_message(answer: dict[str, Any], *, asked: str | None = None) -> Reply:
    """A decoded 200 → Reply; MALFORMED where it is no message."""
    blocks = answer.get("content")
    if not isinstance(blocks, list) or answer.get("type") != "message":
        return malformed("200 without a message")
    usage = read_usage(answer.get("usage"))
    stop = answer.get("stop_reason")
    text = "".join(_block_text(block) for block in blocks)
    outcome = _OUTCOMES.get(stop, Outcome.MALFORMED) if isinstance(stop, str) else Outcome.MALFORMED
    detail = _detail(outcome, stop, answer)
    if outcome is Outcome.SUCCEEDED and not text.strip():
        outcome, detail = Outcome.EMPTY, "the model stopped without a word"
    model = answer.get("model")
    return Reply(
        outcome,
        text=text,
        usage=usage,
        delivery=delivery(_mapping(answer.get("usage")).get("service_tier"), asked),
        model=model if isinstance(model, str) else None,
        detail=detail,
    )


def read_usage(usage: Any) -> Usage | None:
    """Disjoint buckets of a usage whose `input_tokens` excludes the cache; None if absent."""
    if not isinstance(usage, dict) or "input_tokens" not in usage or "output_tokens" not in usage:
        return None
    creation = _mapping(usage.get("cache_creation"))
    thinking = _mapping(usage.get("output_tokens_details")).get("thinking_tokens")
    counts = [
        count(value)
        for value in (
            usage["input_tokens"],
            usage.get("cache_read_input_tokens"),
            usage.get("cache_creation_input_tokens"),
            creation.get("ephemeral_1h_input_tokens"),
            usage["output_tokens"],
            thinking,
        )
    ]
    if None in counts:
        return None
    fresh, read, written, written_1h, output, reasoning = (value or 0 for value in counts)
    # writes that the breakdown does not name are the usual, cheaper five-minute ones
    return consistent(
        Usage(
            uncached_input=fresh,
            cache_read=read,
            cache_write_5m=max(written, written_1h) - written_1h,
            cache_write_1h=written_1h,
            output=output,
            reasoning=min(reasoning, output),
        )
    )


def _content(message: Message) -> str | list[dict[str, Any]]:
    """A turn's text, or blocks: files come before what is asked about them."""
    if not message.attachments:
        return message.content
    files = [
        {
            "type": "document" if file.media_type == PDF else "image",
            "source": {"type": "base64", "media_type": file.media_type, "data": base64_of(file)},
        }
        for file in message.attachments
    ]
    return [*files, {"type": "text", "text": message.content}]


def _headers(model: Model, key: str | None, *, omit: Any) -> dict[str, Any]:
    headers: dict[str, Any] = {} if key else {"Authorization": omit}
    given = (model.temperature, model.top_p, *map((model.extra_body or {}).get, _SAMPLING))
    if any(value is not None for value in given):
        headers["anthropic-version"] = SAMPLING_VERSION
    return headers


def _constant_part(settings: ModelSettings) -> dict[str, Any]:
    """What is the same in every request of a step."""
    part: dict[str, Any] = {"model": settings.model}
    output_config: dict[str, Any] = {}
    if settings.schema is not None:
        schema = normalise(settings.schema, settings.provider)
        output_config["format"] = {"type": "json_schema", "schema": schema}
    if settings.effort is not None:
        output_config["effort"] = settings.effort
    optional = {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "stop_sequences": list(settings.stop) or None,
        "metadata": dict(settings.metadata) if settings.metadata else None,
        "output_config": output_config or None,
    }
    return part | {name: value for name, value in optional.items() if value is not None}


def _detail(outcome: Outcome, stop: Any, answer: Mapping[str, Any]) -> str:
    match outcome:
        case Outcome.REFUSED:
            category = _mapping(answer.get("stop_details")).get("category")
            return f"the model refused ({category})" if category else "the model refused"
        case Outcome.TRUNCATED if stop != "max_tokens":
            return "cut off at the end of the model's context window"
        case Outcome.TRUNCATED:
            return "cut off at max_tokens"
        case Outcome.MALFORMED:
            return f"the answer ended with stop_reason {stop!r}, which is no normal stop"
        case _:
            return ""


def _block_text(block: Any) -> str:
    if (
        isinstance(block, dict)
        and block.get("type") == "text"
        and isinstance(block.get("text"), str)
    ):
        return str(block["text"])
    return ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
