"""Costs equal the price data's own arithmetic, exactly, and never exceed the worst cost."""

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import genai_prices
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchai.domain import NO_COST, Usage
from batchai.errors import PricingError
from batchai.pricing import Rates, end_of_life, from_pico, list_models, price_for, to_pico
from batchai.spec.models import Model, Price

NOW = datetime(2026, 11, 22, 12, 30, 15, tzinfo=UTC)
USAGES = [
    Usage(uncached_input=1_000, output=200),
    Usage(uncached_input=0, output=0),
    Usage(uncached_input=7, cache_read=3_001, output=11, reasoning=5),
    Usage(uncached_input=100, cache_write_5m=5_000, cache_write_1h=801, output=33),
    Usage(uncached_input=100_000, output=1),
    Usage(uncached_input=100_001, output=1),
    Usage(uncached_input=150_000, cache_read=60_000, cache_write_5m=7, output=999),
    Usage(uncached_input=272_001, output=4_096, reasoning=4_096),
    Usage(uncached_input=1, cache_read=300_000, output=2),
]
MODELS = [
    "anthropic/claude-haiku-4-5",
    "anthropic/claude-haiku-5-5",
    "anthropic/claude-sonnet-4-5",
    "anthropic/claude-sonnet-4-6",
    "anthropic/claude-opus-4-6",
    "anthropic/claude-2",
    "openai/gpt-4o-mini",
    "openai/gpt-5.4-mini",
    "openai/gpt-5.4-mini-2026-03-17",
    "openai/gpt-5.4",
    "openai/gpt-5.6-luna",
    "openai/gpt-6-luna",
    "openai/o3",
    "deepseek/deepseek-v4-flash",
    "perplexity/sonar-pro",
    "perplexity/sonar-deep-research",
    "mistral/mistral-small-latest",
    "openrouter/google/gemini-3.8-flash",
]
TIMES = [
    datetime(2025, 6, 9, 23, 59, 59, tzinfo=UTC),
    datetime(2025, 6, 10, tzinfo=UTC),
    datetime(2026, 2, 1, 3, 0, tzinfo=UTC),
    datetime(2026, 10, 14, 16, 29, 59, 999_999, tzinfo=UTC),
    NOW,
    NOW.astimezone(timezone(timedelta(hours=-9))),
    datetime(2027, 1, 2, 5, 59, 59, tzinfo=UTC),
]


def model(name: str, **fields: Any) -> Model:
    return Model(name=name, **fields)


def theirs(name: str, usage: Usage, at: datetime, context: dict[str, str] | None = None) -> Decimal:
    """What the price data's own (slow) arithmetic says."""
    provider, _, model_id = name.partition("/")
    values = genai_prices.Usage(
        input_tokens=usage.input,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_write_5m + usage.cache_write_1h,
        cache_write_5m_tokens=usage.cache_write_5m,
        cache_write_1h_tokens=usage.cache_write_1h,
        output_tokens=usage.output,
        output_reasoning_tokens=usage.reasoning,
    )
    return genai_prices.calc_price(
        values,
        model_id,
        provider_id=provider,
        genai_request_timestamp=at,
        price_context=context,
    ).total_price


@st.composite
def usages(draw: st.DrawFn, most: int = 400_000) -> Usage:
    count = st.integers(0, most)
    output = draw(count)
    return Usage(
        uncached_input=draw(count),
        cache_read=draw(count),
        cache_write_5m=draw(count),
        cache_write_1h=draw(count),
        output=output,
        reasoning=draw(st.integers(0, output)),
    )


@pytest.mark.parametrize("name", MODELS)
def test_costs_equal_the_price_datas_own_arithmetic(name: str) -> None:
    rates = price_for(model(name))

    for at in TIMES:
        for usage in USAGES:
            assert rates.cost(usage, at=at) == theirs(name, usage, at), (usage, at)


