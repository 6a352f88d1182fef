"""OpenAI's Chat Completions API, `POST /chat/completions`, and every server that speaks it."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from batchai.documents import PDF
from batchai.domain import Attachment, Message, ModelSettings, Outcome, Reply, Request, Usage
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

OFFICIAL_URL = "https://api.openai.com/v1"
SCHEMA_NAME = "result"

# Models of OpenAI that refuse the old name max_tokens, also behind another server's address.
_NEW_NAME_ONLY = re.compile(r"(.*/)?(o\d|gpt-([5-9]|\d\d))")

_OUTCOMES = {
    "stop": Outcome.SUCCEEDED,
    "eos_token": Outcome.SUCCEEDED,  # text-generation-inference
    "stop_sequence": Outcome.SUCCEEDED,
    "length": Outcome.TRUNCATED,
    "content_filter": Outcome.REFUSED,
}


class OpenAIChat:
    """One account at one address. Built on the running loop, closed by `close`."""

    def __init__(
        self, *, base_url: str, key: str | None, asked_delivery: str | None = None
    ) -> None:
        import openai

        timeout, http_client = open_http(base_url)
        client = openai.AsyncOpenAI(
            api_key=key or "none",  # without one the SDK would look for others; it is not sent
            base_url=base_url,
            max_retries=0,
            timeout=timeout,
            http_client=http_client,
        )
        # Else OPENAI_CUSTOM_HEADERS of the environment would ride along, even replace the key.
        client._custom_headers = {}
        keyless = {"Authorization": openai.Omit()}
        self._official = is_official(base_url)
        if not self._official:  # the account's names are nobody else's business
            client.organization = client.project = None
        self._line = Line(
            client=client,
            url=parse_once(client, f"{base_url.rstrip('/')}/chat/completions"),
            status_error=openai.APIStatusError,
            connection_error=openai.APIConnectionError,
            read=partial(read_completion, asked=asked_delivery),
            fold=CompletionFold,
            key=key,
            options=request_options(timeout, headers=None if key else keyless),
            reconnect=http_client.reconnect,
        )
        self._bodies = Bodies(_constant_part)

    def encode(self, request: Request) -> bytes:
        """The body of the request, as it is sent."""
        turns: list[dict[str, Any]] = [
            {"role": m.role, "content": _parts(m)} for m in request.messages
        ]
        if request.system:
            turns.insert(0, {"role": "system", "content": request.system})
        limit = limit_name(request.settings.model, official=self._official)
        own: dict[str, Any] = {limit: request.max_tokens, "messages": turns}
        if request.is_streamed:
            own |= {"stream": True, "stream_options": {"include_usage": True}}
        if request.cache is not None:  # it caches by itself; the key leads to the same machine
            own["prompt_cache_key"] = request.cache.key
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
        """All input counts against OpenAI's token limit, cached or not."""
        return usage.input

    def reconnect(self) -> None:
        """Send what follows over new connections."""
        self._line.reconnect()

    async def close(self) -> None:
        """Close connections; a second call does nothing."""
        await self._line.client.close()


class CompletionFold:
    """Chunks of a streamed completion → the completion; usage comes in one after the end."""

    def __init__(self) -> None:
        self._facts: dict[str, Any] = {}
        self._texts: dict[str, list[str]] = {"content": [], "refusal": []}
        self._stop: Any = None

    def take(self, event: dict[str, Any]) -> str | None:
        """Take a chunk in; its text, None if it is no content."""
        self._facts |= {
            name: event[name]
            for name in ("model", "usage", "service_tier")
            if event.get(name) is not None
        }
        choices = event.get("choices")
        choice = _mapping(choices[0]) if isinstance(choices, list) and choices else {}
        self._stop = choice.get("finish_reason") or self._stop
        delta = _mapping(choice.get("delta"))
        for name, texts in self._texts.items():
            if isinstance(text := delta.get(name), str):
                texts.append(text)
        written = any(isinstance(value, str) and value for value in delta.values())
        return _content(delta.get("content")) if written else None

    def answer(self) -> dict[str, Any] | None:
        """The completion; None until a chunk has told why it ended."""
        if self._stop is None:
            return None
        message = {name: "".join(texts) for name, texts in self._texts.items()}
        return {**self._facts, "choices": [{"message": message, "finish_reason": self._stop}]}


