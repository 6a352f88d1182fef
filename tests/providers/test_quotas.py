"""What headers say of the account's limits, as sent by the simulator and in odd shapes."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from batchai.domain import LimitNotice, Standing
from batchai.providers.quotas import read_limits, server_time
from batchai.simulator import AccountLimits, Fault, Settings, Simulator, scripted
from tests.providers.asking import ask, model_at, url_of

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PROVIDERS = ("anthropic", "openai")


def read(**headers: str) -> LimitNotice | None:
    return read_limits({name.replace("_", "-"): text for name, text in headers.items()}, now=NOW)


def reset_of(text: str) -> float | None:
    notice = read(
        x_ratelimit_limit_requests="60",
        x_ratelimit_remaining_requests="59",
        x_ratelimit_reset_requests=text,
    )
    assert notice is not None
    assert notice.requests is not None
    return notice.requests.reset_seconds


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_reply_carries_the_limits_that_its_headers_name(provider: str) -> None:
    limits = AccountLimits(requests=9, tokens=5_000, input_tokens=3_000, output_tokens=2_000)

    with Simulator(Settings(limits=limits)) as simulator:
        reply = await ask(model_at(provider, url_of(provider, simulator)))

    notice = reply.limits
    assert notice is not None
    assert notice.requests is not None
    assert (notice.requests.limit, notice.requests.remaining) == (9, 8)
    assert notice.requests.reset_seconds == pytest.approx(60, abs=2)
    if provider == "openai":
        assert notice.tokens is not None
        assert (notice.tokens.limit, notice.input_tokens) == (5_000, None)
    else:
        assert notice.input_tokens is not None
        assert notice.output_tokens is not None
        assert (notice.input_tokens.limit, notice.output_tokens.limit) == (3_000, 2_000)
        assert notice.tokens is None


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_refusal_says_it_too(provider: str) -> None:
    settings = Settings(limits=AccountLimits(requests=9), faults=scripted([Fault.RATE_LIMITED]))

    with Simulator(settings) as simulator:
        reply = await ask(model_at(provider, url_of(provider, simulator)))

    assert reply.status == 429
    assert reply.limits is not None
    assert reply.limits.requests is not None
    assert reply.limits.requests.limit == 9


async def test_without_such_headers_there_is_no_notice() -> None:
    with Simulator(Settings()) as simulator:
        reply = await ask(model_at("openai", simulator.openai_url))

    assert reply.limits is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20ms", 0.02),
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("1h2m3.5s", 3723.5),
        ("250µs", 0.00025),
        ("2026-11-22T12:00:42Z", 42.0),
        ("2026-11-22T11:59:00Z", 0.0),
        ("2026-11-22T12:00:42", None),
        ("soon", None),
        ("12", None),
        ("", None),
    ],
)
def test_resets_are_durations_or_times(text: str, seconds: float | None) -> None:
    reset = reset_of(text)

    assert reset == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    "headers",
    [
        {"x_ratelimit_limit_requests": "60"},
        {"x_ratelimit_limit_requests": "60", "x_ratelimit_remaining_requests": "-1"},
        {"x_ratelimit_limit_requests": "many", "x_ratelimit_remaining_requests": "1"},
        {"x_ratelimit_limit": "60", "x_ratelimit_remaining": "1"},
    ],
    ids=["no remaining", "negative", "no number", "of nothing"],
)
def test_what_cannot_be_read_says_nothing(headers: dict[str, str]) -> None:
    assert read(**headers) is None


def test_anthropics_sum_of_tokens_is_read_where_it_stands_alone() -> None:
    tokens = {
        "anthropic_ratelimit_tokens_limit": "9000",
        "anthropic_ratelimit_tokens_remaining": "8000",
    }

    assert read(**tokens) == LimitNotice(tokens=Standing(9_000, 8_000))


@pytest.mark.parametrize(
    ("headers", "moment"),
    [
        ({"date": "Sun, 22 Nov 2026 12:00:00 GMT"}, NOW),
        ({"date": "yesterday"}, None),
        ({}, None),
    ],
    ids=["of HTTP", "unreadable", "absent"],
)
def test_the_servers_clock_is_read_where_it_is_told(
    headers: Mapping[str, str], moment: datetime | None
) -> None:
    assert server_time(headers) == moment