@given(usages(), st.sampled_from(MODELS), st.timedeltas(timedelta(0), timedelta(days=900)))
@settings(max_examples=150, deadline=None)
def test_any_usage_at_any_time_costs_what_the_price_data_says(
    usage: Usage, name: str, later: timedelta
) -> None:
    at = datetime(2025, 1, 1, tzinfo=UTC) + later

    assert price_for(model(name)).cost(usage, at=at) == theirs(name, usage, at)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("openai/gpt-5.4-mini", {"service_tier": "flex"}),
        ("openai/gpt-4o", {"service_tier": "priority"}),
        ("openai/gpt-4o", {"service_tier": "auto"}),
        ("anthropic/claude-opus-5", {"speed": "fast"}),
        ("anthropic/claude-opus-5", {"service_tier": "standard_only", "other": 1}),
    ],
    ids=str,
)
def test_a_service_tier_asked_for_is_priced(name: str, body: dict[str, Any]) -> None:
    asked = model(name, extra_body=body)
    rates = price_for(asked)
    context = {key: value for key, value in body.items() if isinstance(value, str)}

    for at in TIMES:
        for usage in USAGES:
            cost = rates.cost(usage, at=at, delivery=asked.delivery)
            assert cost == theirs(name, usage, at, context)


@pytest.mark.parametrize(
    "body", [{"service_tier": "flex"}, {"speed": ["fast"]}, {"inference_geo": "us"}], ids=str
)
def test_a_context_without_a_known_price_is_refused_with_the_remedy(body: dict[str, Any]) -> None:
    with pytest.raises(PricingError, match=r"claude-haiku-4-5: no price .* model\.price"):
        price_for(model("anthropic/claude-haiku-4-5", extra_body=body))


def test_a_service_tier_of_another_provider_is_not_assumed_of_one_that_borrows_its_prices() -> None:
    assert price_for(model("azure/gpt-4.1")).model == "azure/gpt-4.1"
    with pytest.raises(PricingError, match="no price is known for service_tier: priority"):
        price_for(model("azure/gpt-4.1", extra_body={"service_tier": "priority"}))


@pytest.mark.parametrize(
    "name", ["openai/gpt-6.2-astra", "openai/gpt-4o-mini-xyz", "myserver/some-model", "nobody"]
)
def test_an_unknown_model_is_refused_with_the_remedy(name: str) -> None:
    with pytest.raises(PricingError, match=rf"{name}: no price is known .* model\.price: none"):
        price_for(model(name))


def test_a_model_that_is_not_priced_by_tokens_is_refused() -> None:
    with pytest.raises(PricingError, match=r"whisper-1: it is not priced by tokens"):
        price_for(model("openai/whisper-1"))


@pytest.mark.parametrize(
    "free",
    [model("nobody/knows", price="none"), model("local/smollm2-135m")],
    ids=["none", "local"],
)
def test_local_and_unpriced_models_cost_nothing(free: Model) -> None:
    rates = price_for(free)

    assert rates.is_free
    assert rates.cost(USAGES[2], at=NOW) == NO_COST
    assert rates.worst_cost(input_tokens_bound=10**6, max_tokens=10**4, at=NOW) == NO_COST


def test_a_price_in_the_job_wins_over_the_data_also_for_a_local_model() -> None:
    price = Price(
        input_mtok=Decimal("1"),
        output_mtok=Decimal("10"),
        cache_read_mtok=Decimal("0.1"),
        cache_write_mtok=Decimal("1.25"),
    )
    usage = Usage(
        uncached_input=1_000_000,
        cache_read=1_000_000,
        cache_write_5m=1_000_000,
        cache_write_1h=1_000_000,
        output=1_000_000,
        reasoning=500_000,
    )

    for name in ("openai/gpt-4o", "local/x", "myserver/x"):
        rates = price_for(model(name, price=price))
        assert not rates.is_free
        assert rates.cost(usage, at=NOW) == Decimal("13.6")


def test_cached_tokens_without_a_price_of_their_own_cost_what_input_costs() -> None:
    rates = price_for(model("x/y", price=Price(input_mtok=Decimal(2), output_mtok=Decimal(0))))

    cost = rates.cost(Usage(cache_read=500_000, cache_write_1h=500_000), at=NOW)

    assert cost == Decimal(2)


@pytest.mark.parametrize("bad", ["-0.1", "NaN", "Infinity"])
def test_a_price_that_is_no_price_is_refused_by_name(bad: str) -> None:
    # what a strict spec would not let through is refused here once more: it is money
    price = Price.model_construct(input_mtok=Decimal(1), output_mtok=Decimal(bad))

    with pytest.raises(PricingError, match=r"model\.price\.output_mtok"):
        price_for(model("x/y", price=None).model_copy(update={"price": price}))


