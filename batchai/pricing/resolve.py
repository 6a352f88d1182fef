"""From a job's model to its rates: the job's own price, or the genai-prices data."""

from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from batchai.domain import NO_COST
from batchai.errors import PricingError
from batchai.pricing.rates import FREE, Rates, Tier, Tiers
from batchai.spec.models import Model, Price

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo as DataModel
    from genai_prices.types import ModelPrice

FREE_PROVIDERS = frozenset({"local"})  # models on this machine
_MTOK = 1_000_000
_CONTEXT_KEYS = ("service_tier", "speed")  # parameters in `extra_body` that select another price
_STANDARD = frozenset({"auto", "default", "standard", "standard_only"})
_UNPRICED_KEYS = ("inference_geo",)  # parameters that change the price in ways the data lacks


def price_for(model: Model, *, may_write_1h: bool = False) -> Rates:
    """The rates of a job's model: its own `price`, nothing if `none` or local, else the price data.

    may_write_1h: requests may write to a cache of an hour, so that the worst case counts that.
    Raises PricingError when no price is known; the message names the remedy.
    """
    may_write_1h = may_write_1h or bool(model.extra_body)  # parameters of the user's own may ask
    if isinstance(model.price, Price):
        return Rates(model.name, tiers=(_stated(model.price),), may_write_1h=may_write_1h)
    if model.price == "none" or model.provider in FREE_PROVIDERS:
        return Rates(model.name, tiers=FREE)
    provider, found, is_own = _find(model)
    context = _context(model, found if is_own else None)
    name = f"{provider}/{found.id}"
    over_time = [_tiers(name, prices) for prices in _price_lists(found)]
    if len(over_time) > 1 or context:
        tiers_at = partial(_tiers_at, name, found, context)
        return Rates(name, tiers_at=tiers_at, may_write_1h=may_write_1h)
    return Rates(name, tiers=over_time[0], may_write_1h=may_write_1h)


def _find(model: Model) -> tuple[str, "DataModel", bool]:
    """(provider's id, model, whether the provider itself lists it) in the price data."""
    from genai_prices.data_snapshot import get_snapshot

    try:
        provider, found = get_snapshot().find_provider_model(model.id, None, model.provider, None)
    except LookupError as exc:
        raise PricingError(_unknown(model.name, "no price is known for it")) from exc
    return provider.id, found, any(found is own for own in provider.models)


def _context(model: Model, found: "DataModel | None") -> dict[str, str]:
    """The part of the request that selects among prices; found is None if there is no choice."""
    asked = {
        key: str(value)
        for key, value in (model.extra_body or {}).items()
        if (key in _CONTEXT_KEYS and str(value) not in _STANDARD) or key in _UNPRICED_KEYS
    }
    variants = (found.price_variants if found else None) or []
    for key, value in asked.items():
        if not any(variant.when.get(key) == value for variant in variants):
            raise PricingError(_unknown(model.name, f"no price is known for {key}: {value}"))
    return asked


def _unknown(name: str, problem: str) -> str:
    return (
        f"{name}: {problem}; say it in the job, model.price: {{input_mtok: …, output_mtok: …}}"
        " in USD per million tokens, or model.price: none"
    )


def _stated(price: Price) -> Tier:
    """The job's own price; cached tokens without one cost what other input costs."""
    for key, value in price:
        if value is not None and not (value.is_finite() and value >= 0):
            raise PricingError(f"model.price.{key}: {value}: must be 0 or above")
    read, write = price.cache_read_mtok, price.cache_write_mtok
    base = price.input_mtok / _MTOK
    written = base if write is None else write / _MTOK
    output = price.output_mtok / _MTOK
    return Tier(
        above=-1,
        uncached_input=base,
        cache_read=base if read is None else read / _MTOK,
        cache_write_5m=written,
        cache_write_1h=written,
        output=output,
        reasoning=output,
    )


def _price_lists(model: "DataModel") -> "list[ModelPrice]":
    if isinstance(model.prices, list):
        return [dated.prices for dated in model.prices]
    return [model.prices]


def _tiers_at(name: str, model: "DataModel", context: dict[str, str], at: datetime) -> Tiers:
    return _tiers(name, model.get_prices(at, context))


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