def is_official(base_url: str) -> bool:
    """Whether an address is OpenAI's own."""
    host = urlsplit(base_url).hostname or ""
    return host == "openai.com" or host.endswith(".openai.com")


def limit_name(model: str, *, official: bool) -> str:
    """What the output limit is called: compatible servers may not know the new name."""
    new = official or _NEW_NAME_ONLY.match(model)
    return "max_completion_tokens" if new else "max_tokens"


def read_completion(answer: dict[str, Any], *, asked: str | None = None) -> Reply:
    """A decoded 200 → Reply; MALFORMED where it is no completion."""
    choices = answer.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        return malformed("200 without a completion")
    stop = choice.get("finish_reason")
    outcome = _OUTCOMES.get(stop, Outcome.MALFORMED) if isinstance(stop, str) else Outcome.MALFORMED
    text, detail = _content(message.get("content")), _detail(outcome, stop)
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        outcome, text, detail = Outcome.REFUSED, text or refusal, "the model refused"
    elif outcome is Outcome.SUCCEEDED and not text.strip():
        outcome, detail = Outcome.EMPTY, "the model stopped without a word"
    model = answer.get("model")
    return Reply(
        outcome,
        text=text,
        usage=read_usage(answer.get("usage")),
        delivery=delivery(answer.get("service_tier"), asked),
        model=model if isinstance(model, str) else None,
        detail=detail,
    )


def read_usage(usage: Any) -> Usage | None:
    """Disjoint buckets of a usage whose `prompt_tokens` includes the cache; None if absent."""
    if not isinstance(usage, dict) or not {"prompt_tokens", "completion_tokens"} <= usage.keys():
        return None
    prompt, output = count(usage["prompt_tokens"]), count(usage["completion_tokens"])
    details = _mapping(usage.get("prompt_tokens_details"))
    read, written = count(details.get("cached_tokens")), count(details.get("cache_write_tokens"))
    reasoning = count(_mapping(usage.get("completion_tokens_details")).get("reasoning_tokens"))
    if prompt is None or output is None or read is None or written is None or reasoning is None:
        return None
    return consistent(
        Usage(
            uncached_input=prompt - read - written,
            cache_read=read,
            cache_write_5m=written,
            output=output,
            reasoning=min(reasoning, output),
        )
    )


def _constant_part(settings: ModelSettings) -> dict[str, Any]:
    """What is the same in every request of a step."""
    optional = {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "stop": list(settings.stop) or None,
        "metadata": dict(settings.metadata) if settings.metadata else None,
        "reasoning_effort": settings.effort,
        "response_format": _response_format(settings),
    }
    part: dict[str, Any] = {"model": settings.model}
    return part | {name: value for name, value in optional.items() if value is not None}


def _response_format(settings: ModelSettings) -> dict[str, Any] | None:
    if settings.schema is None:
        return None
    schema = normalise(settings.schema, settings.provider)
    return {
        "type": "json_schema",
        "json_schema": {"name": SCHEMA_NAME, "schema": schema, "strict": True},
    }


def _parts(message: Message) -> str | list[dict[str, Any]]:
    """A turn's text, or parts: files come before what is asked about them."""
    if not message.attachments:
        return message.content
    files = [_file_part(file) for file in message.attachments]
    return [*files, {"type": "text", "text": message.content}]


def _file_part(file: Attachment) -> dict[str, Any]:
    url = f"data:{file.media_type};base64,{base64_of(file)}"
    if file.media_type == PDF:
        return {"type": "file", "file": {"filename": file.path.name, "file_data": url}}
    # said, since the default of newer models has no bound of tokens that is documented
    return {"type": "image_url", "image_url": {"url": url, "detail": "high"}}


def _content(content: Any) -> str:
    """The text of a message; some servers send a list of parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(
        part["text"]
        for part in parts
        if isinstance(part, dict) and isinstance(part.get("text"), str)
    )


def _detail(outcome: Outcome, stop: Any) -> str:
    match outcome:
        case Outcome.REFUSED:
            return "a content filter stopped the answer"
        case Outcome.TRUNCATED:
            return "cut off at max_tokens or at the end of the context window"
        case Outcome.MALFORMED:
            return f"the answer ended with finish_reason {stop!r}, which is no normal stop"
        case _:
            return ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
