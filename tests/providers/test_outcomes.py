"""Every way a call can go, with the real SDKs over loopback: one Reply each, never an exception."""

import logging
from dataclasses import asdict

import pytest

from batchai.domain import Outcome
from batchai.simulator import Fault, Settings, Simulator, scripted
from tests.providers.asking import KEY, PROMPT, ask, model_at, url_of

PROVIDERS = ["anthropic", "openai"]

# fault → outcome, whether it may be billed, words of the detail
EXPECTED = {
    Fault.RATE_LIMITED: (Outcome.RATE_LIMITED, False, "HTTP 429"),
    Fault.RATE_LIMITED_BARE: (Outcome.RATE_LIMITED, False, "HTTP 429"),
    Fault.QUOTA: (Outcome.QUOTA_EXHAUSTED, False, "HTTP 429"),
    Fault.SPEND_LIMIT: (Outcome.QUOTA_EXHAUSTED, False, ""),
    Fault.PAYMENT_REQUIRED: (Outcome.QUOTA_EXHAUSTED, False, "HTTP 402"),
    Fault.AUTH: (Outcome.AUTH_FAILED, False, "HTTP 401"),
    Fault.FORBIDDEN: (Outcome.AUTH_FAILED, False, "HTTP 403"),
    Fault.UNKNOWN_MODEL: (Outcome.UNKNOWN_MODEL, False, "HTTP 404"),
    Fault.BAD_REQUEST: (Outcome.REJECTED, False, "HTTP 400"),
    Fault.REQUEST_TIMEOUT: (Outcome.SERVER_ERROR, True, "HTTP 408"),
    Fault.CONFLICT: (Outcome.SERVER_ERROR, False, "HTTP 409"),
    Fault.TOO_LARGE: (Outcome.REJECTED, False, "HTTP 413"),
    Fault.UNPROCESSABLE: (Outcome.REJECTED, False, "HTTP 422"),
    Fault.SERVER_ERROR: (Outcome.SERVER_ERROR, False, "HTTP 500"),
    Fault.UNAVAILABLE: (Outcome.OVERLOADED, False, "HTTP 503"),
    Fault.GATEWAY_TIMEOUT: (Outcome.SERVER_ERROR, True, "HTTP 504"),
    Fault.OVERLOADED: (Outcome.OVERLOADED, False, "HTTP 5"),
    Fault.BAD_GATEWAY: (Outcome.SERVER_ERROR, False, "HTTP 502"),
    Fault.OK_HTML: (Outcome.MALFORMED, True, "HTML"),
    Fault.OK_ERROR: (Outcome.MALFORMED, True, "200 with an error"),
    Fault.OK_EMPTY: (Outcome.MALFORMED, True, "200 without a"),
    Fault.REDIRECT: (Outcome.UNKNOWN_MODEL, False, "redirects are not followed"),
    Fault.HANG: (Outcome.TIMED_OUT, True, "no complete answer within 0.2 s"),
    Fault.STALL: (Outcome.TIMED_OUT, True, "no complete answer within 0.2 s"),
    Fault.DRIP: (Outcome.TIMED_OUT, True, "no complete answer within 0.2 s"),
    Fault.RESET: (Outcome.CONNECTION_LOST, True, ""),
    Fault.RESET_MID_BODY: (Outcome.CONNECTION_LOST, True, ""),
    Fault.CUT_BODY: (Outcome.MALFORMED, True, "not whole JSON"),
    Fault.NO_CONTENT: (Outcome.EMPTY, False, ""),
    Fault.EMPTY_TEXT: (Outcome.EMPTY, False, "without a word"),
    Fault.NULL_CONTENT: (Outcome.EMPTY, False, ""),
    Fault.TRUNCATED: (Outcome.TRUNCATED, False, "cut off"),
    Fault.REFUSED: (Outcome.REFUSED, False, "the model refused"),
    Fault.CONTENT_FILTER: (Outcome.REFUSED, False, ""),
    Fault.MISSING_USAGE: (Outcome.SUCCEEDED, True, ""),
    Fault.INVALID_JSON: (Outcome.SUCCEEDED, False, ""),
    Fault.FENCED: (Outcome.SUCCEEDED, False, ""),
    Fault.SURROGATES: (Outcome.SUCCEEDED, False, ""),
    Fault.HUGE: (Outcome.SUCCEEDED, False, ""),
}
OF_OPENAI = {
    Fault.NO_CONTENT: (Outcome.MALFORMED, True, "200 without a completion"),
    Fault.CONTEXT_EXCEEDED: (Outcome.TOO_LONG, False, "longer than the model's context window"),
}
OF_ANTHROPIC = {
    Fault.NULL_CONTENT: (Outcome.MALFORMED, True, "200 without a message"),
    Fault.CONTEXT_EXCEEDED: (Outcome.TRUNCATED, False, "context window"),
}
CASES = [
    pytest.param(provider, fault, *expected, id=f"{provider}-{fault}")
    for provider, own in (("anthropic", OF_ANTHROPIC), ("openai", OF_OPENAI))
    for fault, expected in {**EXPECTED, **own}.items()
]


