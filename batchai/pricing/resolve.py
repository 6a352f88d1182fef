"""From a job's model to its rates: the job's own price, or the genai-prices data."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING

from batchai.domain import NO_COST
from batchai.errors import PricingError
from batchai.pricing.rates import FREE, Rates, Tier, Tiers
from batchai.spec.models import DELIVERIES, Model, Price

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo as DataModel
    from genai_prices.types import ModelPrice, PriceVariant

FREE_PROVIDERS = frozenset({"local"})  # models on this machine
_MTOK = 1_000_000
_SPEEDS = frozenset({"standard"})  # that cost nothing extra
_UNPRICED_KEYS = ("inference_geo",)  # parameters that change the price in ways the data lacks
_ONE = Decimal(1)


def price_for(model: Model, *, may_write_1h: bool = False) -> Rates:
    """The rates of a job's model: its own `price`, nothing if `none` or local, else the price data.

    may_write_1h: requests may write to a cache of an hour, so that the worst case counts that.
    Raises PricingError when no price is known; the message names the remedy.
    """
    may_write_1h = may_write_1h or bool(model.extra_body)  # parameters of the user's own may ask
    if isinstance(model.price, Price):
        asked = {model.delivery} if model.delivery else set()
        return Rates(
            model.name,
            partial(_stated_at, model.price, _stated(model.price)),
            is_dated=False,
            delivery=model.delivery,
            deliveries=frozenset(model.price.delivery) | asked,
            may_write_1h=may_write_1h,
        )
    if model.price == "none" or model.provider in FREE_PROVIDERS:
        return Rates(model.name, lambda _at, _delivery: FREE, is_dated=False)
    provider, found, is_own = _find(model)
    variants = (found.price_variants or []) if is_own else []
    context = _context(model, variants)
    name = f"{provider}/{found.id}"
    price_lists = _price_lists(found)
    for prices in price_lists:
        _tiers(name, prices)  # refused now if it is not priced by tokens
    return Rates(
        name,
        partial(_tiers_at, name, found, context),
        is_dated=len(price_lists) > 1 or bool(found.price_variants),
        delivery=model.delivery,
        deliveries=frozenset(name for name in DELIVERIES if _has_price(name, variants)),
        may_write_1h=may_write_1h,
    )


def _find(model: Model) -> tuple[str, "DataModel", bool]:
    """(provider's id, model, whether the provider itself lists it) in the price data."""
    from genai_prices.data_snapshot import get_snapshot

    try:
        provider, found = get_snapshot().find_provider_model(model.id, None, model.provider, None)
    except LookupError as exc:
        problem = "no price is known for it" + _guess(model)
        raise PricingError(_unknown(model.name, problem)) from exc
    return provider.id, found, any(found is own for own in provider.models)


def _guess(model: Model) -> str:
    """The model of the same provider that a mistyped name is nearest to, if there is one."""
    from genai_prices.data_snapshot import get_snapshot

    own = [provider for provider in get_snapshot().providers if provider.id == model.provider]
    known = [info.id for provider in own for info in provider.models]
    close = get_close_matches(model.id, known, n=1, cutoff=0.75)
    return f"; did you mean {model.provider}/{close[0]}?" if close else ""


def _context(model: Model, variants: "Sequence[PriceVariant]") -> dict[str, str]:
    """The part of the request, beside its delivery, that selects among prices."""
    given = model.extra_body or {}
    asked = {key: str(given[key]) for key in _UNPRICED_KEYS if key in given}
    if "speed" in given and str(given["speed"]) not in _SPEEDS:
        asked["speed"] = str(given["speed"])
    for key, value in asked.items():
        if not any(variant.when.get(key) == value for variant in variants):
            raise PricingError(_unknown(model.name, f"no price is known for {key}: {value}"))
    if model.delivery is not None and not _has_price(model.delivery, variants):
        problem = f"no price is known for service_tier: {model.delivery}"
        raise PricingError(_unknown(model.name, problem))
    return asked


def _has_price(delivery: str, variants: "Sequence[PriceVariant]") -> bool:
    wanted = _delivered(delivery)
    return any(variant.when == wanted for variant in variants)


def _delivered(delivery: str | None) -> dict[str, str]:
    """How the price data names a delivery."""
    if delivery is None:
        return {}
    return {"processing": "batch"} if delivery == "batch" else {"service_tier": delivery}


def _unknown(name: str, problem: str) -> str:
    return (
        f"{name}: {problem}; say it in the job, model.price: {{input_mtok: …, output_mtok: …}}"
        " in USD per million tokens, or model.price: none"
    )


def _stated(price: Price) -> Tier:
    """The job's own price; cached tokens without one cost what other input costs."""
    for key, value in price:
        if isinstance(value, Decimal) and not (value.is_finite() and value >= 0):
            raise PricingError(f"model.price.{key}: {value}: must be 0 or above")

    def rate(*amounts: Decimal | None) -> Decimal:
        return next(amount for amount in amounts if amount is not None) / _MTOK

    written = price.cache_write_mtok
    return Tier(
        above=-1,
        uncached_input=rate(price.input_mtok),
        cache_read=rate(price.cache_read_mtok, price.input_mtok),
        cache_write_5m=rate(written, price.input_mtok),
        cache_write_1h=rate(price.cache_write_1h_mtok, written, price.input_mtok),
        output=rate(price.output_mtok),
        reasoning=rate(price.reasoning_mtok, price.output_mtok),
    )


def _stated_at(price: Price, tier: Tier, _at: datetime, delivery: str | None) -> Tiers:
    return (tier.times(price.delivery.get(delivery or "", _ONE)),)


def _price_lists(model: "DataModel") -> "list[ModelPrice]":
    if isinstance(model.prices, list):
        return [dated.prices for dated in model.prices]
    return [model.prices]


def _tiers_at(
    name: str, model: "DataModel", context: dict[str, str], at: datetime, delivery: str | None
) -> Tiers:
    return _tiers(name, model.get_prices(at, context | _delivered(delivery)))


def _tiers(name: str, prices: "ModelPrice") -> Tiers:
    """Prices by key, each with thresholds of its own, as one row of prices for every threshold."""
    if prices.input_mtok is None or prices.output_mtok is None:
        raise PricingError(_unknown(name, "it is not priced by tokens"))
    starts = {tier.start for price in vars(prices).values() for tier in getattr(price, "tiers", ())}
    return tuple(_tier(prices, above) for above in sorted(starts | {-1}, reverse=True))


def _tier(prices: "ModelPrice", above: int) -> Tier:
    """A bucket without a price of its own costs what the wider one costs."""

    def rate(*keys: str) -> Decimal:
        price = next(found for key in keys if (found := getattr(prices, key)) is not None)
        amount: Decimal = getattr(price, "base", price)
        for tier in getattr(price, "tiers", ()):  # ascending
            amount = tier.price if above >= tier.start else amount
        return amount / _MTOK

    per_thousand = prices.requests_kcount
    return Tier(
        above=above,
        uncached_input=rate("input_mtok"),
        cache_read=rate("cache_read_mtok", "input_mtok"),
        cache_write_5m=rate("cache_write_5m_mtok", "cache_write_mtok", "input_mtok"),
        cache_write_1h=rate("cache_write_1h_mtok", "cache_write_mtok", "input_mtok"),
        output=rate("output_mtok"),
        reasoning=rate("output_reasoning_mtok", "output_mtok"),
        per_request=per_thousand / 1000 if isinstance(per_thousand, Decimal) else NO_COST,
    )
