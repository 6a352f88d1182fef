"""The models that the price data knows, and the days on which providers end them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo as DataModel
    from genai_prices.types import ModelPrice

# What providers have announced by November 2026; dated ids end with their alias.
_ENDS_OF_LIFE: Mapping[str, date] = {
    "anthropic/claude-3-sonnet": date(2025, 7, 21),
    "anthropic/claude-3-opus": date(2026, 1, 5),
    "anthropic/claude-3-7-sonnet": date(2026, 2, 19),
    "anthropic/claude-3-5-haiku": date(2026, 2, 19),
    "anthropic/claude-opus-4": date(2026, 6, 15),
    "anthropic/claude-opus-4-0": date(2026, 6, 15),
    "anthropic/claude-sonnet-4": date(2026, 6, 15),
    "anthropic/claude-sonnet-4-0": date(2026, 6, 15),
    "anthropic/claude-mythos-preview": date(2026, 6, 30),
    "anthropic/claude-sonnet-4-5": date(2026, 11, 30),
    "openai/gpt-3.5-turbo": date(2026, 10, 23),
    "openai/gpt-4-turbo": date(2026, 10, 23),
    "openai/gpt-4.1-nano": date(2026, 10, 23),
    "openai/o3-mini": date(2026, 10, 23),
    "openai/o4-mini": date(2026, 10, 23),
    "openai/gpt-5": date(2026, 12, 11),
    "openai/gpt-5-mini": date(2026, 12, 11),
    "openai/gpt-5-nano": date(2026, 12, 11),
    "openai/o3": date(2026, 12, 11),
    "openai/gpt-4o": date(2027, 1, 14),
    "openai/gpt-4o-mini": date(2027, 1, 14),
    "openai/gpt-4.1": date(2027, 1, 14),
    "openai/gpt-4.1-mini": date(2027, 1, 14),
    "openai/gpt-5.1": date(2027, 4, 1),
    "openai/gpt-5.4-nano": date(2027, 4, 1),
}
_DATED_SUFFIX = re.compile(r"-(latest|20\d\d-?\d\d-?\d\d)$")


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One line of `batchai models`: USD per million tokens of small requests, tokens, last day."""

    provider: str
    id: str
    input_mtok: Decimal
    output_mtok: Decimal
    cache_read_mtok: Decimal | None
    cache_write_mtok: Decimal | None
    has_tiers: bool  # longer requests cost more
    context_window: int | None
    end_of_life: date | None


def list_models(pattern: str = "", *, at: datetime) -> Iterator[ModelInfo]:
    """Models priced by tokens whose `provider/id` contains `pattern`, or matches it as a glob."""
    from genai_prices.data_snapshot import get_snapshot  # 0.3 s and 22 MB: only when needed

    wanted = pattern.lower()
    for provider in get_snapshot().providers:
        for model in provider.models:
            name = f"{provider.id}/{model.id}"
            if wanted in name.lower() or fnmatchcase(name.lower(), wanted):
                prices = model.get_prices(at)
                if prices.input_mtok is not None and prices.output_mtok is not None:
                    yield _info(provider.id, model, prices)


def end_of_life(model_name: str) -> date | None:
    """The last day on which a provider serves `provider/name`, where it has announced one."""
    return _ENDS_OF_LIFE.get(model_name) or _ENDS_OF_LIFE.get(_DATED_SUFFIX.sub("", model_name))


def _info(provider: str, model: "DataModel", prices: "ModelPrice") -> ModelInfo:
    def base(key: str) -> Decimal | None:
        price = getattr(prices, key)
        return price if price is None else getattr(price, "base", price)

    base_input, base_output = base("input_mtok"), base("output_mtok")
    assert base_input is not None
    assert base_output is not None
    return ModelInfo(
        provider=provider,
        id=model.id,
        input_mtok=base_input,
        output_mtok=base_output,
        cache_read_mtok=base("cache_read_mtok"),
        cache_write_mtok=base("cache_write_mtok"),
        has_tiers=hasattr(prices.input_mtok, "tiers"),
        context_window=model.context_window,
        end_of_life=end_of_life(f"{provider}/{model.id}"),
    )
