"""From a request to what the model wrote and what it is billed."""

import json
import math
from dataclasses import replace

from batchai.domain import Usage
from batchai.simulator.answers import default_answer
from batchai.simulator.faults import Fault
from batchai.simulator.protocols.base import Answer, Finish
from batchai.simulator.requests import SimRequest
from batchai.simulator.settings import Settings
from batchai.simulator.spoiling import spoiled

REQUEST_OVERHEAD_TOKENS = 8
TURN_OVERHEAD_TOKENS = 4
_FINISHES = {
    Fault.TRUNCATED: Finish.MAX_TOKENS,
    Fault.CONTEXT_EXCEEDED: Finish.CONTEXT,
    Fault.REFUSED: Finish.REFUSED,
    Fault.CONTENT_FILTER: Finish.CONTENT_FILTER,
}
_TIERS = ("flex", "priority")  # that are served to whoever asks for them
_REFUSED_TEXT = "I can't help with that."


def compose(
    request: SimRequest, settings: Settings, fault: Fault | None, *, usage: Usage
) -> Answer:
    """The answer to a request, spoiled by the fault, cut at stop sequences and at max_tokens.

    usage: of its input.
    """
    finish = _FINISHES.get(fault, Finish.NORMAL) if fault else Finish.NORMAL
    text, stop_sequence = _until_stop(_written(request, settings, fault), request.stop)
    written = max(tokens_in(text, settings), settings.least_output_tokens)
    written += settings.reasoning_tokens
    if finish is Finish.NORMAL and stop_sequence is not None:
        finish = Finish.STOP_SEQUENCE
    limit = request.max_tokens
    if fault is Fault.TRUNCATED and limit is not None:
        written = limit
    elif limit is not None and written > limit:
        written = limit
        if fault is not Fault.HUGE:  # the one answer that does not keep to max_tokens
            text = _cut(text, limit - settings.reasoning_tokens, settings)
            finish, stop_sequence = Finish.MAX_TOKENS, None
    usage = replace(usage, output=written, reasoning=min(settings.reasoning_tokens, written))
    model = settings.resolve_model(request) if settings.resolve_model else request.model
    tier = service_tier(request, settings)
    return Answer(text, finish, usage, model, stop_sequence, fault, tier)


def input_usage(request: SimRequest, settings: Settings) -> Usage:
    """The request's input tokens in their buckets."""
    schema = json.dumps(request.schema, separators=(",", ":")) if request.schema else ""
    total = (
        tokens_in(request.prompt, settings)
        + tokens_in(request.system or "", settings)
        + tokens_in(schema, settings)
        + TURN_OVERHEAD_TOKENS * request.turns
        + REQUEST_OVERHEAD_TOKENS
    )
    read = int(total * settings.cache_read_share)
    written = int(total * settings.cache_write_share)
    return Usage(uncached_input=total - read - written, cache_read=read, cache_write_5m=written)


def service_tier(request: SimRequest, settings: Settings) -> str | None:
    """The service tier that is billed; None: the standard one."""
    if settings.service_tier is not None:
        return settings.service_tier(request)
    tier = request.body.get("service_tier")
    return tier if tier in _TIERS else None


def tokens_in(text: str, settings: Settings) -> int:
    """Tokens of a text: its UTF-8 bytes divided by `bytes_per_token`, rounded up."""
    return math.ceil(len(text.encode("utf-8", "surrogatepass")) / settings.bytes_per_token)


def _written(request: SimRequest, settings: Settings, fault: Fault | None) -> str:
    if fault in (Fault.REFUSED, Fault.CONTENT_FILTER):
        return _REFUSED_TEXT
    text = settings.answer(request) if settings.answer else default_answer(request)
    return spoiled(
        text, fault=fault, is_json=request.schema is not None, huge_bytes=settings.huge_bytes
    )


def _until_stop(text: str, stops: tuple[str, ...]) -> tuple[str, str | None]:
    """The text before the first stop sequence, and which that was."""
    found = [(text.index(stop), stop) for stop in stops if stop and stop in text]
    if not found:
        return text, None
    at, stop = min(found)
    return text[:at], stop


def _cut(text: str, tokens: int, settings: Settings) -> str:
    size = max(0, int(tokens * settings.bytes_per_token))
    return text.encode("utf-8", "surrogatepass")[:size].decode("utf-8", "ignore")
