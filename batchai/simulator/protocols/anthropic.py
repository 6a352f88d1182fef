"""Anthropic Messages, as anthropic 2.12 speaks it (versions 2023-06-01 and 2026-10-21)."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from batchai.domain import Usage
from batchai.simulator.caching import Digests, Point
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
from batchai.simulator.protocols.schema_rules import anthropic_objection
from batchai.simulator.protocols.streams import broken_off, message_events
from batchai.simulator.requests import SimRequest
from batchai.simulator.windows import Charge, Excess, Standing

SAMPLING_VERSION = "2023-06-01"  # the last version that takes temperature, top_p and top_k
_STOP_REASONS = {
    Finish.NORMAL: "end_turn",
    Finish.STOP_SEQUENCE: "stop_sequence",
    Finish.MAX_TOKENS: "max_tokens",
    Finish.CONTEXT: "model_context_window_exceeded",
    Finish.REFUSED: "refusal",
    Finish.CONTENT_FILTER: "refusal",
}
_RATE_LIMITED = ErrorShape(
    429, "rate_limit_error", "This request would exceed your account's rate limit."
)


class Anthropic:
    """The protocol of `POST /v1/messages`."""

    name = "anthropic"
    errors: Mapping[Fault, ErrorShape] = {
        Fault.RATE_LIMITED: _RATE_LIMITED,
        Fault.RATE_LIMITED_BARE: _RATE_LIMITED,
        Fault.QUOTA: ErrorShape(
            429,
            "rate_limit_error",
            "You have reached the monthly usage threshold of your tier.",
            code="enforced_spend_limit_reached",
        ),
        Fault.SPEND_LIMIT: ErrorShape(
            400,
            "invalid_request_error",
            "You have reached your specified API usage limits. "
            "You will regain access on 2026-12-01 at 00:00 UTC.",
        ),
        Fault.PAYMENT_REQUIRED: ErrorShape(402, "billing_error", "Your credit balance is too low."),
        Fault.AUTH: ErrorShape(401, "authentication_error", "invalid bearer token"),
        Fault.FORBIDDEN: ErrorShape(
            403, "permission_error", "Your API key may not use this resource."
        ),
        Fault.UNKNOWN_MODEL: ErrorShape(404, "not_found_error", "model: not found"),
        Fault.BAD_REQUEST: ErrorShape(400, "invalid_request_error", "messages: invalid"),
        Fault.REQUEST_TIMEOUT: ErrorShape(
            408, "timeout_error", "The request took too long to arrive."
        ),
        Fault.CONFLICT: ErrorShape(409, "conflict_error", "The resource is in use."),
        Fault.TOO_LARGE: ErrorShape(413, "request_too_large", "Request exceeds the maximum size"),
        Fault.UNPROCESSABLE: ErrorShape(
            422, "invalid_request_error", "The request cannot be processed."
        ),
        Fault.SERVER_ERROR: ErrorShape(500, "api_error", "Internal server error"),
        Fault.UNAVAILABLE: ErrorShape(503, "api_error", "Service unavailable"),
        Fault.GATEWAY_TIMEOUT: ErrorShape(504, "timeout_error", "The answer took too long."),
        Fault.OVERLOADED: ErrorShape(529, "overloaded_error", "Overloaded"),
    }

    def read(self, body: Mapping[str, Any]) -> SimRequest:
        """What the body asks for; what is missing or odd is left empty."""
        output_config = body.get("output_config")
        form = output_config.get("format") if isinstance(output_config, dict) else None
        turns = turns_of(body)
        return SimRequest(
            provider=self.name,
            model=str(body.get("model", "")),
            prompt="\n\n".join(text_of(turn.get("content")) for turn in turns),
            system=text_of(body["system"]) if body.get("system") else None,
            max_tokens=number_of(body.get("max_tokens")),
            schema=form.get("schema") if isinstance(form, dict) else None,
            stop=strings_of(body.get("stop_sequences")),
            body=body,
            turns=len(turns),
            streams=body.get("stream") is True,
        )

    def objection(self, request: SimRequest, headers: Mapping[str, str]) -> str | None:
        """Why the provider answers 400 to the request, or None."""
        body, version = request.body, headers.get("anthropic-version")
        if version is None:
            return "anthropic-version: header is required"
        for name in ("model", "messages", "max_tokens"):
            if body.get(name) in (None, "", []):
                return f"{name}: Field required"
        if request.max_tokens is None or request.max_tokens < 1:
            return "max_tokens: Input should be greater than or equal to 1"
        unknown = {"response_format", "max_completion_tokens", "stop"}
        if version != SAMPLING_VERSION:
            unknown |= {"temperature", "top_p", "top_k"}
        if extra := unknown & body.keys():
            return f"{min(extra)}: Extra inputs are not permitted"
        return None

    def schema_objection(self, request: SimRequest) -> str | None:
        """Why structured output answers 400 to the request's schema, or None."""
        return None if request.schema is None else anthropic_objection(request.schema)

    def cache_points(self, request: SimRequest, *, bytes_per_token: float) -> list[Point]:
        """Up to each block that is marked with `cache_control`: schema, system, turns."""
        digests, points = Digests(bytes_per_token), []
        digests.add(json.dumps(request.schema).encode() if request.schema else b"")
        turns = turns_of(request.body)
        for number, content in enumerate([request.body.get("system"), *map(_said, turns)]):
            digests.add(b"\0%d" % number, counts=False)  # equal texts of two turns are not the same
            for block in content if isinstance(content, list) else [content or ""]:
                digests.add(text_of([block]).encode("utf-8", "surrogatepass"))
                control = block.get("cache_control") if isinstance(block, dict) else None
                if isinstance(control, dict):
                    points.append(digests.point("1h" if control.get("ttl") == "1h" else "5m"))
        return points

    def reply(self, answer: Answer, identity: str) -> dict[str, Any]:
        """A Message."""
        refused = answer.finish in (Finish.REFUSED, Finish.CONTENT_FILTER)
        message: dict[str, Any] = {
            "id": f"msg_{identity}",
            "type": "message",
            "role": "assistant",
            "model": answer.model,
            "content": _content(answer),
            "stop_reason": _STOP_REASONS[answer.finish],
            "stop_sequence": answer.stop_sequence,
            "stop_details": _REFUSAL_DETAILS if refused else None,
            "usage": _usage(answer.usage) | {"service_tier": answer.service_tier or "standard"},
        }
        if answer.fault is Fault.MISSING_USAGE:
            del message["usage"]
        return message

    def events(self, reply: Mapping[str, Any], request: SimRequest) -> list[bytes]:  # noqa: ARG002  (openai needs it)
        """From `message_start` to `message_stop`."""
        return list(message_events(reply))

    def broken_off(self, events: list[bytes], request_id: str) -> list[bytes]:
        """An `error` event after half of the stream."""
        error = self.error(self.errors[Fault.OVERLOADED], request_id)
        return broken_off(events, error, name="error")

    def error(self, shape: ErrorShape, request_id: str) -> dict[str, Any]:
        """An error object; a code goes into its details."""
        error: dict[str, Any] = {"type": shape.type, "message": shape.message}
        if shape.code is not None:
            error["details"] = {"error_code": shape.code}
        return {"type": "error", "error": error, "request_id": request_id}

    def excess(self, excess: Excess) -> ErrorShape:
        """The 429 of a request over the account's limits."""
        kind = excess.kind.replace("_", " ")
        return _RATE_LIMITED.saying(
            f"This request would exceed your account's rate limit of {excess.limit} {kind} "
            "per minute."
        )

    def charge(self, request: SimRequest, usage: Usage) -> Charge:  # noqa: ARG002  (openai needs it)
        """Input counts on arrival, but for what a cache gave; max_tokens reserves nothing."""
        counted = usage.input - usage.cache_read
        return Charge(tokens=counted, input_tokens=counted)

    def produced(self, usage: Usage) -> Charge:
        """Output counts as it is produced."""
        return Charge(requests=0, tokens=usage.output, output_tokens=usage.output)

    def headers(self, request_id: str, standings: Sequence[Standing]) -> dict[str, str]:
        """`request-id` and the limits.

        A reset is an RFC 3339 time; remaining tokens are rounded to 1,000.
        """
        headers = {"request-id": f"req_{request_id}", "anthropic-organization-id": "simulated"}
        now = datetime.now(UTC)
        for standing in standings:
            name = f"anthropic-ratelimit-{standing.kind.replace('_', '-')}"
            reset = now + timedelta(seconds=standing.reset_seconds)
            headers[f"{name}-limit"] = str(standing.limit)
            headers[f"{name}-remaining"] = str(_rounded(standing))
            headers[f"{name}-reset"] = reset.isoformat(timespec="seconds").replace("+00:00", "Z")
        return headers

    def retry_after(self, seconds: float) -> dict[str, str]:
        """`retry-after` in seconds."""
        return {"retry-after": format_seconds(seconds)}


_REFUSAL_DETAILS = {
    "type": "refusal",
    "category": "general_harms",
    "explanation": "The request was declined.",
}


def _said(turn: Mapping[str, Any]) -> Any:
    return turn.get("content")


def _content(answer: Answer) -> list[dict[str, Any]] | None:
    match answer.fault:
        case Fault.NO_CONTENT:
            return []
        case Fault.NULL_CONTENT:
            return None
        case _:
            return [{"type": "text", "text": answer.text}]


def _usage(usage: Usage) -> dict[str, Any]:
    """The disjoint buckets: `input_tokens` is what was neither read from nor written to a cache."""
    return {
        "input_tokens": usage.uncached_input,
        "cache_creation_input_tokens": usage.cache_write_5m + usage.cache_write_1h,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "output_tokens": usage.output,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
    }


def _rounded(standing: Standing) -> int:
    if standing.kind == "requests" or standing.limit < 1000:
        return standing.remaining
    return round(standing.remaining, -3)