@pytest.mark.parametrize(("provider", "fault", "outcome", "billed", "words"), CASES)
async def test_each_fault_has_its_outcome(
    provider: str,
    fault: Fault,
    outcome: Outcome,
    billed: bool,
    words: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = Settings(faults=scripted([fault]), drip_seconds=0.05, huge_bytes=200_000)

    with Simulator(settings) as simulator:
        model = model_at(provider, url_of(provider, simulator))
        slow = outcome is Outcome.TIMED_OUT
        reply = await ask(model, deadline_seconds=0.2 if slow else 5.0)
        arrived = len(simulator.received)

    assert (reply.outcome, reply.may_be_billed) == (outcome, billed), reply
    assert words in reply.detail
    assert arrived == 1  # no hidden second attempt
    assert len(reply.detail) <= 300
    assert "\n" not in reply.detail
    assert PROMPT not in reply.detail
    assert KEY not in repr(asdict(reply))
    assert KEY not in caplog.text
    reply.text.encode()  # no lone surrogates


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_usual_answer_comes_with_everything_known_of_it(provider: str) -> None:
    with Simulator(Settings(answer=lambda _: "fine", reasoning_tokens=7)) as simulator:
        model = model_at(provider, url_of(provider, simulator))
        reply = await ask(model)
        (received,) = simulator.received

    assert (reply.outcome, reply.text, reply.status) == (Outcome.SUCCEEDED, "fine", 200)
    assert reply.usage == received.usage
    assert reply.usage is not None
    assert reply.usage.reasoning == 7
    assert reply.model == model.id
    assert reply.request_id
    assert not reply.may_be_billed
    assert not reply.detail


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_cached_tokens_are_counted_once(provider: str) -> None:
    with Simulator(Settings(cache_read_share=0.5, cache_write_share=0.25)) as simulator:
        reply = await ask(model_at(provider, url_of(provider, simulator)), prompt="word " * 200)
        (received,) = simulator.received

    assert reply.usage == received.usage
    assert reply.usage is not None
    assert reply.usage.cache_read > reply.usage.cache_write_5m > 0
    assert reply.usage.uncached_input > 0


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_the_word_of_retry_after_is_kept(provider: str) -> None:
    settings = Settings(faults=scripted([Fault.RATE_LIMITED]), retry_after_seconds=150.0)

    with Simulator(settings) as simulator:
        reply = await ask(model_at(provider, url_of(provider, simulator)))

    assert reply.retry_after_seconds == 150.0


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_redirect_forwards_the_prompt_to_nobody(provider: str) -> None:
    with Simulator() as elsewhere:
        settings = Settings(faults=scripted([Fault.REDIRECT]), redirect_url=elsewhere.url)
        with Simulator(settings) as simulator:
            reply = await ask(model_at(provider, url_of(provider, simulator)))
        assert elsewhere.received == []

    assert reply.status == 307


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_where_nobody_listens_nothing_is_billed(provider: str) -> None:
    with Simulator() as simulator:
        url = url_of(provider, simulator)

    reply = await ask(model_at(provider, url))

    assert (reply.outcome, reply.may_be_billed) == (Outcome.CONNECTION_LOST, False)
    assert "no connection to 127.0.0.1" in reply.detail


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_failed_tls_handshake_is_named_and_not_billed(provider: str) -> None:
    with Simulator() as simulator:  # speaks plain HTTP
        url = url_of(provider, simulator).replace("http:", "https:")
        reply = await ask(model_at(provider, url))

    assert (reply.outcome, reply.may_be_billed) == (Outcome.CONNECTION_LOST, False)
    assert "TLS" in reply.detail


async def test_after_a_timeout_the_next_call_is_served() -> None:
    with Simulator(Settings(faults=scripted([Fault.HANG]))) as simulator:
        model = model_at("openai", simulator.openai_url)
        first = await ask(model, deadline_seconds=0.1)
        second = await ask(model)

    assert [first.outcome, second.outcome] == [Outcome.TIMED_OUT, Outcome.SUCCEEDED]