@pytest.mark.parametrize(
    ("usage", "name"),
    [
        (Usage(uncached_input=-1), "uncached_input"),
        (Usage(cache_read=-5, output=3), "cache_read"),
        (Usage(output=-1, reasoning=-2), "output"),
        (Usage(output=3, reasoning=4), "reasoning"),
    ],
    ids=str,
)
def test_a_usage_that_makes_no_sense_is_refused_by_name(usage: Usage, name: str) -> None:
    rates = price_for(model("openai/gpt-4o-mini"))

    with pytest.raises(PricingError, match=rf"usage\.{name}: "):
        rates.cost(usage, at=NOW)


@given(usages(), st.sampled_from(MODELS), st.sampled_from(TIMES), st.booleans())
@settings(max_examples=150, deadline=None)
def test_no_request_costs_more_than_its_worst_cost(
    usage: Usage, name: str, at: datetime, has_extra_body: bool
) -> None:
    body = {"cache_control": {"type": "ephemeral", "ttl": "1h"}} if has_extra_body else None
    if not has_extra_body:  # nothing could have asked for 1 h writes
        usage = replace(usage, cache_write_1h=0)
    rates = price_for(model(name, extra_body=body))

    worst = rates.worst_cost(input_tokens_bound=usage.input, max_tokens=usage.output, at=at)

    assert rates.cost(usage, at=at) <= worst


def test_the_worst_cost_takes_the_dearest_tier_that_the_bound_can_reach() -> None:
    rates = price_for(model("anthropic/claude-haiku-5-5"))

    below = rates.worst_cost(input_tokens_bound=100_000, max_tokens=1_000_000, at=NOW)
    above = rates.worst_cost(input_tokens_bound=100_001, max_tokens=1_000_000, at=NOW)

    assert below == Decimal("0.0125") + Decimal("0.5")
    assert above == Decimal("0.625") * 100_001 / 1_000_000 + Decimal("2.5")


def test_the_resolved_model_is_named() -> None:
    assert price_for(model("openai/gpt-4o-2024-11-20")).model == "openai/gpt-4o"
    assert price_for(model("local/x")).model == "local/x"


@given(st.lists(usages(), max_size=30))
@settings(max_examples=50, deadline=None)
def test_the_total_is_exactly_the_sum_of_the_attempts(attempts: list[Usage]) -> None:
    rates = price_for(model("anthropic/claude-haiku-5-5"))
    costs = [rates.cost(usage, at=NOW) for usage in attempts]

    stored = sum(to_pico(cost) for cost in costs)

    assert from_pico(stored) == sum(costs, NO_COST)
    assert Fraction(from_pico(stored)) == sum((Fraction(cost) for cost in costs), Fraction(0))


@given(st.integers(0, 10**24))
def test_pico_dollars_survive_the_round_trip(pico: int) -> None:
    assert to_pico(from_pico(pico)) == pico


def test_what_is_finer_than_a_pico_dollar_is_rounded_up() -> None:
    assert to_pico(Decimal("0.0000000000001")) == 1
    assert to_pico(Decimal("1.0000000000011")) == 1_000_000_000_002


@pytest.mark.parametrize(
    ("name", "last_day"),
    [
        ("anthropic/claude-sonnet-4-5", date(2026, 11, 30)),
        ("anthropic/claude-sonnet-4-5-20250929", date(2026, 11, 30)),
        ("anthropic/claude-3-5-haiku-latest", date(2026, 2, 19)),
        ("openai/gpt-4o-mini-2024-07-18", date(2027, 1, 14)),
        ("openai/gpt-5.4-mini", None),
        ("anthropic/claude-haiku-4-5", None),
    ],
)
def test_ends_of_life_are_known_for_aliases_and_dated_ids(name: str, last_day: date | None) -> None:
    assert end_of_life(name) == last_day


def test_models_are_listed_by_substring_or_glob() -> None:
    (haiku,) = list_models("anthropic/claude-haiku-5*", at=NOW)
    everything = list(list_models(at=NOW))

    assert (haiku.provider, haiku.id) == ("anthropic", "claude-haiku-5-5")
    assert (haiku.input_mtok, haiku.output_mtok) == (Decimal("0.1"), Decimal("0.5"))
    assert (haiku.cache_read_mtok, haiku.cache_write_mtok) == (Decimal("0.01"), Decimal("0.125"))
    assert haiku.has_tiers
    assert haiku.context_window == 1_000_000
    assert haiku in list(list_models("HAIKU", at=NOW))
    assert len(everything) > 1_000
    assert not any(info.id == "whisper-1" for info in everything)
    assert not list(list_models("no-such-model", at=NOW))


