"""OpenAI Chat Completions, as openai 3.54 and compatible servers speak it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from batchai.domain import Usage
from batchai.simulator.caching import LEAST_TOKENS, Digests, Point
from batchai.simulator.faults import Fault
from batchai.simulator.protocols.base import (
    Answer,
    ErrorShape,
    Finish,
    format_seconds,
    number_of,
    strings_of,
    text_of,
    turns_of,
)
from batchai.simulator.protocols.schema_rules import openai_objection
from batchai.simulator.protocols.streams import broken_off, completion_events
from batchai.simulator.requests import SimRequest
from batchai.simulator.windows import Charge, Excess, Standing

REFUSAL = "I'm sorry, I cannot help with that request."
CREATED = 1_795_000_000  # a fixed time, so that the same request gets the same bytes
_FINISH_REASONS = {
    Finish.NORMAL: "stop",
    Finish.STOP_SEQUENCE: "stop",
    Finish.MAX_TOKENS: "length",
    Finish.CONTEXT: "length",
    Finish.REFUSED: "stop",
    Finish.CONTENT_FILTER: "content_filter",
}
_SYSTEM_ROLES = ("system", "developer")
_RATE_LIMITED = ErrorShape(429, "requests", "Rate limit reached.", code="rate_limit_exceeded")
_QUOTA = ErrorShape(
    429,
    "insufficient_quota",
    "You exceeded your current quota, please check your plan and billing details.",
    code="insufficient_quota",
)
_INVALID = "invalid_request_error"
_CACHED_TOKENS = 128  # the grain of the cache


class OpenAI:
    """The protocol of `POST /v1/chat/completions`."""

    name = "openai"
    errors: Mapping[Fault, ErrorShape] = {
        Fault.RATE_LIMITED: _RATE_LIMITED,
        Fault.RATE_LIMITED_BARE: _RATE_LIMITED,
        Fault.QUOTA: _QUOTA,
        Fault.SPEND_LIMIT: _QUOTA,
        Fault.PAYMENT_REQUIRED: ErrorShape(402, "billing_error", "Payment is required."),
        Fault.AUTH: ErrorShape(
            401, _INVALID, "Incorrect API key provided.", code="invalid_api_key"
        ),
        Fault.FORBIDDEN: ErrorShape(
            403, _INVALID, "Not allowed.", code="unsupported_country_region_territory"
        ),
        Fault.UNKNOWN_MODEL: ErrorShape(
            404, _INVALID, "The model does not exist.", code="model_not_found"
        ),
        Fault.BAD_REQUEST: ErrorShape(400, _INVALID, "Invalid 'messages'.", param="messages"),
        Fault.REQUEST_TIMEOUT: ErrorShape(408, "server_error", "Request timed out."),
        Fault.CONFLICT: ErrorShape(409, _INVALID, "The resource is locked."),
        Fault.TOO_LARGE: ErrorShape(413, _INVALID, "Maximum content size limit exceeded."),
        Fault.UNPROCESSABLE: ErrorShape(422, _INVALID, "The request cannot be processed."),
        Fault.SERVER_ERROR: ErrorShape(500, "server_error", "The server had an error."),
        Fault.UNAVAILABLE: ErrorShape(503, "server_error", "The server is not available."),
        Fault.GATEWAY_TIMEOUT: ErrorShape(504, "server_error", "The server took too long."),
        Fault.OVERLOADED: ErrorShape(
            503, "server_error", "The engine is overloaded, try again later."
        ),
        Fault.CONTEXT_EXCEEDED: ErrorShape(
            400,
            _INVALID,
            "The input exceeds this model's maximum context length.",
            code="context_length_exceeded",
            param="messages",
        ),
    }

    def read(self, body: Mapping[str, Any]) -> SimRequest:
        """What the body asks for; what is missing or odd is left empty."""
        turns = turns_of(body)
        said = [turn for turn in turns if turn.get("role") not in _SYSTEM_ROLES]
        told = [text_of(turn.get("content")) for turn in turns if turn.get("role") in _SYSTEM_ROLES]
        limit = body.get("max_completion_tokens", body.get("max_tokens"))
        return SimRequest(
            provider=self.name,
            model=str(body.get("model", "")),
            prompt="\n\n".join(text_of(turn.get("content")) for turn in said),
            system="\n\n".join(told) if told else None,
            max_tokens=number_of(limit),
            schema=_json_schema(body).get("schema"),
            stop=strings_of(body.get("stop")),
            body=body,
            turns=len(turns),
            streams=body.get("stream") is True,
        )

    def objection(self, request: SimRequest, headers: Mapping[str, str]) -> str | None:  # noqa: ARG002
        """Why the provider answers 400 to the request, or None."""
        body = request.body
        for name in ("model", "messages"):
            if not body.get(name):
                return f"Missing required parameter: '{name}'."
        if "max_tokens" in body and "max_completion_tokens" in body:
            return "'max_tokens' and 'max_completion_tokens' cannot be given together."
        if request.max_tokens is not None and request.max_tokens < 1:
            return "Invalid 'max_completion_tokens': expected a value >= 1."
        if body.get("stream_options") is not None and not request.streams:
            return "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        if _format_type(body) == "json_schema" and "name" not in _json_schema(body):
            return "Missing required parameter: 'response_format.json_schema.name'."
        return None

    def schema_objection(self, request: SimRequest) -> str | None:
        """Why strict mode answers 400 to the request's schema, or None."""
        form = _json_schema(request.body)
        if not form.get("strict"):
            return None
        objection = openai_objection(form.get("schema"))
        return (
            f"Invalid schema for response_format '{form['name']}': {objection}"
            if objection
            else None
        )

    def cache_points(self, request: SimRequest, *, bytes_per_token: float) -> list[Point]:
        """Every 128 tokens from 1,024 on, whether it is asked for or not."""
        turns = (
            f"{turn.get('role')}\0{text_of(turn.get('content'))}" for turn in turns_of(request.body)
        )
        text = "\0".join(turns).encode("utf-8", "surrogatepass")
        digests, points, done = Digests(bytes_per_token), [], 0
        for tokens in range(LEAST_TOKENS, int(len(text) / bytes_per_token) + 1, _CACHED_TOKENS):
            upto = math.ceil(tokens * bytes_per_token)
            digests.add(text[done:upto])
            points.append(digests.point(None))
            done = upto
        return points

    def reply(self, answer: Answer, identity: str) -> dict[str, Any]:
        """A ChatCompletion."""
        choice = {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": _content(answer),
                "refusal": REFUSAL if answer.finish is Finish.REFUSED else None,
                "annotations": [],
            },
            "logprobs": None,
            "finish_reason": _FINISH_REASONS[answer.finish],
        }
        completion: dict[str, Any] = {
            "id": f"chatcmpl-{identity}",
            "object": "chat.completion",
            "created": CREATED,
            "model": answer.model,
            "choices": [] if answer.fault is Fault.NO_CONTENT else [choice],
            "usage": _usage(answer.usage),
            "service_tier": answer.service_tier or "default",
            "system_fingerprint": None,
        }
        if answer.fault is Fault.MISSING_USAGE:
            del completion["usage"]
        return completion

    def events(self, reply: Mapping[str, Any], request: SimRequest) -> list[bytes]:
        """Chunks and `[DONE]`."""
        options = request.body.get("stream_options")
        includes_usage = isinstance(options, dict) and options.get("include_usage") is True
        return list(completion_events(reply, includes_usage=includes_usage))

    def broken_off(self, events: list[bytes], request_id: str) -> list[bytes]:
        """A chunk that is an error object after half of the stream."""
        return broken_off(
            events, self.error(self.errors[Fault.SERVER_ERROR], request_id), name=None
        )

    def error(self, shape: ErrorShape, request_id: str) -> dict[str, Any]:  # noqa: ARG002  (anthropic repeats it)
        """An error object."""
        return {
            "error": {
                "message": shape.message,
                "type": shape.type,
                "param": shape.param,
                "code": shape.code,
            }
        }

    def excess(self, excess: Excess) -> ErrorShape:
        """The 429 of a request over the account's limits."""
        kind = "requests" if excess.kind == "requests" else "tokens"
        return ErrorShape(
            429,
            kind,
            f"Rate limit reached on {kind} per min: Limit {excess.limit}, "
            f"Requested {excess.requested}. "
            f"Please try again in {go_duration(excess.wait_seconds)}.",
            code="rate_limit_exceeded",
        )

    def charge(self, request: SimRequest, usage: Usage) -> Charge:
        """The larger of max_tokens and the input, cached or not, is reserved."""
        return Charge(tokens=max(request.max_tokens or 0, usage.input), input_tokens=usage.input)

    def produced(self, usage: Usage) -> Charge:
        """Nothing but output where that has a window of its own: it was reserved on arrival."""
        return Charge(requests=0, output_tokens=usage.output)

    def headers(self, request_id: str, standings: Sequence[Standing]) -> dict[str, str]:
        """`x-request-id` and the limits; a reset is a Go duration."""
        headers = {
            "x-request-id": f"req_{request_id}",
            "openai-organization": "simulated",
            "openai-processing-ms": "1",
            "openai-version": "2020-10-01",
        }
        for standing in standings:
            if standing.kind in ("requests", "tokens"):
                headers[f"x-ratelimit-limit-{standing.kind}"] = str(standing.limit)
                headers[f"x-ratelimit-remaining-{standing.kind}"] = str(standing.remaining)
                headers[f"x-ratelimit-reset-{standing.kind}"] = go_duration(standing.reset_seconds)
        return headers

    def retry_after(self, seconds: float) -> dict[str, str]:
        """`retry-after` in seconds and `retry-after-ms`."""
        return {
            "retry-after": format_seconds(seconds),
            "retry-after-ms": str(-int(-seconds * 1000 // 1)),
        }


def go_duration(seconds: float) -> str:
    """`1h2m3.5s`, `6m0s`, `20ms`: how Go prints a duration."""
    milliseconds = -int(-seconds * 1000 // 1)
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / 1000:g}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def _format_type(body: Mapping[str, Any]) -> Any:
    form = body.get("response_format")
    return form.get("type") if isinstance(form, dict) else None


def _json_schema(body: Mapping[str, Any]) -> Mapping[str, Any]:
    form = body.get("response_format")
    schema = form.get("json_schema") if isinstance(form, dict) else None
    return schema if isinstance(schema, dict) else {}


def _content(answer: Answer) -> str | None:
    if answer.fault is Fault.NULL_CONTENT or answer.finish is Finish.REFUSED:
        return None
    return "" if answer.finish is Finish.CONTENT_FILTER else answer.text


def _usage(usage: Usage) -> dict[str, Any]:
    """`prompt_tokens` includes what was read from or written to a cache."""
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
