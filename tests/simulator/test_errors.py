"""Every error fault, as the real SDKs see it."""

from typing import Any

import anthropic
import openai
import pytest

from batchai.simulator import Fault, Served, Settings, Simulator
from tests.simulator.clients import ask_claude, ask_gpt, failing

F = Fault
INVALID = "invalid_request_error"

CLAUDE_ERRORS = [
    (F.RATE_LIMITED, "RateLimitError", 429, "rate_limit_error", None),
    (F.RATE_LIMITED_BARE, "RateLimitError", 429, "rate_limit_error", None),
    (
        F.QUOTA,
        "EnforcedSpendLimitReachedError",
        429,
        "rate_limit_error",
        "enforced_spend_limit_reached",
    ),
    (F.SPEND_LIMIT, "BadRequestError", 400, INVALID, None),
    (F.PAYMENT_REQUIRED, "PaymentRequiredError", 402, "billing_error", None),
    (F.AUTH, "AuthenticationError", 401, "authentication_error", None),
    (F.FORBIDDEN, "PermissionDeniedError", 403, "permission_error", None),
    (F.UNKNOWN_MODEL, "NotFoundError", 404, "not_found_error", None),
    (F.BAD_REQUEST, "BadRequestError", 400, INVALID, None),
    (F.REQUEST_TIMEOUT, "RequestTimeoutError", 408, "timeout_error", None),
    (F.CONFLICT, "ConflictError", 409, "conflict_error", None),
    (F.TOO_LARGE, "ContentTooLargeError", 413, "request_too_large", None),
    (F.UNPROCESSABLE, "UnprocessableEntityError", 422, INVALID, None),
    (F.SERVER_ERROR, "InternalServerError", 500, "api_error", None),
    (F.BAD_GATEWAY, "InternalServerError", 502, None, None),
    (F.UNAVAILABLE, "ServiceUnavailableError", 503, "api_error", None),
    (F.GATEWAY_TIMEOUT, "GatewayTimeoutError", 504, "timeout_error", None),
    (F.OVERLOADED, "OverloadedError", 529, "overloaded_error", None),
]

GPT_ERRORS = [
    (F.RATE_LIMITED, "RateLimitError", 429, "requests", "rate_limit_exceeded"),
    (F.RATE_LIMITED_BARE, "RateLimitError", 429, "requests", "rate_limit_exceeded"),
    (F.QUOTA, "RateLimitError", 429, "insufficient_quota", "insufficient_quota"),
    (F.SPEND_LIMIT, "RateLimitError", 429, "insufficient_quota", "insufficient_quota"),
    (F.PAYMENT_REQUIRED, "APIStatusError", 402, "billing_error", None),
    (F.AUTH, "AuthenticationError", 401, INVALID, "invalid_api_key"),
    (F.FORBIDDEN, "PermissionDeniedError", 403, INVALID, "unsupported_country_region_territory"),
    (F.UNKNOWN_MODEL, "NotFoundError", 404, INVALID, "model_not_found"),
    (F.BAD_REQUEST, "BadRequestError", 400, INVALID, None),
    (F.REQUEST_TIMEOUT, "APIStatusError", 408, "server_error", None),
    (F.CONFLICT, "ConflictError", 409, INVALID, None),
    (F.TOO_LARGE, "APIStatusError", 413, INVALID, None),
    (F.UNPROCESSABLE, "UnprocessableEntityError", 422, INVALID, None),
    (F.SERVER_ERROR, "InternalServerError", 500, "server_error", None),
    (F.BAD_GATEWAY, "InternalServerError", 502, None, None),
    (F.UNAVAILABLE, "InternalServerError", 503, "server_error", None),
    (F.GATEWAY_TIMEOUT, "InternalServerError", 504, "server_error", None),
    (F.OVERLOADED, "InternalServerError", 503, "server_error", None),
    (F.CONTEXT_EXCEEDED, "BadRequestError", 400, INVALID, "context_length_exceeded"),
]


@pytest.mark.parametrize(
    ("fault", "error", "status", "kind", "code"), CLAUDE_ERRORS, ids=[e[0] for e in CLAUDE_ERRORS]
)
async def test_the_anthropic_sdk_raises_its_own_error(
    fault: Fault, error: str, status: int, kind: str | None, code: str | None
) -> None:
    with Simulator(failing(fault)) as sim:
        with pytest.raises(anthropic.APIStatusError) as raised:
            await ask_claude(sim)

        assert type(raised.value).__name__ == error
        assert (raised.value.status_code, raised.value.type) == (status, kind)
        assert raised.value.error_code == code
        assert sim.received[0].served is Served.FAULTY
        assert sim.received[0].usage is None