def test_a_listed_model_carries_its_end_of_life() -> None:
    found = {info.id: info.end_of_life for info in list_models("openai/gpt-4o", at=NOW)}

    assert found["gpt-4o-mini"] == date(2027, 1, 14)


def test_the_price_data_is_imported_only_when_a_model_needs_it() -> None:
    program = (
        "import sys; from batchai.pricing import price_for; from batchai.spec.models import Model;"
        "price_for(Model(name='local/x')); price_for(Model(name='x/y', price='none'));"
        "sys.exit('genai_prices' in sys.modules)"
    )

    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_a_cache_saves_is_the_difference_to_plain_input() -> None:
    price = Price(
        input_mtok=Decimal(4),
        output_mtok=Decimal(20),
        cache_read_mtok=Decimal("0.4"),
        cache_write_mtok=Decimal(5),
    )
    rates = price_for(Model(name="openai/any", price=price))
    tokens = Usage(uncached_input=500, cache_read=9_000, cache_write_5m=1_000, output=70)
    saved = Decimal("3.6") * 9_000 / 1_000_000 - Decimal(1) * 1_000 / 1_000_000
    assert rates.saved(tokens, at=NOW) == saved
    assert rates.saved(Usage(500, cache_write_5m=1_000), at=NOW) == Decimal("-0.001")
    assert rates.saved(Usage(uncached_input=5), at=NOW) == 0


STATED = Price(
    input_mtok=Decimal(1),
    output_mtok=Decimal(10),
    cache_write_mtok=Decimal("1.25"),
    cache_write_1h_mtok=Decimal(2),
    reasoning_mtok=Decimal(20),
    delivery={"flex": Decimal("0.5"), "priority": Decimal(2)},
)


def test_a_stated_price_tells_hourly_cache_and_reasoning_and_deliveries_apart() -> None:
    rates = price_for(model("x/y", price=STATED))
    usage = Usage(
        cache_write_5m=1_000_000, cache_write_1h=1_000_000, output=1_000_000, reasoning=250_000
    )

    cost = rates.cost(usage, at=NOW)

    assert cost == Decimal("1.25") + 2 + Decimal("7.5") + 5
    assert rates.cost(usage, at=NOW, delivery="flex") == cost / 2
    assert rates.cost(usage, at=NOW, delivery="priority") == cost * 2


def test_the_worst_case_of_a_request_that_asks_for_flex_is_that_it_is_served_as_usual() -> None:
    plain, flex, priority = (
        price_for(model("x/y", price=STATED, extra_body=body))
        for body in ({"seed": 1}, {"service_tier": "flex"}, {"service_tier": "priority"})
    )

    def worst(rates: Rates) -> Decimal:
        return rates.worst_cost(input_tokens_bound=1000, max_tokens=100, at=NOW)

    assert worst(flex) == worst(plain)
    assert worst(priority) == 2 * worst(plain)


@pytest.mark.parametrize("stated", [STATED, None], ids=["stated", "price data"])
def test_a_delivery_without_a_known_price_costs_the_standard_and_is_told_once(
    stated: Price | None, caplog: pytest.LogCaptureFixture
) -> None:
    rates = price_for(model("openai/gpt-5.4-mini", price=stated))
    usage = Usage(1000, output=10)

    for _ in range(3):
        assert rates.cost(usage, at=NOW, delivery="scale") == rates.cost(usage, at=NOW)

    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "as scale, for which no price is known" in caplog.text


def test_batch_and_flex_cost_what_the_price_data_says_of_them() -> None:
    name, usage = "openai/gpt-5.4-mini", Usage(100_000, cache_read=2000, output=500)
    rates = price_for(model(name))

    batch = rates.cost(usage, at=NOW, delivery="batch")
    flex = rates.cost(usage, at=NOW, delivery="flex")

    assert (
        batch == theirs(name, usage, NOW, {"processing": "batch"}) == rates.cost(usage, at=NOW) / 2
    )
    assert flex == theirs(name, usage, NOW, {"service_tier": "flex"}) < rates.cost(usage, at=NOW)
