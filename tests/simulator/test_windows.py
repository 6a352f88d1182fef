"""The account's limits: exact on given times, and in each provider's shape over HTTP."""

from datetime import UTC, datetime

import anthropic
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchai.simulator import AccountLimits, Capacity, Neighbours, Served, Settings, Simulator
from batchai.simulator.protocols.openai import go_duration
from batchai.simulator.windows import Account, Charge
from tests.simulator.clients import ask_claude, ask_gpt, claude, gpt

ONE = Charge()


def test_a_request_is_refused_until_the_oldest_leaves_the_window() -> None:
    account = Account(AccountLimits(requests=2, window_seconds=60), None, 0.0)
    assert account.admit(0.0, ONE) is None
    assert account.admit(10.0, ONE) is None

    excess = account.admit(20.0, ONE)
    assert excess is not None
    assert excess.wait_seconds == 40.0
    assert account.admit(59.9, ONE) is not None
    assert account.admit(60.0, ONE) is None


def test_a_refusal_takes_nothing_from_any_window() -> None:
    account = Account(AccountLimits(requests=10, tokens=100), None, 0.0)
    assert account.admit(0.0, Charge(tokens=101)) is not None

    requests, tokens = account.standings(0.0)
    assert (requests.remaining, tokens.remaining) == (10, 100)


def test_output_counts_when_it_is_written_and_stops_the_next_request() -> None:
    account = Account(AccountLimits(output_tokens=50), None, 0.0)
    assert account.admit(0.0, ONE) is None
    account.produced(5.0, Charge(requests=0, output_tokens=80))

    assert account.admit(10.0, ONE) is not None
    assert account.admit(65.0, ONE) is None


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 40)), max_size=80))
def test_no_window_ever_holds_more_than_the_limit(steps: list[tuple[float, int]]) -> None:
    account = Account(AccountLimits(requests=5, tokens=100, window_seconds=60), None, 0.0)
    now, admitted = 0.0, list[tuple[float, int]]()
    for pause, tokens in steps:
        now += pause
        if account.admit(now, Charge(tokens=tokens)) is None:
            admitted.append((now, tokens))

    for end, _ in admitted:
        inside = [tokens for at, tokens in admitted if at <= end < at + 60]
        assert len(inside) <= 5
        assert sum(inside) <= 100


@given(st.lists(st.floats(0, 30), min_size=1, max_size=40))
def test_who_waits_as_told_is_admitted(pauses: list[float]) -> None:
    account = Account(AccountLimits(requests=3, window_seconds=60), None, 0.0)
    now = 0.0
    for pause in pauses:
        now += pause
        if (excess := account.admit(now, ONE)) is not None:
            now += excess.wait_seconds + 1e-6
            assert account.admit(now, ONE) is None


def test_neighbours_draw_on_the_same_windows_and_feel_a_full_one() -> None:
    limits = AccountLimits(requests=30, window_seconds=60)
    quiet = Account(limits, Neighbours(requests_per_second=0.2, seed=1), 0.0)
    assert quiet.admit(600.0, ONE) is None
    assert quiet.neighbours_refused == 0
    assert 90 < quiet.neighbours_served < 150

    crowded = Account(limits, Neighbours(requests_per_second=0.2, seed=1), 0.0)
    for step in range(6000):
        crowded.admit(step / 10, ONE)
    assert crowded.neighbours_refused > 30


async def test_the_anthropic_limit_is_told_in_headers_and_as_a_429() -> None:
    limits = AccountLimits(requests=2, input_tokens=50_000, output_tokens=50_000)
    with Simulator(Settings(limits=limits)) as sim:
        async with claude(sim) as client:
            raw = await client.messages.with_raw_response.create(
                model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}]
            )
        await ask_claude(sim)
        with pytest.raises(anthropic.RateLimitError) as raised:
            await ask_claude(sim)
        assert sim.received[2].served is Served.LIMITED

    assert raw.headers["anthropic-ratelimit-requests-limit"] == "2"
    assert raw.headers["anthropic-ratelimit-requests-remaining"] == "1"
    assert raw.headers["anthropic-ratelimit-input-tokens-remaining"] == "50000"
    assert raw.headers["anthropic-ratelimit-output-tokens-limit"] == "50000"
    reset = datetime.fromisoformat(raw.headers["anthropic-ratelimit-requests-reset"])
    assert 50 < (reset - datetime.now(UTC)).total_seconds() <= 60
    assert 55 < float(raised.value.response.headers["retry-after"]) <= 60


async def test_openai_reserves_max_tokens_and_answers_429_with_its_headers() -> None:
    with Simulator(Settings(limits=AccountLimits(requests=500, tokens=1000))) as sim:
        async with gpt(sim) as client:
            raw = await client.chat.completions.with_raw_response.create(
                model="m", max_completion_tokens=900, messages=[{"role": "user", "content": "x"}]
            )
        with pytest.raises(openai.RateLimitError, match="Limit 1000, Requested 256") as raised:
            await ask_gpt(sim)

    assert raw.headers["x-ratelimit-limit-tokens"] == "1000"
    assert raw.headers["x-ratelimit-remaining-tokens"] == "100"
    assert raw.headers["x-ratelimit-reset-tokens"].endswith("s")
    assert raised.value.code == "rate_limit_exceeded"
    assert raised.value.type == "tokens"
    assert 55 < float(raised.value.response.headers["retry-after"]) <= 60


async def test_anthropic_reserves_nothing_for_max_tokens_and_cache_reads_are_free() -> None:
    limits = AccountLimits(input_tokens=60, output_tokens=100)
    settings = Settings(limits=limits, cache_read_share=1.0)
    with Simulator(settings) as sim:
        for _ in range(5):
            await ask_claude(sim, max_tokens=5000)

        assert [entry.served for entry in sim.received] == [Served.ANSWERED] * 5


async def test_each_key_has_its_own_limits() -> None:
    with Simulator(Settings(limits=AccountLimits(requests=1))) as sim:
        await ask_claude(sim, api_key="one")
        await ask_claude(sim, api_key="two")
        with pytest.raises(anthropic.RateLimitError):
            await ask_claude(sim, api_key="one")


async def test_a_request_beyond_the_capacity_is_overloaded() -> None:
    with Simulator(Settings(capacity=Capacity(0, "overloaded"))) as sim:
        with pytest.raises(anthropic.OverloadedError):
            await ask_claude(sim)
        with pytest.raises(openai.InternalServerError):
            await ask_gpt(sim)
        assert sim.received[0].served is Served.OVERLOADED


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.02, "20ms"), (1, "1s"), (360, "6m0s"), (3723.5, "1h2m3.5s"), (59.9994, "1m0s")],
    ids=str,
)
def test_durations_are_written_as_go_does(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text