@pytest.mark.parametrize(
    ("fault", "error", "status", "kind", "code"), GPT_ERRORS, ids=[e[0] for e in GPT_ERRORS]
)
async def test_the_openai_sdk_raises_its_own_error(
    fault: Fault, error: str, status: int, kind: str | None, code: str | None
) -> None:
    with Simulator(failing(fault)) as sim:
        with pytest.raises(openai.APIStatusError) as raised:
            await ask_gpt(sim)

        assert type(raised.value).__name__ == error
        assert (raised.value.status_code, raised.value.type) == (status, kind)
        assert raised.value.code == code
        assert sim.received[0].usage is None


async def test_a_rate_limit_says_when_to_come_back_in_each_providers_headers() -> None:
    with Simulator(failing(Fault.RATE_LIMITED, retry_after_seconds=2.5)) as sim:
        with pytest.raises(anthropic.RateLimitError) as claude:
            await ask_claude(sim)
        with pytest.raises(openai.RateLimitError) as gpt:
            await ask_gpt(sim)

    assert claude.value.response.headers["retry-after"] == "2.500"
    assert claude.value.request_id == "req_000000000000000000000000"
    assert gpt.value.response.headers["retry-after"] == "2.500"
    assert gpt.value.response.headers["retry-after-ms"] == "2500"
    assert gpt.value.request_id == "req_000000000000000000000001"


async def test_a_bare_rate_limit_and_a_spent_quota_say_nothing_about_when() -> None:
    for fault in (Fault.RATE_LIMITED_BARE, Fault.QUOTA):
        with Simulator(failing(fault)) as sim:
            with pytest.raises(anthropic.RateLimitError) as claude:
                await ask_claude(sim)
            with pytest.raises(openai.RateLimitError) as gpt:
                await ask_gpt(sim)
        assert "retry-after" not in claude.value.response.headers
        assert "retry-after" not in gpt.value.response.headers


async def test_anthropics_own_spend_limit_is_a_400_that_names_it() -> None:
    with (
        Simulator(failing(Fault.SPEND_LIMIT)) as sim,
        pytest.raises(
            anthropic.BadRequestError, match="You have reached your specified API usage limits"
        ),
    ):
        await ask_claude(sim)


async def test_only_the_given_keys_are_let_in_and_no_key_is_written_down() -> None:
    with Simulator(Settings(keys=frozenset({"sk-right"}))) as sim:
        await ask_claude(sim, api_key="sk-right")
        await ask_gpt(sim, api_key="sk-right")
        with pytest.raises(anthropic.AuthenticationError):
            await ask_claude(sim, api_key="sk-wrong")
        with pytest.raises(openai.AuthenticationError):
            await ask_gpt(sim, api_key="sk-wrong")

        hashes = [entry.key_hash for entry in sim.received]
        assert "sk-" not in repr(sim.received)
    assert hashes[0] == hashes[1] != hashes[2] == hashes[3]


async def test_a_model_that_is_not_offered_is_not_found() -> None:
    with Simulator(Settings(models=frozenset({"other"}))) as sim:
        with pytest.raises(anthropic.NotFoundError, match="claude-haiku-4-5"):
            await ask_claude(sim)
        with pytest.raises(openai.NotFoundError, match=r"gpt-5\.4-mini"):
            await ask_gpt(sim)


async def test_a_body_over_the_providers_limit_is_refused_in_its_words() -> None:
    with Simulator(Settings(max_body_bytes=1000)) as sim:
        with pytest.raises(anthropic.APIStatusError) as claude:
            await ask_claude(sim, "x" * 2000)
        with pytest.raises(openai.APIStatusError) as gpt:
            await ask_gpt(sim, "x" * 2000)

    assert (claude.value.status_code, gpt.value.status_code) == (413, 413)


async def test_anthropic_refuses_temperature_under_its_new_version_only() -> None:
    with Simulator() as sim:
        with pytest.raises(anthropic.BadRequestError, match="temperature"):
            await ask_claude(sim, extra_body={"temperature": 0.0})
        old = {"anthropic-version": "2023-06-01"}
        await ask_claude(sim, extra_body={"temperature": 0.0}, extra_headers=old)


@pytest.mark.parametrize(
    "extra",
    [
        {"max_tokens": 5, "max_completion_tokens": 5},
        {"max_completion_tokens": 0},
        {"messages": []},
        {"schema": None, "stream_options": {"include_usage": True}},
        {"schema": None, "response_format": {"type": "json_schema", "json_schema": {}}},
    ],
    ids=["both limits", "no tokens", "no messages", "options of no stream", "nameless schema"],
)
async def test_openai_refuses_a_body_that_it_does_not_take(extra: dict[str, Any]) -> None:
    with Simulator() as sim:
        with pytest.raises(openai.BadRequestError):
            await ask_gpt(sim, **extra)
        assert sim.received[0].served is Served.REJECTED


async def test_an_unknown_path_is_not_found() -> None:
    with Simulator() as sim:
        with pytest.raises(openai.NotFoundError):
            async with openai.AsyncOpenAI(api_key="k", base_url=sim.url, max_retries=0) as client:
                await client.embeddings.create(model="m", input="x")
        assert sim.received == []
